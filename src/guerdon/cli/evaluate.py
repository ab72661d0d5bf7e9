"""`guerdon evaluate`."""

from __future__ import annotations

import json as jsonlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.metrics import METRICS, format_bounds, format_interval, format_value, verdict_sentence

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.evaluate.results import Evaluation, PartResult, Section
    from guerdon.metrics import Interval

_WIDTH_OF_A_FILE = 160
"""Columns where there is no terminal to ask: wide enough that no figure is cut."""


def evaluate(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    group: str | None = None,
    group_regex: str | None = None,
    json: Path | None = None,
    figure: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Measure a reward model's agreement with people, beside trivial baselines, with 95% intervals.

    Accuracy counts equal rewards as half. Length-balanced is the mean of the accuracy where the longer and where the
    shorter response won; a model that only reads length gets 0.5. Intervals draw whole prompts (or groups).

    Args:
        model: the scorer.
        data: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        group: column that says which rows are not independent; intervals then draw groups instead of prompts.
        group_regex: regular expression whose first capture group in that column is the group.
        json: also write all figures to this file (- for standard output, instead of the tables).
        figure: also draw the model beside the baselines (.png, .svg or .pdf).
        resamples: bootstrap data sets behind the intervals.
        seed: of the bootstrap.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.evaluate.agreement import evaluate as measure
    from guerdon.evaluate.baselines import default_baselines

    _check_options(json, figure, resamples)
    from guerdon.data.read import load_rows

    rows = load_rows(data, group=group, group_regex=group_regex)
    baselines = default_baselines(rows, Path(model).expanduser(), seed=seed)
    with _progress() as progress:
        found = measure(
            scorer.named(model).load(),
            rows,
            name=Path(model).name or model,
            baselines=baselines,
            seed=seed,
            resamples=resamples,
            progress=progress,
        )
    found = replace(found, settings={"path": model, "data": data, "group": group, "group_regex": group_regex})
    _write(found, json, figure)
    if str(json) != "-":
        show(found)


def _check_options(json: Path | None, figure: Path | None, resamples: int) -> None:
    """Finds before the long part of the work what would make it useless."""
    from guerdon.errors import ConfigError
    from guerdon.files import check_writable

    if resamples < 1:
        raise ConfigError(f"--resamples must be at least 1, got {resamples}")
    if json is not None and str(json) != "-":
        check_writable(json)
    if figure is not None:
        from guerdon.report.figures import figure_format

        figure_format(figure)
        check_writable(figure)


def _write(evaluation: Evaluation, json: Path | None, figure: Path | None) -> None:
    from guerdon.files import atomic_write

    if json is not None:
        text = jsonlib.dumps(evaluation.to_dict(), ensure_ascii=False, indent=2, allow_nan=False)
        if str(json) == "-":
            print(text)
        else:
            with atomic_write(json) as file:
                file.write(text + "\n")
    if figure is not None:
        from guerdon.report.figures import accuracy_figure, save_figure

        save_figure(accuracy_figure(evaluation), figure)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, one line for each system; gone when the work is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("texts"))
    console = Console(stderr=True)
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal)
    with bar:
        tasks: dict[str, int] = {}

        def report(system: str, done: int, total: int) -> None:
            if system not in tasks:
                tasks[system] = bar.add_task(system, total=total)
            bar.update(tasks[system], completed=done)  # type: ignore[arg-type]  # rich's TaskID is an int

        yield report


def show(evaluation: Evaluation) -> None:
    """Prints the tables and, under each, what they mean."""
    from rich.console import Console

    # Names are shown as they are: no [markup], no :emoji:, no colours for numbers in them.
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    for section in evaluation.sections:
        console.print(_systems_table(section))
        if section.subsets:
            console.print(_subsets_table(section))
        for line in (verdict_line(section, evaluation.model), length_line(section.overall), *section.notes):
            if line:
                console.print(line)
        console.print()


def verdict_line(section: Section, model: str) -> str:
    """Whether the model beats its best baseline, said plainly."""
    verdict, metric = section.verdict, METRICS[section.primary]
    if verdict is None:
        return f"Nothing can be said about {model}: there is no {metric.heading} to compare."
    return verdict_sentence(model, verdict.baseline, metric, verdict.difference)


def length_line(part: PartResult) -> str:
    """A warning where the model is right about longer winners and wrong about shorter ones, or the reverse."""
    metrics = part.model.metrics
    longer, shorter = metrics["longer_won"], metrics["shorter_won"]
    for won, lost, word in ((longer, shorter, "shorter"), (shorter, longer, "longer")):
        if lost.high < 0.5 < won.low:
            return f"It leans on length: where the {word} response won, it is right in only {lost.point:.0%} of pairs."
    return ""


def _systems_table(section: Section) -> Table:
    from rich.table import Table

    part = section.overall
    drawn = f"95% intervals over {part.clusters:,} {part.unit}s"
    title = f"{section.kind}: {part.rows:,} rows, {part.pairs:,} pairs, {drawn}"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("system", overflow="fold", min_width=14)
    counts = {"longer_won": f"\n{part.longer_won:,}", "shorter_won": f"\n{part.shorter_won:,}"}
    names = [name for name in part.model.metrics if name != "kendall"]
    for name in names:
        heading = METRICS[name].heading.replace("length-", "length-\n").replace(" in ", "\nin ")
        table.add_column(heading + counts.get(name, ""), justify="right", no_wrap=True)
    table.add_column("equal\nrewards", justify="right", no_wrap=True)
    table.add_column(f"model minus it,\n{METRICS[section.primary].heading}", justify="right", no_wrap=True)
    for system in part.systems:
        style = "bold" if system.difference is None else ""
        lead = "" if system.difference is None else _cell(system.difference, signed=True)
        cells = [
            format_value(system.metrics[name].point) if name in counts else _cell(system.metrics[name])
            for name in names
        ]
        table.add_row(system.name, *cells, f"{system.score_ties:,}", lead, style=style)
    return table


def _subsets_table(section: Section) -> Table:
    from rich.table import Table

    title = f"{METRICS[section.primary].heading} by subset"
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("subset", overflow="fold")
    for heading in ("rows", "pairs", f"{section.overall.unit}s"):
        table.add_column(heading, justify="right")
    for i, system in enumerate(section.overall.systems):
        table.add_column(system.name, justify="right", no_wrap=i == 0)
    table.add_column("model,\nlength-\nbalanced", justify="right")
    for part in section.subsets:
        model, *others = (system.metrics[section.primary] for system in part.systems)
        table.add_row(
            part.subset,
            f"{part.rows:,}",
            f"{part.pairs:,}",
            "1" if part.unit == "row" else f"{part.clusters:,}",
            format_interval(model),
            *(format_value(other.point) for other in others),
            format_value(part.model.metrics["length_balanced"].point),
        )
    return table


def _cell(value: Interval, signed: bool = False) -> str:
    return f"{format_value(value.point, signed=signed)}\n{format_bounds(value)}"
