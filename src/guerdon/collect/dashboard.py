"""The charts of a collection: who judged how much and when, how far people agreed, how long a task took."""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, median

from guerdon.collect.quality import CollectionFigures
from guerdon.report.charts import Bars, Chart, bar_chart, line_over_labels
from guerdon.report.drawing import QUIET, SERIES

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_WIDTHS = (_MINUTE, 5 * _MINUTE, 15 * _MINUTE, _HOUR, 6 * _HOUR, _DAY, 7 * _DAY, 28 * _DAY, 364 * _DAY)
_MOST_PERIODS = 14
_NAMED = 3
"""Annotators with a colour of their own; the others are one."""


@dataclass(frozen=True, slots=True)
class _Periods:
    """Spans of time of one length, which begin at whole hours or days of this machine's clock."""

    first: int
    count: int
    width: int
    offset: float

    @classmethod
    def between(cls, first: float, last: float) -> _Periods:
        """The shortest periods of which no more than `_MOST_PERIODS` hold both times."""
        zone = datetime.datetime.fromtimestamp(first).astimezone().utcoffset()
        offset = zone.total_seconds() if zone else 0.0
        for width in _WIDTHS:
            begin, end = int((first + offset) // width), int((last + offset) // width)
            if end - begin < _MOST_PERIODS:
                break
        return cls(begin, end - begin + 1, width, offset)

    def place(self, at: float) -> int:
        """The number of the period that holds a time."""
        return int((at + self.offset) // self.width) - self.first

    def labels(self) -> list[str]:
        """When each begins: days, or times of day."""
        form = "%H:%M" if self.width < 6 * _HOUR else "%m-%d\n%H:%M" if self.width < _DAY else "%m-%d"
        begins = [(self.first + at) * self.width - self.offset for at in range(self.count)]
        return [datetime.datetime.fromtimestamp(begin).strftime(form) for begin in begins]

    def name(self) -> str:
        """What one period is: the name of a text of the pages."""
        return "chart_hours" if self.width < 6 * _HOUR else "chart_days"


def collection_charts(found: CollectionFigures, text: Mapping[str, str]) -> list[Chart]:
    """Judgements by time and annotator, agreement, and the time of a task; none before two judgements."""
    if len(found.events) < 2:
        return []
    periods = _Periods.between(found.events[0].at, found.events[-1].at)
    labels, x_label = periods.labels(), text[periods.name()]
    often = [name for name, _ in Counter(event.name for event in found.events).most_common(_NAMED)]
    layers: dict[str, list[int]] = {name: [0] * periods.count for name in (*often, "")}
    seconds: dict[int, list[float]] = defaultdict(list)
    for event in found.events:
        place = periods.place(event.at)
        layers[event.name if event.name in often else ""][place] += 1
        if event.seconds is not None:
            seconds[place].append(event.seconds)
    colours = dict(zip(often, SERIES, strict=False)) | {"": QUIET}
    bars = [
        Bars(name or text["others"], heights, colours[name]) for name, heights in layers.items() if any(heights)
    ]  # fmt: skip
    charts = [bar_chart(text["chart_judged"], x_label, labels, bars)]
    agreed: dict[int, list[bool]] = defaultdict(list)
    for at, equal in found.pairs:
        agreed[periods.place(at)].append(equal)
    if agreed and periods.count > 1:
        shares = [fmean(agreed[place]) if place in agreed else float("nan") for place in range(periods.count)]
        charts.append(line_over_labels(text["chart_agreement"], x_label, labels, shares, share=True))
    if seconds and periods.count > 1:
        medians = [median(seconds[place]) if place in seconds else float("nan") for place in range(periods.count)]
        charts.append(line_over_labels(text["chart_pace"], x_label, labels, medians, share=False))
    return charts
