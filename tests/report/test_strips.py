from __future__ import annotations

import math

from guerdon.metrics import Interval
from guerdon.report.strips import Axis


def test_axis_holds_everything() -> None:
    axis = Axis.around(0.5, [Interval(0.73, 0.68, 0.81), Interval(math.nan)])
    assert (axis.low, axis.high, axis.chance) == (0.5, 0.9, 0.5)
    assert axis.mark(Interval(0.7, 0.6, 0.8)) == {"at": 50.0, "from": 25.0, "span": 50.0}
    assert axis.mark(Interval(math.nan)) is None
    assert Axis.around(0.0, [Interval(-0.25)]).low == -0.3
