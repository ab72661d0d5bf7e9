"""What each metric is, and the one way to print a value, an interval and a verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from guerdon.metrics.bootstrap import Interval

Outcome: TypeAlias = Literal["better", "worse", "unclear"]

ABSENT = "-"
"""What stands in place of a value that cannot be had."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, described once for tables, figures, pages and files."""

    name: str
    """Name in Python and in JSON."""
    heading: str
    """Name in tables, figures and sentences."""
    explanation: str
    """One sentence."""
    chance: float | None = None
    """What guessing gets; None where that depends on the data."""
    decimals: int | None = 3
    """None prints three significant digits, for values of any size."""
    higher_is_better: bool = True

    def outcome(self, difference: Interval) -> Outcome:
        """What a difference says: better or worse only where its whole interval lies on one side of 0."""
        if not (difference.low > 0 or difference.high < 0):
            return "unclear"
        return "better" if (difference.low > 0) is self.higher_is_better else "worse"


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "accuracy", "Share of the pairs ordered as people did; equal rewards count half.", 0.5),
        Metric(
            "length_balanced",
            "length-balanced",
            "Mean of the accuracies where the longer and where the shorter response won; length alone gets 0.5.",
            0.5,
        ),
        Metric("longer_won", "longer won", "Accuracy in the pairs whose preferred response is the longer one.", 0.5),
        Metric("shorter_won", "shorter won", "Accuracy in the pairs whose preferred response is the shorter one.", 0.5),
        Metric("pearson", "Pearson", "Linear correlation of rewards and human scores over all responses.", 0.0),
        Metric("spearman", "Spearman", "Rank correlation of rewards and human scores over all responses.", 0.0),
        Metric("spearman_within", "Spearman in prompt", "The mean over prompts of the rank correlation in each.", 0.0),
        Metric("kendall", "Kendall", "Kendall's tau-b of rewards and human scores over all responses.", 0.0),
        Metric(
            "accuracy_ties",
            "accuracy with ties",
            "Share of all pairs of a prompt, ties of people among them, where rewards that hardly differ are ties too.",
        ),
        Metric(
            "best_pick",
            "best pick",
            "How much of what the best response of a prompt has over the mean one the highest reward gets.",
            0.0,
        ),
        Metric("ndcg", "nDCG@10", "How high the ten highest rewards place the best responses; the ideal order gets 1."),
        Metric(
            "step_f1", "F1", "Harmonic mean of the shares of faulty and of faultless solutions that are judged right."
        ),
        Metric("first_error", "first error", "Share of the faulty solutions whose first wrong step is found."),
        Metric("no_error", "no error", "Share of the faultless solutions in which no step is called wrong."),
        Metric(
            "step_auc", "step AUC", "P(a right step has a higher reward than a wrong one), over all solutions.", 0.5
        ),
    )
}
"""Name -> metric, in the order of the tables."""


def format_value(value: float, *, signed: bool = False, decimals: int | None = 3) -> str:
    """A number as every table, page and message prints it; `-` for NaN.

    Args:
        value: the number.
        signed: write + before a positive number, as differences have it.
        decimals: digits after the point; None gives three significant digits, for values of any size.
    """
    return ABSENT if math.isnan(value) else _number(value, signed, _decimals([value]) if decimals is None else decimals)


def format_bounds(interval: Interval, *, decimals: int | None = 3) -> str:
    """The ends of an interval as `[0.635, 0.712]`; empty where it has none."""
    ends = interval.low, interval.high
    if any(map(math.isnan, ends)):
        return ""
    digits = _decimals([interval.point, *ends]) if decimals is None else decimals
    return f"[{', '.join(_number(end, False, digits) for end in ends)}]"


def format_interval(interval: Interval, *, signed: bool = False, decimals: int | None = 3) -> str:
    """A value with its interval as `0.674 [0.635, 0.712]`, with one number of decimals in all three.

    Example:
        >>> format_interval(Interval(11.3, -4.1, 29.1), signed=True, decimals=None)
        '+11.3 [-4.1, 29.1]'
    """
    digits = _decimals([interval.point, interval.low, interval.high]) if decimals is None else decimals
    point = format_value(interval.point, signed=signed, decimals=digits)
    return f"{point} {format_bounds(interval, decimals=digits)}".rstrip()


def format_p_value(value: float) -> str:
    """A p-value as sentences and tables print it: `p = 0.031`, or `p < 0.001`."""
    return "p < 0.001" if value < 0.001 else f"p = {format_value(value)}"


def verdict_sentence(name: str, baseline: str, metric: Metric, difference: Interval) -> str:
    """Whether a system beats its best baseline, said plainly.

    Args:
        name: the name of the system.
        baseline: the name of its best baseline.
        metric: what they are compared by.
        difference: the system minus the baseline, paired.
    """
    values = f"{metric.heading} {format_interval(difference, signed=True, decimals=metric.decimals)}"
    outcome = metric.outcome(difference)
    if outcome == "better":
        return f"{name} beats the best baseline, {baseline}: {values}."
    if outcome == "worse":
        return f"{name} is WORSE than the best baseline, {baseline}: {values}."
    if math.isnan(difference.low):
        return f"Whether {name} beats the best baseline, {baseline}, cannot be told: {values}."
    return f"{name} does NOT clearly beat the best baseline, {baseline}: {values}; the interval holds 0."


def _number(value: float, signed: bool, decimals: int) -> str:
    text = f"{value:{'+' if signed else ''}.{decimals}f}"
    zero = float(text) == 0
    return text.replace("-", "" if not signed else "+") if zero else text  # no "-0.000"


def _decimals(values: list[float]) -> int:
    """Digits after the point that give the largest of the values three significant ones; never more than three."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 3 if largest < 1 else max(0, 2 - math.floor(math.log10(largest)))
