"""The update, called directly: every row of the table learns a toy with a known optimum; exact, masked, steered."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from guerdon.errors import ModelError
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.algorithms import ALGORITHMS
from guerdon.optimize.rl.trajectories import Group, Trajectory
from guerdon.optimize.rl.update import ActorCritic, Updater, adapted_beta, reference_of
from guerdon.policy.decode import Sample, Sampling, decode
from guerdon.policy.policy_net import PolicyNet

GOOD = 7
"""The token that the toy wants everywhere: the best reward is 1, a uniform policy gets 1/16."""
PROMPTS = [(3, 4), (5,), (6, 5, 4), (2, 2)]
LONGEST = 4


def toy_model(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=16, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, pad_token_id=0, bos_token_id=1, eos_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def updater(model: Any, name: str, rate: float = 0.02, **options: Any) -> Updater:
    config = RLConfig(algorithm=name, max_new_tokens=LONGEST, **options)
    actor = ActorCritic(PolicyNet(model), critic=ALGORITHMS[name].critic)
    optimizer = torch.optim.AdamW(actor.parameters(), lr=rate, weight_decay=0.0)
    reference = reference_of(actor.net) if ALGORITHMS[name].kl != "none" else None
    return Updater(actor, optimizer, config, reference=reference, pad_id=0)


def play(model: Any, generator: torch.Generator, responses: int = 8) -> list[Group]:
    model.eval()
    samples = decode(model, PROMPTS, responses, Sampling(LONGEST), pad_id=0, eos_ids=(1,), generator=generator)
    return [Group(prompt, tuple(map(trajectory, own))) for prompt, own in zip(PROMPTS, samples, strict=True)]


def trajectory(sample: Sample, reward: float | None = None) -> Trajectory:
    share = sum(token == GOOD for token in sample.ids) / LONGEST
    return Trajectory(sample, (len(sample.ids) - 1,), (share if reward is None else reward,))


def with_first(group: Group, first: Trajectory) -> Group:
    return replace(group, trajectories=(first, *group.trajectories[1:]))


def rewards_of(groups: Sequence[Group]) -> list[float]:
    return [one.reward for group in groups for one in group.trajectories]


def weights_of(model: Any) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_row_reaches_nine_tenths_of_the_optimum(name: str) -> None:
    torch.manual_seed(0)
    model, generator = toy_model(), torch.Generator().manual_seed(1)
    learner = updater(model, name, prompts_per_minibatch=2, num_iterations=2)
    beta = min(ALGORITHMS[name].beta, 0.01)  # a strong pull to the reference has another optimum
    first = play(model, generator)
    for _ in range(60):
        metrics = learner.update(play(model, generator), beta=beta, generator=generator)
    reached = rewards_of(play(model, generator, 32))
    assert sum(rewards_of(first[:1])) / 8 < 0.3
    assert sum(reached) / len(reached) > 0.9
    assert all(math.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("name", ["grpo", "ppo", "gspo"])
def test_micro_batches_and_sharing_change_nothing(name: str) -> None:
    generator = torch.Generator().manual_seed(2)
    start = toy_model()
    groups = play(start, generator)
    ends = []
    for budget, shared in ((1, True), (24, True), (10_000, True), (10_000, False)):
        model = copy.deepcopy(start)
        if not shared:
            model.config.sliding_window = 10_000  # so that every answer has a row of its own
        learner = updater(model, name, rate=1e-3, tokens_per_batch=budget)
        assert learner.actor.net.reads_groups == shared
        learner.update(groups, beta=0.1, generator=torch.Generator().manual_seed(0))
        ends.append(weights_of(model))
    for other in ends[1:]:
        for mine, theirs in zip(ends[0], other, strict=True):
            torch.testing.assert_close(mine, theirs, atol=2e-5, rtol=1e-4)


def test_an_answer_without_a_reward_teaches_nothing() -> None:
    generator = torch.Generator().manual_seed(3)
    start = toy_model()
    groups = play(start, generator)
    broken = [with_first(group, trajectory(group.trajectories[0].response, math.nan)) for group in groups]
    swapped = [with_first(group, trajectory(Sample((9, 9), (-3.0, -3.0), False), math.nan)) for group in groups]
    ends = []
    for given in (broken, swapped):
        model = copy.deepcopy(start)
        metrics = updater(model, "grpo", rate=1e-3).update(given, beta=0.0, generator=torch.Generator())
        assert metrics["responses_masked"] == pytest.approx(1 / 8)
        ends.append(weights_of(model))
    for mine, theirs in zip(*ends, strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-5)


def test_groups_without_any_reward_take_no_step() -> None:
    model = toy_model()
    played = play(model, torch.Generator())
    groups = [replace(g, trajectories=tuple(trajectory(t.response, math.nan) for t in g.trajectories)) for g in played]
    before = weights_of(model)
    metrics = updater(model, "dapo").update(groups, beta=0.0, generator=torch.Generator())
    assert metrics["optimizer_steps"] == 0
    assert metrics["responses_masked"] == 1
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(before, weights_of(model), strict=True))


def test_gradients_that_are_not_finite_are_skipped_then_end_the_run() -> None:
    model = toy_model()
    learner = updater(model, "dr-grpo")
    groups = [with_first(g, trajectory(g.trajectories[0].response, 1e38)) for g in play(model, torch.Generator())]
    before = weights_of(model)
    with torch.no_grad():
        model.lm_head.weight[0, 0] = math.inf
    for count in (1, 2):
        metrics = learner.update(groups, beta=0.0, generator=torch.Generator())
        assert metrics["skipped_steps"] == 1
        assert learner.skipped == count
    with pytest.raises(ModelError, match="not finite 3 times in a row"):
        learner.update(groups, beta=0.0, generator=torch.Generator())
    with torch.no_grad():
        model.lm_head.weight[0, 0] = before[-1][0, 0]
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(before, weights_of(model), strict=True))


def test_the_reference_stays_where_it_was(tiny_llama: str) -> None:
    from guerdon.policy.model import Policy
    from guerdon.policy.policy_net import TokenizedGroup, response_batches

    for lora in (False, True):
        policy = Policy(AutoModelForCausalLM.from_pretrained(tiny_llama), Policy.load(tiny_llama).tokenizer)
        if lora:
            policy.add_lora(4, 8)
        net = PolicyNet(policy.model)
        reference = reference_of(net)
        ((_, batch),) = response_batches([TokenizedGroup((5, 6), ((7, 8), (9,)))], budget=99, pad_id=0, shared=True)
        before = net(batch).detach()
        torch.testing.assert_close(reference(batch, 1.0), before)
        with torch.no_grad():
            for parameter in (p for p in net.parameters() if p.requires_grad):
                parameter.add_(0.1)
        assert not torch.allclose(net(batch), before)
        torch.testing.assert_close(reference(batch, 1.0), before)
        assert not reference(batch, 1.0).requires_grad


def test_beta_follows_the_kl() -> None:
    for kl, factor in ((60.0, 1.1), (6.6, 1.05), (0.0, 0.9)):
        assert adapted_beta(0.1, kl, target=6.0, responses=50, horizon=100) == pytest.approx(0.1 * factor)
