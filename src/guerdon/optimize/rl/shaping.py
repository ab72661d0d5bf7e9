"""From the rewards that an environment gives to those that the policy learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.trajectories import Trajectory


def shape_rewards(trajectories: Sequence[Trajectory], config: RLConfig) -> list[Trajectory]:
    """Shapes the rewards of one sampling step, in this order: penalties, masking, whitening, clipping.

    Each is a change of a trajectory's total reward, that is of the reward of its last turn; whitening divides the
    rewards of all turns. NaN stays NaN.

    Args:
        trajectories: all trajectories of the step.
        config: `token_penalty`, `missing_eos_penalty`, `mask_truncated_completions`, `whiten_rewards`, `reward_clip`.
    """
    truncated = np.array([not one.response.finished for one in trajectories])
    totals = np.array([one.reward for one in trajectories], dtype=np.float64)
    totals = totals - config.token_penalty * np.array([one.num_tokens for one in trajectories])
    totals = totals - config.missing_eos_penalty * truncated
    if config.mask_truncated_completions:
        totals = np.where(truncated, np.nan, totals)
    scale = 1.0
    if config.whiten_rewards and np.isfinite(totals).any():
        scale = 1 / (float(np.nanstd(totals)) + 1e-8)
        totals = (totals - np.nanmean(totals)) * scale
    if config.reward_clip:
        totals = np.clip(totals, -config.reward_clip, config.reward_clip)
    shaped = []
    for one, total in zip(trajectories, totals.tolist(), strict=True):
        earlier = [reward * scale for reward in one.rewards[:-1]]
        shaped.append(replace(one, rewards=(*earlier, total - sum(earlier))))
    return shaped
