"""The picture of an evaluation."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from guerdon.errors import ConfigError
from guerdon.evaluate.probabilities import AS_IT_IS, FEWEST_PAIRS
from guerdon.evaluate.results import Evaluation, PartResult, Section
from guerdon.metrics import METRICS, Interval
from guerdon.report.drawing import (
    AGAINST,
    INK,
    MODEL,
    QUIET,
    RULE,
    SERIES,
    font_families,
    new_figure,
    plain_axis,
    readable_label,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_SUBSETS = 12
"""With more subsets only the whole is drawn: the bars would be too thin to read."""

# Greys and tans for what the models must beat, in the order of the baselines. Legible without colour too: the models
# come first in every cluster of bars.
_BASELINES = ("#b8b8b8", "#d9d4c7", "#8a8578", "#c9a66b", "#6f6a5f")


def accuracy_figure(evaluation: Evaluation) -> Figure:
    """The models beside the baselines in the primary metric of each kind of rows, bars with 95% intervals.

    A dashed line is what guessing gets. One panel for each section, with a cluster of bars for the whole and, up to
    12, for each subset. The length-balanced accuracy of the whole stands beside it, because a plain accuracy hides a
    reward that only reads length.
    """
    sections = evaluation.sections
    widest = max(len(_clusters(section)) for section in sections)
    width = min(16.0, max(6.4, 1.3 * widest + 2.4))
    figure = new_figure(width, 3.6 * len(sections) + 0.5)
    axes = figure.subplots(len(sections), 1, squeeze=False)[:, 0]
    for axis, section in zip(axes, sections, strict=True):
        _draw(axis, section)
    handles, labels = axes[0].get_legend_handles_labels()
    readable = [readable_label(label, f"system {i + 1}") for i, label in enumerate(labels)]
    across = max(1, int(11 * width / (max(map(len, readable)) + 6)))  # about 11 characters fit an inch
    columns = min(len(labels), across)
    legend = figure.legend(handles, readable, loc="outside lower center", ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_fontfamily(font_families())
    return figure


def reliability_figure(evaluation: Evaluation) -> Figure:
    """What systems say beside what happens: P(a preferred) as it is and by the best fit, one panel for each system.

    Raises:
        ConfigError: there are no probabilities to draw.
    """
    found = [one for section in evaluation.sections for one in section.details.probabilities]
    if not found:
        raise ConfigError(f"a reliability diagram needs {FEWEST_PAIRS} pairs of two or more prompts")
    figure = new_figure(4.2 * len(found), 4.2)
    for axis, one in zip(figure.subplots(1, len(found), squeeze=False)[0], found, strict=True):
        axis.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle="--")
        for kind, colour in ((AS_IT_IS, MODEL), (one.best, AGAINST)):
            points = [(bin_.said, bin_.happened) for bin_ in one.reliability[kind]]
            axis.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=kind)
        plain_axis(axis)
        axis.set(xlim=(0, 1), ylim=(0, 1), xlabel="stated P(a preferred)", ylabel="share preferred")
        axis.set_title(readable_label(one.system, "system"), loc="left", fontsize=10, fontfamily=font_families())
        axis.legend(loc="upper left", frameon=False, labelcolor="linecolor")
    return figure


def _clusters(section: Section) -> list[tuple[str, PartResult, str]]:
    """What one panel shows: label, part of the data, metric of each cluster of bars."""
    clusters = [(f"all\n{METRICS[section.primary].heading}", section.overall, section.primary)]
    if section.primary != "length_balanced" and section.kind != "steps":
        clusters.append(("all\nlength-balanced", section.overall, "length_balanced"))
    if len(section.subsets) <= MAX_SUBSETS:
        clusters += [
            (readable_label(part.subset, f"subset {i + 1}"), part, section.primary)
            for i, part in enumerate(section.subsets)
        ]
    return clusters


def _draw(axis: Axes, section: Section) -> None:
    clusters = _clusters(section)
    systems = section.overall.systems
    bar = 0.8 / len(systems)
    colours = {False: itertools.cycle(SERIES), True: itertools.cycle(_BASELINES)}
    for i, system in enumerate(systems):
        intervals = [part.systems[i].metrics.get(metric, Interval(math.nan)) for _, part, metric in clusters]
        heights = [0.0 if math.isnan(interval.point) else interval.point for interval in intervals]
        # An interval without bounds draws no whisker rather than one of no length.
        errors = [[_gap(v.point - v.low) for v in intervals], [_gap(v.high - v.point) for v in intervals]]
        places = [place + (i - (len(systems) - 1) / 2) * bar for place in range(len(clusters))]
        axis.bar(places, heights, bar * 0.92, label=system.name, color=next(colours[system.is_baseline]), zorder=2)
        axis.errorbar(places, heights, yerr=errors, fmt="none", ecolor="#333333", elinewidth=1, capsize=2, zorder=3)
    for place, (_, _, metric) in enumerate(clusters):
        chance = METRICS[metric].chance
        if chance is not None:
            axis.hlines(chance, place - 0.45, place + 0.45, color=INK, lw=0.9, ls="--", zorder=4)
    whole = sum(part is section.overall for _, part, _ in clusters)
    if whole < len(clusters):
        axis.axvline(whole - 0.5, color=RULE, linewidth=1, zorder=1)
    many = len(clusters) > 4
    axis.set_xticks(
        range(len(clusters)),
        [label if len(label) <= 28 or "\n" in label else f"{label[:27]}…" for label, _, _ in clusters],
        rotation=25 if many else 0,
        ha="right" if many else "center",
        fontsize=9,
        fontfamily=font_families(),
    )
    axis.set_ylim(min(0.0, axis.get_ylim()[0]), 1.0)
    plain_axis(axis)
    axis.set_ylabel("agreement with people")
    part = section.overall
    kind = readable_label(section.kind, "ratings")
    axis.set_title(f"{kind}: {part.rows:,} rows, {part.clusters:,} {part.unit}s", loc="left", fontsize=10)
    axis.title.set_fontfamily(font_families())


def _gap(length: float) -> float:
    return length if length >= 0 else float("nan")
