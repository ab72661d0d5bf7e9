"""`guerdon evaluate`."""

from __future__ import annotations

import json as jsonlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from guerdon.cli.evaluation_tables import downstream_tables, published_table, section_tables
from guerdon.cli.progress import RunProgress, terminal, text_progress
from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.cli.tables import output
from guerdon.errors import ConfigError
from guerdon.evaluate.downstream_config import DownstreamConfig
from guerdon.metrics import CalibrationMethod

if TYPE_CHECKING:
    from guerdon.evaluate.downstream import Downstream
    from guerdon.evaluate.results import Evaluation
    from guerdon.evaluate.systems import System
    from guerdon.types import Scorer


def evaluate(
    model: Model,
    data: Data,
    /,
    also: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="MODEL")] = (),
    json: Path | None = None,
    page: Path | None = None,
    figure: Path | None = None,
    reliability: Path | None = None,
    calibrate: CalibrationMethod | None = None,
    resamples: int = 1000,
    seed: int = 0,
    downstream: str | None = None,
    gold: str | None = None,
    downstream_out: Path = Path("downstream"),
    use: OmitArgPrefixes[DownstreamConfig] = DownstreamConfig(),  # noqa: B008  # frozen
    reading: ReadingOptions = AS_IT_IS,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Measure how far reward models agree with people, beside trivial baselines, with 95% intervals.

    Accuracy counts equal rewards as half. Length-balanced is the mean of the accuracy where the longer and where the
    shorter response won; a model that only reads length gets 0.5. Intervals draw whole prompts (or groups).

    Args:
        model: The scorer, or a comparer as early:FOLDER or module:object.
        data: Judgements.
        also: Another model to measure on the same rows. The option may be given several times.
        json: File for all values (- is standard output, instead of the tables).
        page: File for an HTML page of all tables and pictures.
        figure: File for a picture of the models beside the baselines (.png, .svg or .pdf).
        reliability: File for a picture of stated probabilities beside what people preferred (.png, .svg or .pdf).
        calibrate: Keep this fit of P(a preferred) in MODEL's guerdon.json, where its compare() applies it.
        resamples: Number of bootstrap data sets behind the intervals.
        seed: Random seed of the bootstrap.
        downstream: Prompts, with responses or for --policy, on which the models are put to use as well: best of n, and
            with --rl-steps reinforcement learning.
        gold: The scorer that judges what --downstream brings; without one, the scores of its responses do.
        downstream_out: New folder for what --downstream samples, trains and finds.
        use: How --downstream puts the models to use.
        reading: How DATA is read; intervals draw groups instead of prompts where it names them.
        scorer: How the models are loaded, and how they read; device and trust count for --policy as well.
    """
    from guerdon.evaluate.agreement import evaluate_reward

    _check_options((json, page), (figure, reliability), resamples)
    if downstream:
        from guerdon.evaluate.downstream import check_folder

        check_folder(downstream_out)
    elif gold or use != DownstreamConfig():
        raise ConfigError("--gold, --policy, --rl-steps and the like belong to --downstream. Fix: name its prompts")
    from guerdon.data.published_sets import find_set
    from guerdon.data.read import load_rows

    if calibrate:
        from guerdon.evaluate.calibrate import calibrate_reward, check_saved

        check_saved(model)
    named = find_set(data)
    rows = load_rows(data, **reading)
    judge = scorer.named(gold).load() if gold else None
    systems = {name: scorer.named(path).load_system() for name, path in system_names((model, *also)).items()}
    with terminal() as console, RunProgress(console) as progress:
        found = evaluate_reward(
            systems,
            rows,
            seed=seed,
            resamples=resamples,
            published=named[0].name if named else "",
            progress=progress.progressed,
        )
    _write(found, json, page, figure, reliability)
    if str(json) != "-":
        show(found)
    if downstream:
        used = _put_to_use(systems, found, downstream, (gold or "", judge), downstream_out, use, scorer, seed)
        if str(json) != "-":
            _show_use(used, downstream_out)
    if calibrate:
        calibrate_reward(model, found, calibrate)
        if str(json) != "-":
            output().print(
                f"The {calibrate} fit is kept in {model}: compare() now applies it, scores stay as they are."
            )


def _put_to_use(
    systems: Mapping[str, System],
    agreement: Evaluation,
    data: str,
    gold: tuple[str, Scorer | None],
    out: Path,
    config: DownstreamConfig,
    scorer: ScorerOptions,
    seed: int,
) -> Downstream:
    """Best of n, and RL, by every model beside the length baselines."""
    from guerdon.evaluate.downstream import evaluate_downstream
    from guerdon.rewards.rules import LengthReward

    with terminal() as console:
        return evaluate_downstream(
            systems,
            data,
            out,
            config,
            gold=gold[1],
            gold_name=gold[0],
            baselines={"longest wins": LengthReward(1), "shortest wins": LengthReward(-1)},
            agreement=agreement,
            placed=scorer.named(config.policy) if config.policy else None,
            seed=seed,
            progress=partial(text_progress, console),
        )


def _show_use(found: Downstream, out: Path) -> None:
    for table in downstream_tables(found):
        output().print(table)
    for note in found.notes:
        output().print(note)
    output().print(f"{out}: downstream.json")


def system_names(models: Sequence[str]) -> dict[str, str]:
    """Short name -> model: the last part of a path, or all of it where two would be called alike."""
    short = [Path(model).name or model for model in models]
    names = [model if short.count(name) > 1 else name for name, model in zip(short, models, strict=True)]
    return dict(zip(names, models, strict=True))


def _check_options(files: Sequence[Path | None], figures: Sequence[Path | None], resamples: int) -> None:
    """Finds before the long part of the work what would make it useless."""
    from guerdon.files import check_writable

    if resamples < 1:
        raise ConfigError(f"--resamples must be at least 1, got {resamples}")
    for path in files:
        if path is not None and str(path) != "-":
            check_writable(path)
    for figure in filter(None, figures):
        from guerdon.report.drawing import figure_format

        figure_format(figure)
        check_writable(figure)


def _write(
    evaluation: Evaluation, json: Path | None, page: Path | None, figure: Path | None, reliability: Path | None
) -> None:
    if str(json) == "-":
        print(jsonlib.dumps(evaluation.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    elif json is not None:
        evaluation.save(json)
    if page is not None:
        from guerdon.evaluate.pages import write_evaluation_page

        write_evaluation_page(evaluation, page)
    if figure is not None:
        from guerdon.evaluate.figure import accuracy_figure
        from guerdon.report.drawing import save_figure

        save_figure(accuracy_figure(evaluation), figure)
    if reliability is not None:
        from guerdon.evaluate.figure import reliability_figure
        from guerdon.report.drawing import save_figure

        save_figure(reliability_figure(evaluation), reliability)


def show(evaluation: Evaluation) -> None:
    """Prints the tables and, under each, what they mean; last what a reader must know first."""
    console = output()
    if evaluation.published:
        console.print(published_table(evaluation.published))
        console.print()
    overall = any(section.kind == "ratings: overall" for section in evaluation.sections)
    for section in evaluation.sections:
        attribute = overall and section.kind.startswith("ratings: ") and section.kind != "ratings: overall"
        for table in section_tables(section, details=not attribute):
            console.print(table)
        for line in section.lines():
            console.print(line)
        console.print()
    for note in evaluation.notes:
        console.print(note)
