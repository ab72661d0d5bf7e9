"""The charts of the pages: learning curves, lines, stacked bars, and where rewards lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from guerdon.metrics import Floats
from guerdon.report.drawing import AGAINST, MODEL, QUIET, new_figure, page_svg, plain_axis
from guerdon.runs.log import LearningCurve, Points

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = 5.0, 2.7
"""Size in inches; small, so that labels are still readable at the width of a phone."""
_BINS = 28
_LABELS = 6
"""The most labels that stand under an axis."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart of a page."""

    title: str
    svg: Markup


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    name: str
    points: Points
    """(x, y)."""
    colour: str = MODEL


@dataclass(frozen=True, slots=True)
class Bars:
    """One layer of stacked bars."""

    name: str
    heights: Sequence[float]
    colour: str = MODEL


def learning_charts(curve: LearningCurve) -> list[Chart]:
    """Loss by step, and accuracy where there is one; what was logged once only is not drawn."""
    series = {"Loss": (curve.loss, curve.validation_loss), "Accuracy": (curve.accuracy, curve.validation_accuracy)}
    charts = []
    for title, (training, validation) in series.items():
        if len(training) > 1:
            lines = [Line("training rows", training, QUIET), Line("validation rows", validation)]
            charts.append(line_chart(title, "optimiser step", [line for line in lines if line.points]))
    return charts


def bar_chart(title: str, x_label: str, labels: Sequence[str], layers: Sequence[Bars]) -> Chart:
    """Bars, one for each label, with layers upon each other."""
    figure, axis = _empty(x_label)
    counts = all(float(height).is_integer() for layer in layers for height in layer.heights)
    axis.locator_params(axis="y", integer=counts)
    below = np.zeros(len(labels))
    for layer in layers:
        heights = np.asarray(layer.heights, dtype=np.float64)
        axis.bar(np.arange(len(labels)), heights, bottom=below, color=layer.colour, label=layer.name, width=0.75)
        below += heights
    return _finished(figure, axis, title, legend=len(layers) > 1, labels=labels)


def line_over_labels(title: str, x_label: str, labels: Sequence[str], values: Sequence[float], *, share: bool) -> Chart:
    """A line over labels; NaN interrupts it. A share has an axis from 0 to 100%."""
    from matplotlib.ticker import PercentFormatter

    figure, axis = _empty(x_label)
    axis.plot(np.arange(len(labels)), values, color=MODEL, marker="o", markersize=5)
    axis.set_xlim(-0.5, len(labels) - 0.5)
    # Points at the ends of the axis are seen as a whole.
    axis.set_ylim(*((-0.04, 1.04) if share else (0, 1.08 * max(np.nanmax(values), 1e-9))))
    if share:
        axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    return _finished(figure, axis, title, legend=False, labels=labels)


def line_chart(title: str, x_label: str, lines: Sequence[Line]) -> Chart:
    """Lines over a common axis that begins at 0; the points of all but quiet lines are marked."""
    figure, axis = _empty(x_label)
    for line in lines:
        marker = "" if line.colour == QUIET else "o"
        axis.plot(*zip(*line.points, strict=True), color=line.colour, label=line.name, marker=marker, markersize=4)
    axis.set_xlim(left=0)
    chart_of_counts = all(float(x).is_integer() for line in lines for x, _ in line.points)
    axis.locator_params(axis="x", integer=chart_of_counts)
    return _finished(figure, axis, title, legend=len(lines) > 1)


def distribution_chart(preferred: Floats, others: Floats) -> Chart | None:
    """Where the rewards of preferred responses and of those that they stand above lie; None for fewer than 10 pairs.

    Both have shape (m,), and are finite.
    """
    from matplotlib.ticker import PercentFormatter

    both = np.concatenate([preferred, others])
    if len(preferred) < 10 or np.ptp(both) == 0:
        return None
    # One wild reward must not squeeze all others into one bar: what lies outside goes into the outermost bars.
    middle = np.quantile(both, [0.005, 0.995])
    low, high = middle if np.ptp(middle) else (both.min(), both.max())
    edges = np.linspace(low, high, _BINS + 1)
    figure, axis = _empty("reward")
    for name, values, colour in (("other responses", others, AGAINST), ("preferred responses", preferred, MODEL)):
        shares = np.histogram(np.clip(values, low, high), edges)[0] / len(values)
        axis.stairs(shares, edges, color=colour, linewidth=1.5, label=name)
        axis.stairs(shares, edges, color=colour, fill=True, alpha=0.3)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    return _finished(figure, axis, "Rewards of preferred and other responses", legend=True)


def _empty(x_label: str) -> tuple[Figure, Axes]:
    figure = new_figure(*_SIZE)
    axis = figure.subplots()
    axis.set_xlabel(x_label)
    return figure, axis


def _finished(figure: Figure, axis: Axes, title: str, *, legend: bool, labels: Sequence[str] = ()) -> Chart:
    plain_axis(axis)
    axis.locator_params(axis="both", nbins=5)
    if labels:
        places = range(0, len(labels), -(-len(labels) // _LABELS))
        axis.set_xticks(list(places), [labels[place] for place in places])
    if legend:
        box = figure.legend(loc="outside upper left", ncols=2, frameon=False, labelcolor="linecolor")
        for text in box.get_texts():
            text.set_parse_math(False)  # a name may have a dollar sign
    return Chart(title, page_svg(figure, title))
