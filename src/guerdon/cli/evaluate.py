"""`guerdon evaluate`."""

from __future__ import annotations

import itertools
import json as jsonlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, UseAppendAction, arg

from guerdon.cli.progress import RunProgress, terminal
from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.cli.tables import new_table, output
from guerdon.metrics import METRICS, Interval, format_bounds, format_interval, format_value

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.evaluate.results import Evaluation, Section, SystemResult


def evaluate(
    model: Model,
    data: Data,
    /,
    also: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="MODEL")] = (),
    json: Path | None = None,
    figure: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    reading: ReadingOptions = AS_IT_IS,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Measure how far reward models agree with people, beside trivial baselines, with 95% intervals.

    Accuracy counts equal rewards as half. Length-balanced is the mean of the accuracy where the longer and where the
    shorter response won; a model that only reads length gets 0.5. Intervals draw whole prompts (or groups).

    Args:
        model: The scorer, or a comparer as module:object.
        data: Judgements.
        also: Another model to measure on the same rows. The option may be given several times.
        json: File for all values (- is standard output, instead of the tables).
        figure: File for a picture of the models beside the baselines (.png, .svg or .pdf).
        resamples: Number of bootstrap data sets behind the intervals.
        seed: Random seed of the bootstrap.
        reading: How DATA is read; intervals draw groups instead of prompts where it names them.
        scorer: How the models are loaded, and how they read.
    """
    from guerdon.evaluate.agreement import evaluate_reward

    _check_options(json, figure, resamples)
    from guerdon.data.read import load_rows

    rows = load_rows(data, **reading)
    systems = {name: scorer.named(path).load_system() for name, path in system_names((model, *also)).items()}
    with terminal() as console, RunProgress(console) as progress:
        found = evaluate_reward(systems, rows, seed=seed, resamples=resamples, progress=progress.progressed)
    _write(found, json, figure)
    if str(json) != "-":
        show(found)


def system_names(models: Sequence[str]) -> dict[str, str]:
    """Short name -> model: the last part of a path, or all of it where two would be called alike."""
    short = [Path(model).name or model for model in models]
    names = [model if short.count(name) > 1 else name for name, model in zip(short, models, strict=True)]
    return dict(zip(names, models, strict=True))


def _check_options(json: Path | None, figure: Path | None, resamples: int) -> None:
    """Finds before the long part of the work what would make it useless."""
    from guerdon.errors import ConfigError
    from guerdon.files import check_writable

    if resamples < 1:
        raise ConfigError(f"--resamples must be at least 1, got {resamples}")
    if json is not None and str(json) != "-":
        check_writable(json)
    if figure is not None:
        from guerdon.report.drawing import figure_format

        figure_format(figure)
        check_writable(figure)


def _write(evaluation: Evaluation, json: Path | None, figure: Path | None) -> None:
    if str(json) == "-":
        print(jsonlib.dumps(evaluation.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    elif json is not None:
        evaluation.save(json)
    if figure is not None:
        from guerdon.evaluate.figure import accuracy_figure
        from guerdon.report.drawing import save_figure

        save_figure(accuracy_figure(evaluation), figure)


def show(evaluation: Evaluation) -> None:
    """Prints the tables and, under each, what they mean; last what a reader must know first."""
    console = output()
    for section in evaluation.sections:
        console.print(_systems_table(section))
        if section.subsets:
            console.print(_subsets_table(section))
        for line in section_lines(section):
            console.print(line)
        console.print()
    for note in evaluation.notes:
        console.print(note)


def section_lines(section: Section) -> list[str]:
    """What the values of a section mean: verdicts, differences between the models, and what to mind."""
    part, metric = section.overall, METRICS[section.primary]
    verdicts = [section.sentence(system.name) for system in part.models]
    ranked = [system.name for system in part.models if section.primary in system.metrics]
    differences = [
        f"{a} minus {b}: {metric.heading} {format_interval(part.difference(a, b, metric.name), signed=True)}."
        for a, b in itertools.combinations(ranked, 2)
    ]
    lengths = [system.length_warning for system in part.models]
    return [line for line in (*verdicts, *differences, *lengths, *section.notes) if line]


def _systems_table(section: Section) -> Table:
    part = section.overall
    drawn = f"95% intervals over {part.clusters:,} {part.unit}s"
    title = f"{section.kind}: {part.rows:,} rows, {part.pairs:,} pairs, {drawn}"
    table = new_table(title, "system", title_style="bold")
    table.columns[0].min_width = 14
    counts = {"longer_won": f"\n{part.longer_won:,}", "shorter_won": f"\n{part.shorter_won:,}"}
    names = [name for name in METRICS if name != "kendall" and any(name in one.metrics for one in part.systems)]
    for name in names:
        heading = METRICS[name].heading.replace("length-", "length-\n").replace(" in ", "\nin ")
        table.add_column(heading + counts.get(name, ""), justify="right", no_wrap=True)
    table.add_column("ties", justify="right", no_wrap=True)
    for model in part.models:
        table.add_column(f"{model.name} minus it,\n{METRICS[section.primary].heading}", justify="right")
    for system in part.systems:
        values = [(name in counts, system.metrics.get(name, Interval(math.nan))) for name in names]
        cells = [format_value(value.point) if bare else _cell(value) for bare, value in values]
        leads = [_lead(section, model, system) for model in part.models]
        style = "" if system.is_baseline else "bold"
        table.add_row(system.name, *cells, f"{system.score_ties:,}", *leads, style=style)
    return table


def _lead(section: Section, model: SystemResult, system: SystemResult) -> str:
    """The lead of a model over another system in the primary metric; empty where there is none."""
    if model is system or not all(section.primary in one.metrics for one in (model, system)):
        return ""
    return _cell(section.overall.difference(model.name, system.name, section.primary), signed=True)


def _subsets_table(section: Section) -> Table:
    title = f"{METRICS[section.primary].heading} by subset"
    table = new_table(title, "subset", "rows", "pairs", f"{section.overall.unit}s", title_style="bold")
    table.columns[0].min_width = 20
    for system in section.overall.systems:
        table.add_column(system.name, justify="right", no_wrap=not system.is_baseline)
    alone = section.overall.models if len(section.overall.models) == 1 else ()
    for system in alone:
        table.add_column(f"{system.name},\nlength-\nbalanced", justify="right")
    for part in section.subsets:
        values = [system.metrics.get(section.primary, Interval(math.nan)) for system in part.systems]
        table.add_row(
            part.subset,
            f"{part.rows:,}",
            f"{part.pairs:,}",
            "1" if part.unit == "row" else f"{part.clusters:,}",
            *(
                format_value(value.point) if system.is_baseline else format_interval(value)
                for system, value in zip(part.systems, values, strict=True)
            ),
            *(format_value(part.system(one.name).metrics["length_balanced"].point) for one in alone),
        )
    return table


def _cell(value: Interval, signed: bool = False) -> str:
    return f"{format_value(value.point, signed=signed)}\n{format_bounds(value)}"
