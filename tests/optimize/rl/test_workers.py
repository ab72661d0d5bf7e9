"""Where the policy of a process is, in which precision, and what else it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import PromptEnvironment
from guerdon.optimize.rl.trajectories import Group
from guerdon.optimize.rl.workers import Learner, RLSetup, load_policy, load_weights, policy_weights, runner_placement
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates


@pytest.mark.parametrize(
    ("options", "cuda", "expected"),
    [
        ({}, False, ("cpu", "float32")),
        ({}, True, ("cuda", "float32")),
        ({"num_env_runners": 2}, False, ("cpu", "float32")),
        ({"num_env_runners": 2}, True, ("cuda", "bfloat16")),
        ({"num_learners": 2}, True, ("cuda", "bfloat16")),
    ],
)
def test_a_policy_that_only_samples_does_so_in_the_precision_of_the_gpu(
    options: dict[str, Any], cuda: bool, expected: tuple[str, str]
) -> None:
    assert runner_placement(RLConfig(**options), cuda=cuda) == expected


def test_weights_arrive_in_the_precision_that_a_policy_has(tiny_llama: str) -> None:
    config = RLConfig(policy=tiny_llama, lora_r=2)
    learner, runner = Learner(config).policy, load_policy(config, "cpu", "bfloat16")
    with torch.no_grad():
        for parameter in learner.model.parameters():
            parameter.add_(0.25)
    weights = policy_weights(learner)
    assert weights
    assert all("lora" in name for name in weights), "a frozen base stays where it is"
    load_weights(runner, weights)
    arrived = policy_weights(runner)
    for name, value in weights.items():
        assert arrived[name].dtype == torch.bfloat16 or "lora" in name
        torch.testing.assert_close(arrived[name], value.to(arrived[name].dtype))


def test_rounding_by_runners_is_not_taken_for_a_change_of_the_policy(tiny_llama: str) -> None:
    config = RLConfig(policy=tiny_llama, lora_r=0, num_generations=4, max_new_tokens=6, algorithm="gspo")
    learner = Learner(config)
    setup = RLSetup(config, PromptEnvironment(LengthReward()))
    groups = setup.sample(learner.policy, [Candidates(prompt="boil"), Candidates(prompt="cool")], seed=1).groups

    def rounded(group: Group) -> Group:
        own = [
            replace(one, response=replace(one.response, logps=tuple(logp - 0.05 for logp in one.response.logps)))
            for one in group.trajectories
        ]
        return replace(group, trajectories=tuple(own))

    noisy = [rounded(group) for group in groups]
    for exact, given, expected in ((True, groups, 0.0), (True, noisy, 0.5), (False, noisy, 0.0)):
        learner.updater.exact_logps = exact
        metrics = learner.update(given, beta=0.0, learning_rate=0.0, seed=0)
        assert (metrics["clip_ratio"] >= expected) if expected else (metrics["clip_ratio"] == 0)
