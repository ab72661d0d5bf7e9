"""RLlib's side of a judge: the module is the policy of the exact return, and PPO learns the toy with it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("ray.rllib")

from ray.rllib.core.columns import Columns

from guerdon.rewards.early_judge import STOP_FEATURES
from guerdon.train.judge_config import JudgeConfig
from guerdon.train.judge_environment import EXTRAS, READ_ON, JudgeEnvironment
from guerdon.train.judge_exact import reading_on
from guerdon.train.judge_ppo import JudgeModule, fit_ppo
from guerdon.train.judge_readings import Readings


def toy(pairs: int = 40) -> Readings:
    """Three chunks; the first feature tells which is better from the second chunk on, the other two are noise."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(pairs * 6, 3))
    places = np.arange(pairs * 6).reshape(pairs, 2, 3)
    values[places[:, 0, 1:], 0], values[places[:, 1, 1:], 0] = 2, -2
    one = np.ones(pairs)
    share = np.tile([0.3, 0.6, 1.0], (pairs, 1))
    return Readings(
        values,
        places[:, 0],
        places[:, 1],
        np.full(pairs, 2),
        np.tile([0.0, 0.0, 1.0], (pairs, 1)),
        share,
        30 * one,
        one,
        one,
        np.arange(pairs),
    )


def test_module_is_the_policy_of_the_exact_return_and_swaps_with_its_input() -> None:
    readings = toy()
    environment = JudgeEnvironment(readings, num_envs=40)
    seen, _ = environment.reset(seed=0)
    seen = environment.step(np.full(40, READ_ON))[0]
    module = JudgeModule(
        observation_space=environment.single_observation_space,
        action_space=environment.single_action_space,
        model_config={},
    )
    weights, stop = np.array([0.7, -0.3, 0.2]), np.linspace(-0.5, 0.5, len(STOP_FEATURES))
    with torch.no_grad():
        module.reward_weights.copy_(torch.from_numpy(weights))
        module.stop_weights.copy_(torch.from_numpy(stop))
        logits = module.forward_inference({Columns.OBS: torch.from_numpy(seen)})[Columns.ACTION_DIST_INPUTS].numpy()
    differences = readings.differences(weights)
    pair, sign = environment._pair, np.where(environment._swapped, -1, 1)
    np.testing.assert_allclose(logits[:, 0], reading_on(readings, differences, stop)[pair, 1], rtol=1e-4)
    np.testing.assert_allclose(logits[:, 1], sign * differences[pair, 1] / 2, rtol=1e-4)
    np.testing.assert_allclose(logits[:, 2], -logits[:, 1])
    turned = np.concatenate([seen[:, 3:6], seen[:, :3], seen[:, -EXTRAS:]], axis=1)
    with torch.no_grad():
        other = module.forward_inference({Columns.OBS: torch.from_numpy(turned)})[Columns.ACTION_DIST_INPUTS].numpy()
    np.testing.assert_allclose(other, logits[:, [0, 2, 1]], atol=1e-6)
    ended = environment.step(np.full(40, READ_ON))[0]
    with torch.no_grad():
        last = module.forward_inference({Columns.OBS: torch.from_numpy(ended)})[Columns.ACTION_DIST_INPUTS]
    assert torch.softmax(last, dim=-1)[:, READ_ON].max() == 0


@pytest.mark.filterwarnings("ignore")  # RLlib's and Gymnasium's own
def test_ppo_learns_the_feature_that_tells() -> None:
    *_, (iteration, weights) = fit_ppo(toy(), JudgeConfig(algorithm="ppo"), 3)
    assert iteration == 3
    assert weights[0] > np.abs(weights[1:]).max()
    assert (toy().differences(weights)[:, -1] > 0).mean() > 0.9
