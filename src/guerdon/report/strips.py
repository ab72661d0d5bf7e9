"""Strips of a page: a value with its interval as a dot on a line, the same scale in every row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from guerdon.metrics import Interval


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values as a strip 100 wide."""

    low: float
    high: float
    chance: float | None

    @classmethod
    def around(cls, chance: float | None, values: Sequence[Interval]) -> Axis:
        """A range in tenths that holds all points, their intervals, and what guessing gets."""
        known = [v for value in values for v in (value.point, value.low, value.high) if not math.isnan(v)]
        known += [] if chance is None else [chance]
        low = math.floor(10 * min(known, default=0.0)) / 10
        high = math.ceil(10 * max(known, default=1.0)) / 10
        return cls(low, high if high > low else low + 0.1, chance)

    def place(self, value: float) -> float:
        """Percent of the strip, within it."""
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 2)

    def mark(self, value: Interval) -> dict[str, float] | None:
        """Places of the point and of the ends of its interval; None where there is no value."""
        if math.isnan(value.point):
            return None
        low, high = (value.point if math.isnan(end) else end for end in (value.low, value.high))
        start = self.place(low)
        return {"at": self.place(value.point), "from": start, "span": round(self.place(high) - start, 2)}
