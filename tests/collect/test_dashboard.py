"""The charts of a collection: which periods, whose bars, and names that matplotlib would read as formulas."""

from __future__ import annotations

import datetime
import re

import pytest

from guerdon.collect.dashboard import _Periods, collection_charts
from guerdon.collect.quality import CollectionFigures, Event
from guerdon.collect.web.site import texts

NOON = datetime.datetime(2026, 3, 4, 12, 0).timestamp()
HOUR, DAY = 3600.0, 86400.0


def figures(events: list[Event], pairs: list[tuple[float, bool]]) -> CollectionFigures:
    return CollectionFigures(10, 5, len(events), (), tuple(events), tuple(pairs))


@pytest.mark.parametrize(
    ("later", "count", "labels"),
    [
        (9 * 60.0, 10, ["12:00", "12:01"]),
        (12 * HOUR, 13, ["12:00", "13:00"]),
        (3 * DAY, 13, ["03-04\n12:00", "03-04\n18:00"]),
        (9 * DAY, 10, ["03-04", "03-05"]),
        (30 * DAY, 5, None),
    ],
)
def test_periods_are_whole_and_few(later: float, count: int, labels: list[str] | None) -> None:
    periods = _Periods.between(NOON, NOON + later)
    assert len(periods.labels()) == periods.count
    assert abs(periods.count - count) <= 1, "weeks may begin on any day"
    assert labels is None or periods.labels()[:2] == labels
    assert periods.place(NOON) == 0
    assert periods.place(NOON + later) == periods.count - 1


def test_bars_lines_and_their_names() -> None:
    names = ["Ann", "$x$_{", "陈晓明", "Dan", "Eve"]
    events = [Event(names[n % 5], NOON + n * DAY / 4, None if n % 2 else 10.0) for n in range(30)]
    pairs = [(NOON, True), (NOON, False), (NOON + 7 * DAY, True)]
    for language in ("en", "zh"):
        text = texts()[language]
        charts = collection_charts(figures(events, pairs), text)
        assert [chart.title for chart in charts] == [text[f"chart_{name}"] for name in ("judged", "agreement", "pace")]
        assert "$x$_{" in charts[0].svg
        assert text["others"] in charts[0].svg
        assert "100%" in charts[1].svg
        colours = set(re.findall(r"#[0-9a-f]{6}", "".join(chart.svg for chart in charts)))
        assert colours <= {"#ffffff", "#000000"}, "all others follow the style sheet"


def test_judgements_are_counted_in_whole_numbers() -> None:
    charts = collection_charts(figures([Event("Ann", NOON, 1.0), Event("Ben", NOON + DAY, 1.0)], []), texts()["en"])
    assert re.findall(r">(\d+(?:\.\d+)?)</text>", charts[0].svg) == ["0", "1"]


def test_nothing_before_two_judgements_and_no_line_in_one_period() -> None:
    text = texts()["en"]
    assert collection_charts(figures([], []), text) == []
    assert collection_charts(figures([Event("Ann", NOON, 1.0)], []), text) == []
    both = [Event("Ann", NOON, 1.0), Event("Ben", NOON + 1, 2.0)]
    assert len(collection_charts(figures(both, [(NOON, True)]), text)) == 1
