"""The rewards that are learnt from, from those that the environment gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.shaping import shape_rewards
from guerdon.optimize.rl.trajectories import Trajectory
from guerdon.policy.decode import Sample

REWARDS = [(1.0,), (-3.0,), (math.nan,), (5.0,)]
TOKENS = [10, 20, 5, 40]
FINISHED = [True, True, True, False]


def trajectories(rewards: list[tuple[float, ...]] = REWARDS) -> list[Trajectory]:
    return [
        Trajectory(Sample((7,) * tokens, (0.0,) * tokens, finished), (tokens - 1,), own)
        for own, tokens, finished in zip(rewards, TOKENS, FINISHED, strict=True)
    ]


def shaped(rewards: list[tuple[float, ...]] = REWARDS, **options: Any) -> list[tuple[float, ...]]:
    return [one.rewards for one in shape_rewards(trajectories(rewards), RLConfig(**options))]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1.0, -3.0, math.nan, 5.0]),
        ({"mask_truncated_completions": True}, [1.0, -3.0, math.nan, math.nan]),
        ({"missing_eos_penalty": 2.0}, [1.0, -3.0, math.nan, 3.0]),
        ({"token_penalty": 0.1}, [0.0, -5.0, math.nan, 1.0]),
        ({"reward_clip": 2.0}, [1.0, -2.0, math.nan, 2.0]),
        ({"token_penalty": 0.1, "missing_eos_penalty": 1.0, "reward_clip": 1.0}, [0.0, -1.0, math.nan, 0.0]),
    ],
)
def test_by_hand(options: dict[str, Any], expected: list[float]) -> None:
    np.testing.assert_allclose([reward for (reward,) in shaped(**options)], expected)


def test_whitening_passes_over_what_has_no_reward() -> None:
    found = [reward for (reward,) in shaped(whiten_rewards=True)]
    assert math.isnan(found[2])
    assert np.nanmean(found) == pytest.approx(0)
    assert np.nanstd(found) == pytest.approx(1)
    assert np.isnan(shaped([(math.nan,)] * 4, whiten_rewards=True)).all()


def test_of_several_turns_the_total_is_shaped_and_earlier_turns_keep_theirs() -> None:
    rewards = [(1.0, 2.0), (0.5, -1.0), (math.nan, 1.0), (2.0, 2.0)]
    assert shaped(rewards)[:2] == rewards[:2]
    assert shaped(rewards, reward_clip=2.5)[0] == pytest.approx((1.0, 1.5))
    assert shaped(rewards, missing_eos_penalty=1.0)[3] == pytest.approx((2.0, 1.0))
    whitened = shaped(rewards, whiten_rewards=True)
    totals = np.array([3.0, -0.5, 4.0])
    for own, (first, second), total in zip(
        (whitened[0], whitened[1], whitened[3]), (rewards[0], rewards[1], rewards[3]), totals, strict=True
    ):
        assert sum(own) == pytest.approx((total - totals.mean()) / totals.std())
        assert own[0] == pytest.approx(first / totals.std())
        assert first + second == total
    assert math.isnan(sum(whitened[2]))
