"""A step of reinforcement learning on a GPU: the update of a CPU, from what the GPU itself has sampled."""

from __future__ import annotations

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import PromptEnvironment
from guerdon.optimize.rl.rl_run import train_rl_policy
from guerdon.optimize.rl.workers import Learner, RLSetup, policy_weights
from guerdon.policy.model import Policy
from guerdon.types import Candidates

pytestmark = pytest.mark.gpu

TASKS = [Candidates(prompt=prompt) for prompt in ("How do I boil an egg?", "planet?", "add two numbers", "最大的行星")]


class Share:
    """The share of digits in a response: 1 at best."""

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        shares = [sum(mark in "0123456789" for mark in text) / max(1, len(text)) for text in responses]
        return np.array(shares, np.float32)


def config(policy: str, **options: Any) -> RLConfig:
    usual: dict[str, Any] = {
        "num_generations": 8, "prompts_per_step": 4, "epochs": 1, "learning_rate": 1e-2, "max_new_tokens": 6,
        "beta": 0.04,
    }  # fmt: skip
    return RLConfig(policy=policy, **(usual | options))


def lines(folder: Path) -> list[dict[str, float]]:
    """What was logged of each step."""
    text = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    "options", [{"lora_r": 0}, {"lora_r": 4}, {"lora_r": 4, "algorithm": "ppo"}, {"lora_r": 0, "tokens_per_batch": 64}]
)
def test_the_update_is_that_of_a_cpu(options: dict[str, Any], tiny_llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where products are in float32 as there."""
    monkeypatch.setattr("guerdon.optimize.rl.update.mixed_precision", lambda _: nullcontext())
    settings = config(tiny_llama, **options)
    learner = Learner(settings)
    assert learner.policy.model.device.type == "cuda"
    groups = RLSetup(settings, PromptEnvironment(Share())).sample(learner.policy, TASKS, seed=1).groups
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    on_cpu = Learner(settings)
    assert on_cpu.policy.model.device.type == "cpu"
    start = policy_weights(on_cpu.policy)
    metrics, expected = (one.update(groups, beta=0.04, learning_rate=1e-3, seed=0) for one in (learner, on_cpu))
    for name in expected.keys() - {"seconds_learning"}:
        assert metrics[name] == pytest.approx(expected[name], rel=1e-3, abs=1e-4), name
    moved = 0.0
    for name, weight in policy_weights(on_cpu.policy).items():
        # The first step of Adam is the sign of the gradient: where that is nearly 0, rounding decides.
        gap = (policy_weights(learner.policy)[name] - weight).abs()
        assert (gap > 1e-4).float().mean() < 0.02, name
        moved += float((weight - start[name]).abs().sum())
    assert moved > 0


@pytest.mark.parametrize("lora_r", [0, 4])
def test_a_run_samples_scores_and_learns(lora_r: int, tiny_llama: str, tmp_path: Path) -> None:
    settings = config(tiny_llama, epochs=16, lora_r=lora_r, num_generations=16, num_iterations=2, beta=0.001)
    trained = train_rl_policy(Share(), TASKS, tmp_path, settings)
    log = lines(tmp_path)
    assert trained.model.device.type == "cuda"
    assert log[0]["kl"] == pytest.approx(0, abs=1e-3), "what was sampled is what is learnt from"
    assert all(math.isfinite(value) for step in log for value in step.values())
    assert log[-1]["reward"] > log[0]["reward"] + 0.05
    assert Policy.load(str(tmp_path), device="cpu").model.dtype == torch.float32


@pytest.mark.parametrize("runners", [{"num_env_runners": 1}, {"num_env_runners": 1, "num_learners": 1}])
def test_actors_share_the_gpu(runners: dict[str, int], tiny_llama: str, tmp_path: Path) -> None:
    """A runner of its own samples in bfloat16, whose rounding is not taken for a change of the policy."""
    train_rl_policy(Share(), TASKS, tmp_path, config(tiny_llama, epochs=2, **runners))
    log = lines(tmp_path)
    assert all(math.isfinite(value) for step in log for value in step.values())
    assert log[0]["clip_ratio"] == 0
