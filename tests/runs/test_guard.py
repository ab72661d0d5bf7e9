"""A run without any reward ends, and says why."""

from __future__ import annotations

import math

import pytest

from guerdon.errors import ModelError
from guerdon.runs.guard import MissingRewardGuard


def test_three_steps_in_a_row_without_a_reward_end_the_run() -> None:
    guard = MissingRewardGuard()
    for values in ([math.nan], [math.nan, 1.0], [math.nan], [math.inf]):
        guard.note(values)
    with pytest.raises(ModelError, match=r"no response of 3 steps in a row has a reward\. Fix:"):
        guard.note([math.nan])


def test_the_commonest_reason_is_told() -> None:
    guard = MissingRewardGuard()
    guard.note([math.nan])
    guard.note([math.nan])
    with pytest.raises(ModelError, match=r"has a reward \(no sandbox\)"):
        guard.note([math.nan] * 3, ["empty", "no sandbox", "no sandbox"])
