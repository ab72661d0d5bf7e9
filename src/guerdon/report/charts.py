"""The geometry of the report's drawings: numbers to places on a canvas; the template draws them.

Drawn as SVG in the page itself they follow its colours in light and dark, and its fonts in every script.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.metrics import Floats
from guerdon.report.curves import LearningCurve, Points

WIDTH, HEIGHT = 420.0, 210.0
"""Canvas in SVG units; small, so that its labels are still readable at the width of a phone."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 38.0, 10.0, 10.0, 24.0
_BINS = 28


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    place: float
    label: str


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one outline with the space below it filled."""

    name: str
    style: str
    """A CSS class: `model`, `quiet` or `against`."""
    path: str
    """An SVG path."""
    dots: tuple[tuple[float, float], ...] = ()
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that the template needs to draw one chart."""

    title: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    series: tuple[Series, ...]
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map of values to places."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        """The place of a value."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start), 2)


def learning_charts(curve: LearningCurve) -> list[Chart]:
    """Loss by step, and accuracy where there is one; what was logged once only is not drawn."""
    charts = []
    for title, training, held_out in (
        ("Loss", curve.loss, curve.held_out_loss),
        ("Accuracy", curve.accuracy, curve.held_out_accuracy),
    ):
        if len(training) > 1:
            series = [("training rows", "quiet", training), ("held-out rows", "model", held_out)]
            charts.append(line_chart(title, "optimiser step", [line for line in series if line[2]]))
    return charts


def line_chart(title: str, x_label: str, lines: Sequence[tuple[str, str, Points]]) -> Chart:
    """Lines over a common axis that begins at 0.

    Args:
        title: of the chart.
        x_label: of the axis below.
        lines: name, style and points (x, y) of each line; `quiet` ones have no dots.
    """
    steps = [step for _, _, points in lines for step, _ in points]
    values = [value for _, _, points in lines for _, value in points]
    x = Scale(0.0, max(steps) or 1.0, _LEFT, WIDTH - _RIGHT)
    low, high = padded(min(values), max(values))
    y = Scale(low, high, HEIGHT - _BOTTOM, _TOP)
    return Chart(
        title=title,
        x_label=x_label,
        x_ticks=_ticks(x, 5),
        y_ticks=_ticks(y, 4),
        series=tuple(
            Series(
                name,
                style,
                "M" + "L".join(f"{x(step)} {y(value)}" for step, value in points),
                tuple((x(step), y(value)) for step, value in points) if style != "quiet" else (),
            )
            for name, style, points in lines
        ),
    )


def distribution_chart(preferred: Floats, others: Floats) -> Chart | None:
    """Where the rewards of preferred and of other answers lie; None for fewer than 10 pairs.

    Args:
        preferred: finite rewards, shape (m,).
        others: shape (m,), of the answers that the preferred ones stand above.
    """
    both = np.concatenate([preferred, others])
    if len(preferred) < 10 or np.ptp(both) == 0:
        return None
    # One wild reward must not squeeze all others into one bar: what lies outside goes into the outermost bars.
    low, high = (
        np.quantile(both, [0.005, 0.995]) if np.ptp(np.quantile(both, [0.005, 0.995])) else np.quantile(both, [0, 1])
    )
    edges = np.linspace(low, high, _BINS + 1)
    counts = [np.histogram(np.clip(values, low, high), edges)[0] / len(values) for values in (others, preferred)]
    x = Scale(float(low), float(high), _LEFT, WIDTH - _RIGHT)
    y = Scale(0.0, float(max(map(np.max, counts))) * 1.08, HEIGHT - _BOTTOM, _TOP)
    names = (("the other answers", "against"), ("the preferred answers", "model"))
    return Chart(
        title="Rewards of preferred and other answers",
        x_label="reward",
        x_ticks=_ticks(x, 5),
        y_ticks=tuple(Tick(tick.place, f"{float(tick.label):.0%}") for tick in _ticks(y, 4)),
        series=tuple(
            Series(name, style, _steps(edges, shares, x, y), filled=True)
            for (name, style), shares in zip(names, counts, strict=True)
        ),
    )


def _steps(edges: Floats, shares: Floats, x: Scale, y: Scale) -> str:
    """An outline of bars that begins and ends on the axis."""
    places = [f"M{x(edges[0])} {y(0)}"]
    for left, right, share in zip(edges, edges[1:], shares, strict=False):
        places.append(f"L{x(left)} {y(share)}L{x(right)} {y(share)}")
    return "".join([*places, f"L{x(edges[-1])} {y(0)}Z"])


def padded(low: float, high: float) -> tuple[float, float]:
    """A range with some air, also where all values are one."""
    air = 0.08 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - air, high + air


def _ticks(scale: Scale, about: int) -> tuple[Tick, ...]:
    """Round numbers inside the range: 1, 2 or 5 times a power of ten apart."""
    rough = (scale.high - scale.low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    decimals = max(0, -math.floor(math.log10(step)))
    return tuple(Tick(scale(i * step), f"{i * step:.{decimals}f}") for i in range(first, last + 1))
