"""What the policy is told, from what the scorer says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from guerdon.optimize.rl.shaping import Shaping, shape

REWARDS = np.array([1.0, -3.0, math.nan, 5.0])
TOKENS = np.array([10.0, 20.0, 5.0, 40.0])
FINISHED = np.array([True, True, True, False])


@pytest.mark.parametrize(
    ("shaping", "expected"),
    [
        (Shaping(), [1.0, -3.0, math.nan, 5.0]),
        (Shaping(unfinished="drop"), [1.0, -3.0, math.nan, math.nan]),
        (Shaping(missing_eos=2.0), [1.0, -3.0, math.nan, 3.0]),
        (Shaping(per_token=0.1), [0.0, -5.0, math.nan, 1.0]),
        (Shaping(clip=2.0), [1.0, -2.0, math.nan, 2.0]),
        (Shaping(per_token=0.1, missing_eos=1.0, clip=1.0), [0.0, -1.0, math.nan, 0.0]),
    ],
)
def test_by_hand(shaping: Shaping, expected: list[float]) -> None:
    np.testing.assert_allclose(shape(REWARDS, TOKENS, FINISHED, shaping), expected)


def test_whitening_passes_over_what_has_no_reward() -> None:
    told = shape(REWARDS, TOKENS, FINISHED, Shaping(whiten=True))
    assert math.isnan(told[2])
    assert np.nanmean(told) == pytest.approx(0)
    assert np.nanstd(told) == pytest.approx(1)
    assert np.isnan(shape(np.full(4, np.nan), TOKENS, FINISHED, Shaping(whiten=True))).all()
