"""The table over one objective: numbers worked out by hand, plain loops, TRL's trainers, and micro-batches."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from guerdon import losses
from guerdon.errors import ConfigError
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.algorithms import ALGORITHMS
from guerdon.optimize.rl.objective import MinibatchSize, SampledBatch, compute_advantages, policy_loss, value_loss

GROUP, LENGTH = 4, 6


def step(seed: int = 0, groups: int = 3) -> SampledBatch:
    generator = torch.Generator().manual_seed(seed)
    n = groups * GROUP
    lengths = torch.randint(1, LENGTH + 1, (n,), generator=generator)
    mask = (torch.arange(LENGTH) < lengths.unsqueeze(1)).double()
    draw = lambda: -torch.rand(n, LENGTH, generator=generator, dtype=torch.float64) * 3  # noqa: E731
    return SampledBatch(
        rewards=at_end(torch.randn(n, generator=generator, dtype=torch.float64), mask),
        logps=draw() * mask, mask=mask, ref_logps=draw() * mask, values=draw() * mask,
    )  # fmt: skip


def at_end(rewards: Tensor, mask: Tensor) -> Tensor:
    """Rewards of responses at their last tokens."""
    last = mask.sum(dim=1, keepdim=True).long() - 1
    return torch.zeros_like(mask).scatter(1, last, rewards.unsqueeze(1))


def minibatch(mask: Tensor, counts: Tensor | None = None) -> MinibatchSize:
    kept = mask if counts is None else mask[counts]
    return MinibatchSize(len(kept), int(kept.sum()), LENGTH)


def loss_of(
    name: str, sampled: SampledBatch, logps: Tensor, rows: slice = slice(None), beta: float | None = None
) -> Tensor:
    algorithm = ALGORITHMS[name]
    weight = algorithm.beta if beta is None else beta
    found = compute_advantages(sampled, algorithm, group=GROUP, beta=weight)
    mask = sampled.mask * found.included.unsqueeze(1)
    assert sampled.ref_logps is not None
    return policy_loss(
        logps[rows], sampled.logps[rows], found.advantages[rows], mask[rows], minibatch(sampled.mask, found.included),
        algorithm, beta=weight, ref_logps=sampled.ref_logps[rows],
    )  # fmt: skip


@pytest.mark.parametrize("name", ALGORITHMS)
def test_micro_batches_sum_to_the_step(name: str) -> None:
    sampled = step()
    moved = (sampled.logps + 0.3 * torch.randn_like(sampled.logps)).requires_grad_()
    (whole,) = torch.autograd.grad(loss_of(name, sampled, moved), moved)
    parts = [loss_of(name, sampled, moved, slice(start, start + 5)) for start in range(0, 12, 5)]
    (cut,) = torch.autograd.grad(sum(parts), moved)  # type: ignore[arg-type]
    torch.testing.assert_close(cut, whole)
    assert not whole[sampled.mask == 0].any(), "padding has no gradient"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_answer_without_a_reward_takes_no_part(name: str) -> None:
    """It is as if it had not been sampled; never as if its reward were 0."""
    sampled = step()
    rewards = sampled.rewards.clone()
    rewards[5] = math.nan
    moved = (sampled.logps + 0.1).requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(name, replace(sampled, rewards=rewards), moved), moved)
    assert gradient.isfinite().all()
    assert not gradient[5].any()
    other = rewards.clone()
    other[5] = 0.0
    (zeroed,) = torch.autograd.grad(loss_of(name, replace(sampled, rewards=other), moved), moved)
    assert not torch.allclose(gradient, zeroed)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_at_the_sampled_policy_the_gradient_is_reinforce(name: str) -> None:
    """Where nothing has moved yet, every row is advantage times the gradient of the log-probability (KL in the loss
    apart), weighted as its average says."""
    sampled, algorithm = step(), ALGORITHMS[name]
    logps = sampled.logps.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss_of(name, sampled, logps, beta=0.0), logps)
    found = compute_advantages(sampled, algorithm, group=GROUP, beta=0.0)
    batch = minibatch(sampled.mask, found.included)
    tokens = sampled.mask.sum(dim=1, keepdim=True)
    weight = {
        "token": sampled.mask / batch.tokens,
        "constant": sampled.mask / (batch.responses * LENGTH),
        "sequence": sampled.mask / tokens / batch.responses,
    }[algorithm.average]
    if algorithm.ratio == "product":  # the whole answer's log-ratio: no token is averaged away
        weight = sampled.mask / batch.responses
    torch.testing.assert_close(gradient, -found.advantages * weight)


def test_group_advantages_by_hand() -> None:
    rewards = torch.tensor([[1.0, 2.0, 3.0, math.nan], [5.0, 5.0, 5.0, 5.0], [math.nan, 7.0, math.nan, math.nan]])
    plain = losses.group_advantages(rewards, scale=False)
    torch.testing.assert_close(plain[0, :3], torch.tensor([-1.0, 0.0, 1.0]))
    torch.testing.assert_close(losses.group_advantages(rewards)[0, :3], torch.tensor([-1.0, 0.0, 1.0]) / 1.0001)
    left_out = losses.group_advantages(rewards, baseline="leave-one-out", scale=False)
    torch.testing.assert_close(left_out[0, :3], torch.tensor([1 - 2.5, 2 - 2.0, 3 - 1.5]))
    for found in (plain, left_out):
        assert torch.equal(found.isnan(), rewards.isnan())
        assert not found[1].any()
        assert found[2, 1] == 0


def test_gae_is_that_of_rllib() -> None:
    from ray.rllib.utils.postprocessing.value_predictions import compute_value_targets

    sampled = step(seed=5)
    assert sampled.values is not None
    for row, length in enumerate(sampled.mask.sum(dim=1).int().tolist()):
        rewards, values = torch.randn(1, length).double(), sampled.values[row : row + 1, :length]
        found = losses.gae(rewards, values, torch.ones(1, length), gamma=0.99, lam=0.95) + values
        ends = np.arange(length) == length - 1
        theirs = compute_value_targets(
            values=values[0].numpy(), rewards=rewards[0].numpy(), terminateds=ends, truncateds=np.zeros(length, bool),
            gamma=0.99, lambda_=0.95,
        )  # fmt: skip
        np.testing.assert_allclose(found[0], theirs, rtol=1e-5)


def test_ppo_and_reinforce_plus_plus_by_plain_loops() -> None:
    sampled = step(seed=6)
    moved = sampled.logps + 0.4 * torch.randn_like(sampled.logps)
    lengths = sampled.mask.sum(dim=1).int().tolist()
    assert sampled.ref_logps is not None
    assert sampled.values is not None
    for name, values in (("ppo", sampled.values), ("reinforce++", torch.zeros_like(sampled.values))):
        given = replace(sampled, values=values if name == "ppo" else None)
        beta, lam = ALGORITHMS[name].beta, 0.95 if name == "ppo" else 1.0
        advantages: list[list[float]] = []
        for row, length in enumerate(lengths):
            rewards = [-beta * float(sampled.logps[row, t] - sampled.ref_logps[row, t]) for t in range(length)]
            rewards[-1] += float(sampled.total_rewards[row])
            running, after, found = 0.0, 0.0, []
            for t in reversed(range(length)):
                running = rewards[t] + after - float(values[row, t]) + lam * running
                after = float(values[row, t])
                found.append(running)
            advantages.append(found[::-1])
        flat = np.concatenate([np.array(found) for found in advantages])
        total = 0.0
        for row, length in enumerate(lengths):
            for t in range(length):
                advantage = (advantages[row][t] - flat.mean()) / (flat.std(ddof=1) + 1e-8)
                weight = math.exp(float(moved[row, t] - sampled.logps[row, t]))
                total -= min(weight * advantage, min(max(weight, 0.8), 1.2) * advantage)
        assert loss_of(name, given, moved).item() == pytest.approx(total / len(flat))


def test_the_value_loss_by_hand() -> None:
    values, sampled, targets = (torch.tensor([[x, x, 9.0]]) for x in (1.0, 0.0, 2.0))
    mask = torch.tensor([[1.0, 1.0, 0.0]])
    found = value_loss(values, sampled, targets, mask, MinibatchSize(1, 2, 3))
    assert found.item() == pytest.approx(0.5 * 0.5 * (0.2 - 2) ** 2), "the clipped value is further off, and counts"


def test_dapo_drops_groups_that_teach_nothing() -> None:
    sampled = step()
    rewards = sampled.rewards.clone()
    rewards[:GROUP] = 2.0
    rewards[GROUP : GROUP + 3] = math.nan
    found = compute_advantages(replace(sampled, rewards=rewards), ALGORITHMS["dapo"], group=GROUP, beta=0.0)
    assert found.included.tolist() == [False] * 8 + [True] * 4


def test_an_unknown_algorithm_and_a_missing_reference_are_errors() -> None:
    with pytest.raises(ConfigError, match=r"no algorithm 'a2c'; known are ppo, rloo"):
        RLConfig(algorithm="a2c")
    sampled = replace(step(), ref_logps=None)
    for name in ("ppo", "rloo"):
        with pytest.raises(ValueError, match="reference"):
            compute_advantages(sampled, ALGORITHMS[name], group=GROUP, beta=0.1)
    with pytest.raises(ValueError, match="reference"):
        policy_loss(
            sampled.logps,
            sampled.logps,
            sampled.mask,
            sampled.mask,
            minibatch(sampled.mask),
            ALGORITHMS["grpo"],
            beta=1.0,
        )


# --- TRL


def trl_loss(
    name: str, sampled: SampledBatch, folder: str, out: Path, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Any:
    """TRL's loss of the same tensors: its trainer is built on a tiny model, whose log-probabilities are given."""
    import trl
    from datasets import Dataset

    algorithm = ALGORITHMS[name]
    rloo = name == "rloo"
    kinds = {"grpo": "grpo", "dr-grpo": "dr_grpo", "dapo": "dapo", "gspo": "grpo", "cispo": "cispo"}
    common: dict[str, Any] = {
        "output_dir": str(out), "report_to": [], "use_cpu": True, "bf16": False, "num_generations": GROUP,
        "per_device_train_batch_size": GROUP, "max_completion_length": LENGTH, "beta": options["beta"],
        "epsilon": algorithm.clip_low,
        "epsilon_high": 1 + algorithm.clip_high if name == "cispo" else algorithm.clip_high,
    }  # fmt: skip
    if not rloo:
        common |= {
            "loss_type": kinds[name],
            "importance_sampling_level": "sequence" if algorithm.ratio == "sequence" else "token",
            "use_bias_correction_kl": False,  # as in the paper of GRPO
        }
    config, trainer_class = (trl.RLOOConfig, trl.RLOOTrainer) if rloo else (trl.GRPOConfig, trl.GRPOTrainer)
    data = Dataset.from_list([{"prompt": "egg"}] * GROUP)
    trainer = trainer_class(model=folder, reward_funcs=lambda **_: [0.0], args=config(**common), train_dataset=data)
    trainer.current_gradient_accumulation_steps = 1
    trainer.args.steps_per_generation = 1
    trainer.model.train()
    found = compute_advantages(sampled, algorithm, group=GROUP, beta=options["beta"])
    moved = options["moved"]
    monkeypatch.setattr(
        trainer, "_get_per_token_logps_and_entropies", lambda *_, **__: (moved, torch.zeros_like(moved), None)
    )
    n = len(sampled.rewards)
    blank = torch.ones(n, 1, dtype=torch.long)
    advantages = losses.group_advantages(_total_rewards(sampled, algorithm, options["beta"]).view(-1, GROUP),
        baseline="leave-one-out" if rloo else "mean", scale=algorithm.scale == "group").view(-1)  # fmt: skip
    inputs = {
        "prompt_ids": blank, "prompt_mask": blank, "completion_ids": torch.zeros(n, LENGTH, dtype=torch.long),
        "completion_mask": sampled.mask, "advantages": advantages, "old_per_token_logps": sampled.logps,
        "old_logps": (sampled.logps * sampled.mask).sum(dim=1), "ref_per_token_logps": sampled.ref_logps,
        "num_items_in_batch": sampled.mask.sum(),
    }  # fmt: skip
    assert found.included.all()
    return trainer._compute_loss(trainer.model, inputs)


def _total_rewards(sampled: SampledBatch, algorithm: Any, beta: float) -> Tensor:
    if algorithm.kl != "reward-total":
        return sampled.total_rewards
    assert sampled.ref_logps is not None
    return sampled.total_rewards - beta * ((sampled.logps - sampled.ref_logps) * sampled.mask).sum(dim=1)


@pytest.mark.parametrize("name", ["grpo", "dr-grpo", "dapo", "gspo", "cispo", "rloo"])
@pytest.mark.filterwarnings("ignore")
def test_the_loss_and_its_gradient_are_those_of_trl(
    name: str, tiny_llama: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled = step(seed=8)
    beta = 0.1 if ALGORITHMS[name].kl in ("loss", "reward-total") else 0.0
    moved = (sampled.logps + 0.3 * torch.randn_like(sampled.logps)).requires_grad_()
    ours = loss_of(name, sampled, moved, beta=beta)
    (mine,) = torch.autograd.grad(ours, moved)
    theirs = trl_loss(name, sampled, tiny_llama, tmp_path, monkeypatch, beta=beta, moved=moved)
    (other,) = torch.autograd.grad(theirs, moved)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(mine, other * sampled.mask)
