"""The tables of an evaluation on standard output."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from guerdon.cli.tables import new_table
from guerdon.metrics import METRICS, Interval, format_bounds, format_interval, format_value

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.evaluate.downstream import Downstream
    from guerdon.evaluate.published_scores import PublishedScores
    from guerdon.evaluate.results import Section, SystemResult


FIRST = ("accuracy", "length_balanced", "longer_won", "shorter_won", "step_f1", "first_error", "no_error", "step_auc")
"""Metrics of the first table, beside the one that decides; the others have a table of their own."""

SUBSETS_SHOWN = 30
"""Subsets in the terminal; pages and JSON files have all."""


def published_table(found: PublishedScores) -> Table:
    """The score that the authors of a set would print."""
    left_out = f", {found.left_out:,} left out" if found.left_out else ""
    table = new_table(f"{found.title}, its own score: {found.rows:,} rows{left_out}", "system", title_style="bold")
    names = list(next(iter(found.scores.values())))
    for name in names:
        table.add_column(name, justify="right")
    for system, scores in found.scores.items():
        table.add_row(system, *(_cell(scores[name]) for name in names))
    return table


def downstream_tables(found: Downstream) -> Iterator[Table]:
    """What every reward brings, and which metric of agreement foretold it."""
    ns = list(found.oracle)
    trained = any(one.rl for one in found.results)
    title = f"put to use: {found.gold}, mean over {found.prompts:,} prompts"
    headings = ("picked by", *(f"best of {n}" for n in ns), f"gain of {ns[-1]}")
    rl = ("RL: before", "after", "gain", "own gain", "KL") if trained else ()
    table = new_table(title, *headings, *rl, title_style="bold")
    for one in found.results:
        cells = [_cell(one.gold[n], decimals=None) for n in ns]
        cells.append(_cell(one.gain[ns[-1]], signed=True, decimals=None))
        if trained and one.rl is not None:
            brought = one.rl
            cells += [_cell(value, decimals=None) for value in (brought.before, brought.after)]
            cells += [_cell(value, signed=True, decimals=None) for value in (brought.gain, brought.own_gain)]
            cells.append(format_value(brought.kl, decimals=2))
        table.add_row(one.system, *cells, style="" if one.is_baseline else "bold")
    table.add_row("gold itself", *(_cell(found.oracle[n], decimals=None) for n in ns))
    yield table
    if found.foretold:
        title = f"which metric foretold the gain: rank correlation over {len(found.results)} rewards"
        table = new_table(title, "metric", "Spearman", title_style="bold")
        for metric, value in sorted(found.foretold.items(), key=lambda item: -item[1].point):
            table.add_row(METRICS[metric].heading, _cell(value, signed=True))
        yield table


def section_tables(section: Section, *, details: bool) -> Iterator[Table]:
    """The tables of the rows of one kind: systems, subsets, and, if asked for, what stands behind the accuracy."""
    shown = section.overall.metric_names
    first = [name for name in shown if name in FIRST or name == section.primary]
    yield _systems_table(section, first)
    if rest := [name for name in shown if name not in first]:
        yield _metrics_table(section, rest)
    if section.subsets:
        yield _subsets_table(section)
    if not details:
        return
    if section.details.by_margin:
        yield _margins_table(section)
    if section.details.best_of_k:
        yield _picks_table(section)
    if section.details.probabilities:
        yield _probabilities_table(section)


def _systems_table(section: Section, names: Sequence[str]) -> Table:
    part = section.overall
    drawn = f"95% intervals over {part.clusters:,} {part.unit}s"
    pairs = f", {part.pairs:,} pairs" if section.kind != "steps" else ""
    table = new_table(f"{section.kind}: {part.rows:,} rows{pairs}, {drawn}", "system", title_style="bold")
    table.columns[0].min_width = 14
    counts = {"longer_won": f"\n{part.longer_won:,}", "shorter_won": f"\n{part.shorter_won:,}"}
    for name in names:
        table.add_column(_heading(name) + counts.get(name, ""), justify="right", no_wrap=True)
    ties = section.kind != "steps"
    if ties:
        table.add_column("ties", justify="right", no_wrap=True)
    for model in part.models:
        table.add_column(f"{model.name} minus it,\n{METRICS[section.primary].heading}", justify="right")
    for system in part.systems:
        values = [(name in counts, system.metrics.get(name, Interval(math.nan))) for name in names]
        cells = [format_value(value.point) if bare else _cell(value) for bare, value in values]
        leads = [_lead(section, model, system) for model in part.models]
        style = "" if system.is_baseline else "bold"
        table.add_row(system.name, *cells, *([f"{system.score_ties:,}"] * ties), *leads, style=style)
    return table


def _metrics_table(section: Section, names: Sequence[str]) -> Table:
    table = new_table("ranks and picks", "system", title_style="bold")
    table.columns[0].min_width = 14
    for name in names:
        table.add_column(_heading(name), justify="right", no_wrap=True)
    for system in section.overall.systems:
        values = [system.metrics.get(name, Interval(math.nan)) for name in names]
        table.add_row(system.name, *map(_cell, values), style="" if system.is_baseline else "bold")
    return table


def _margins_table(section: Section) -> Table:
    table = new_table("accuracy by how clearly people preferred", "margin", "pairs", title_style="bold")
    for system in section.overall.systems:
        table.add_column(system.name, justify="right", no_wrap=not system.is_baseline)
    for one in section.details.by_margin:
        low, high = (format_value(value, decimals=None) for value in (one.low, one.high))
        values = [(system.is_baseline, one.accuracy[system.name]) for system in section.overall.systems]
        cells = [format_value(value.point) if bare else format_interval(value) for bare, value in values]
        table.add_row(low if low == high else f"{low} to {high}", f"{one.pairs:,}", *cells)
    return table


def _picks_table(section: Section) -> Table:
    curves = section.details.best_of_k
    title = f"human score of the best of k by reward, {curves[0].prompts:,} prompts"
    table = new_table(title, "picked by", title_style="bold")
    for k in curves[0].scores:
        table.add_column(f"k = {k}", justify="right")
    for curve in curves:
        table.add_row(curve.system, *(_cell(value, decimals=None) for value in curve.scores.values()))
    return table


def _probabilities_table(section: Section) -> Table:
    headings = ("system", "P(a preferred)", "ECE", "Brier", "log loss")
    table = new_table("probabilities; fits are measured on other prompts than they saw", *headings, title_style="bold")
    table.columns[1].justify = "left"
    for one in section.details.probabilities:
        for at, (kind, values) in enumerate(one.values.items()):
            table.add_row(one.system if at == 0 else "", kind, *map(format_interval, values.values()))
    return table


def _heading(name: str) -> str:
    return METRICS[name].heading.replace("length-", "length-\n").replace(" in ", "\nin ").replace(" with ", "\nwith ")


def _lead(section: Section, model: SystemResult, system: SystemResult) -> str:
    """The lead of a model over another system in the primary metric; empty where there is none."""
    if model is system or not all(section.primary in one.metrics for one in (model, system)):
        return ""
    return _cell(section.overall.difference(model.name, system.name, section.primary), signed=True)


def _subsets_table(section: Section) -> Table:
    title = f"{METRICS[section.primary].heading} by subset"
    counts = () if section.kind == "steps" else ("pairs",)
    table = new_table(title, "subset", "rows", *counts, f"{section.overall.unit}s", title_style="bold")
    table.columns[0].min_width = 20
    for system in section.overall.systems:
        table.add_column(system.name, justify="right", no_wrap=not system.is_baseline)
    alone = section.overall.models if len(section.overall.models) == 1 and section.kind != "steps" else ()
    for system in alone:
        table.add_column(f"{system.name},\nlength-\nbalanced", justify="right")
    by_rows = sorted(section.subsets, key=lambda part: part.rows, reverse=True)
    shown = {part.subset for part in by_rows[:SUBSETS_SHOWN]}
    for part in (one for one in section.subsets if one.subset in shown):
        values = [system.metrics.get(section.primary, Interval(math.nan)) for system in part.systems]
        table.add_row(
            part.subset,
            f"{part.rows:,}",
            *(f"{part.pairs:,}" for _ in counts),
            "1" if part.unit == "row" else f"{part.clusters:,}",
            *(
                format_value(value.point) if system.is_baseline else format_interval(value)
                for system, value in zip(part.systems, values, strict=True)
            ),
            *(format_value(part.system(one.name).metrics["length_balanced"].point) for one in alone),
        )
    if more := len(section.subsets) - len(shown):
        table.caption = f"The {len(shown)} subsets with most rows; --page and --json have the {more} others too."
    return table


def _cell(value: Interval, signed: bool = False, decimals: int | None = 3) -> str:
    point = format_value(value.point, signed=signed, decimals=decimals)
    return f"{point}\n{format_bounds(value, decimals=decimals)}".rstrip()
