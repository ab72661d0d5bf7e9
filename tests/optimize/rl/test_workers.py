"""Where the policy of a process is, in which precision, and what else it costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from guerdon import hf
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import PromptEnvironment
from guerdon.optimize.rl.trajectories import Group
from guerdon.optimize.rl.workers import (
    Learner,
    RLSetup,
    Workers,
    load_policy,
    load_weights,
    policy_weights,
    sampling_placement,
)
from guerdon.policy.model import Policy
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates


def setup_of(folder: str, **options: Any) -> RLSetup:
    config = RLConfig(policy=folder, **({"num_generations": 4, "max_new_tokens": 6} | options))
    return RLSetup(config, PromptEnvironment(LengthReward()))


def test_one_policy_learns_and_samples_on_a_cpu(tiny_llama: str) -> None:
    assert sampling_placement() == ("cpu", "float32")
    workers = Workers(setup_of(tiny_llama), Learner(setup_of(tiny_llama).config))
    assert workers.sampler() is workers.policy()


@pytest.mark.parametrize("lora_r", [0, 2])
def test_a_sampler_of_another_precision_follows_the_learner(
    lora_r: int, tiny_llama: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the learner's policy, adapters folded in, rounded; and its rounding is no change of the policy."""
    monkeypatch.setattr("guerdon.optimize.rl.workers.sampling_placement", lambda: ("cpu", "bfloat16"))
    setup = setup_of(tiny_llama, lora_r=lora_r)
    learner = Learner(setup.config)
    workers = Workers(setup, learner)
    tasks = [Candidates(prompt="boil"), Candidates(prompt="cool")]
    for step in range(2):
        rollouts, _ = workers.sample(tasks, [step])
        metrics = learner.update(rollouts.groups, beta=0.04, learning_rate=0.01, seed=0)
        assert metrics["clip_ratio"] == 0
        assert abs(metrics["approx_kl"]) < 1e-6
    expected = dict(hf.merged(learner.policy.model).named_parameters())
    first = dict(Policy.load(tiny_llama).model.named_parameters())
    moved = 0
    for name, value in workers.sampler().model.named_parameters():
        torch.testing.assert_close(value, expected[name].to(torch.bfloat16))
        moved += not torch.equal(value, first[name].to(torch.bfloat16))
    assert moved > 10


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


@pytest.mark.parametrize("num_iterations", [1, 2])
def test_rounding_by_runners_is_not_taken_for_a_change_of_the_policy(num_iterations: int, tiny_llama: str) -> None:
    config = RLConfig(
        policy=tiny_llama,
        lora_r=0,
        num_generations=4,
        max_new_tokens=6,
        algorithm="gspo",
        num_iterations=num_iterations,
    )
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


@pytest.mark.gpu
@pytest.mark.parametrize("lora_r", [0, 2])
def test_a_sampler_on_a_gpu_is_a_copy_beside_the_learner(lora_r: int, tiny_llama: str) -> None:
    setup = setup_of(tiny_llama, lora_r=lora_r)
    learner = Learner(setup.config)
    workers = Workers(setup, learner)
    for step in range(2):
        rollouts, _ = workers.sample([Candidates(prompt="boil"), Candidates(prompt="cool")], [step])
        metrics = learner.update(rollouts.groups, beta=0.04, learning_rate=0.01, seed=step)
        assert metrics["clip_ratio"] == 0, "rounding is not taken for a change of the policy"
    expected = dict(hf.merged(learner.policy.model).named_parameters())
    for name, value in workers.sampler().model.named_parameters():
        assert (value.device.type, value.dtype) == ("cuda", torch.bfloat16)
        torch.testing.assert_close(value, expected[name].to(torch.bfloat16))
