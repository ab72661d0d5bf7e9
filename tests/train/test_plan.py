"""Every epoch sees every judgement once, a step is always the same number, and cutting it changes no gradient."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guerdon.packing import Tokens
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.trainer import trainable
from guerdon.train.config import TrainConfig
from guerdon.train.examples import Heads, Judgement, Listed, Pair, TextTable
from guerdon.train.objective import RewardObjective
from guerdon.train.plan import (
    RESPONSES_PER_BLOCK,
    micro_batches,
    plan_steps,
    step_count,
    with_in_batch_negatives,
)
from guerdon.train.trainee import Steps, Trainee
from guerdon.types import Prompt

PAIRS = st.lists(st.integers(1, 12), min_size=1, max_size=6)


def pairs_of(sizes: list[int]) -> tuple[list[Judgement], list[str]]:
    """For each prompt some pairs, each of two texts of its own."""
    judged: list[Judgement] = []
    keys: list[str] = []
    for prompt, size in enumerate(sizes):
        for _ in range(size):
            judged.append(Pair(len(keys), len(keys) + 1))
            keys += [str(prompt)] * 2
    return judged, keys


@given(PAIRS, st.integers(1, 7), st.floats(0.2, 3), st.integers(0, 9))
def test_each_epoch_deals_every_judgement_once_in_steps_of_one_size(
    sizes: list[int], per_step: int, epochs: float, seed: int
) -> None:
    judged, keys = pairs_of(sizes)
    steps = plan_steps(judged, keys, epochs=epochs, per_step=per_step, seed=seed)
    assert len(steps) == step_count(len(judged), epochs, per_step)
    assert {len(step) for step in steps} == {per_step}
    assert steps == plan_steps(judged, keys, epochs=epochs, per_step=per_step, seed=seed)
    flat = [judgement for step in steps for judgement in step]
    for start in range(0, len(flat) - len(judged) + 1, len(judged)):
        assert Counter(flat[start : start + len(judged)]) == Counter(judged)


def test_another_seed_is_another_order() -> None:
    judged, keys = pairs_of([1] * 20)
    orders = [plan_steps(judged, keys, epochs=1, per_step=20, seed=seed)[0] for seed in (0, 1)]
    assert orders[0] != orders[1]
    assert orders[0] != judged


def test_pairs_of_the_same_responses_come_together() -> None:
    """All pairs of 8 responses to each of 4 prompts: a run of pairs speaks of few texts."""
    judged: list[Judgement] = []
    keys = [str(text // 8) for text in range(32)]
    for prompt in range(4):
        texts = range(8 * prompt, 8 * prompt + 8)
        judged += [Pair(a, b) for a in texts for b in texts if a < b]
    flat = [judgement for step in plan_steps(judged, keys, epochs=1, per_step=16, seed=0) for judgement in step]
    blocks, current = [], [flat[0]]
    for before, after in pairwise(flat):
        if keys[before.texts[0]] != keys[after.texts[0]]:
            blocks.append(current)
            current = []
        current.append(after)
    blocks.append(current)
    texts_of = [len({text for judgement in block for text in judgement.texts}) for block in blocks]
    assert sum(texts_of) <= 4 * (8 + 8)  # each text in two blocks; one pair at a time it would be 224
    assert max(len(block) for block in blocks) >= RESPONSES_PER_BLOCK


def table_of(prompts: int, generated: int = 1) -> tuple[TextTable, list[Judgement]]:
    table = TextTable()
    listed: list[Judgement] = []
    for prompt in range(prompts):
        texts = [table.add(f"p{prompt}", f"reference {prompt}")]
        texts += [table.add(f"p{prompt}", f"generated {prompt}.{i}") for i in range(generated)]
        listed.append(Listed(tuple(texts), (1.0, *[0.0] * generated), contrastive=True))
    return table, listed


def test_in_batch_negatives_are_references_of_other_prompts_of_the_step() -> None:
    table, listed = table_of(4)
    (step, other) = with_in_batch_negatives([listed[:3], listed[3:]], table, 2)
    assert other == listed[3:], "alone in its step it has nothing to borrow"
    for number, judgement in enumerate(step):
        assert isinstance(judgement, Listed)
        texts = [table.responses[text] for text in judgement.members]
        borrowed = [f"reference {(number + n) % 3}" for n in (1, 2)]  # those that follow, round the step
        assert texts == [f"reference {number}", f"generated {number}.0", *borrowed]
        assert {table.prompt_keys[text] for text in judgement.members} == {f"p{number}"}
        assert judgement.grades == (1.0, 0.0, 0.0, 0.0)


def test_a_reference_does_not_have_to_beat_itself() -> None:
    table = TextTable()
    listed: list[Judgement] = [
        Listed((table.add(prompt, "the same"), table.add(prompt, f"bad {prompt}")), (1.0, 0.0), contrastive=True)
        for prompt in ("p", "q")
    ]
    assert with_in_batch_negatives([listed], table, 3) == [listed]


@given(PAIRS, st.integers(5, 200), st.booleans(), st.randoms())
def test_a_step_is_cut_into_whole_judgements_within_the_budget(
    sizes: list[int], budget: int, shared: bool, rng: object
) -> None:
    judged, keys = pairs_of(sizes)
    tokens = [Tokens((1, 2, 3) + (4,) * rng.randint(1, 20)) for _ in keys]  # type: ignore[attr-defined]
    cuts = micro_batches(judged, tokens, keys, budget=budget, shared=shared)
    assert Counter(judgement for cut in cuts for judgement in cut.judgements) == Counter(judged)
    for cut in cuts:
        held = [item for row in cut.rows for item in row.items]
        assert sorted(held) == sorted({text for judgement in cut.judgements for text in judgement.texts})
        padded = len(cut.rows) * max(row.length for row in cut.rows)
        assert padded <= budget or len(cut.judgements) == 1


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", "tiny_sliding"])
def test_the_cut_of_a_step_does_not_change_its_gradient(name: str, request: pytest.FixtureRequest) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    reward.net.eval()
    trainee = Trainee(reward.net, RewardObjective(TrainConfig(centring=0.1), Heads(("score",), 0, ())))
    table = TextTable()
    prompts: list[Prompt] = ["How do I boil an egg?", "怎样煮鸡蛋？", "Which is the largest planet?"]
    step: list[Judgement] = []
    for prompt in prompts:
        texts = [table.add(prompt, "a good answer " * n) for n in (1, 2, 5)]
        step += [Pair(texts[0], texts[1]), Pair(texts[2], texts[0], preference=0.7), Listed(tuple(texts), (0, 1, 2))]
    tokens = reward.encode(table.prompts, table.responses).tokens

    def gradient(budget: int, shared: bool) -> tuple[int, list[torch.Tensor]]:
        steps = Steps(
            [step], tokens, table, Heads(("score",), 0, ()),
            budget=budget, pad_id=reward.contract.pad_token_id, shared=shared, positions=True,
        )  # fmt: skip
        item = steps[0]
        assert item["judgements"] == len(step)
        trainee.zero_grad()
        for batch, targets in item["micro"]:
            trainee(batch, targets)[0].backward()
        return len(item["micro"]), [p.grad.clone() for p in trainable(trainee).values() if p.grad is not None]

    count, expected = gradient(100_000, False)
    assert count == 1
    for budget, shared in ((1, False), (130, False), (1, reward.shares), (130, reward.shares), (10_000, reward.shares)):
        count, found = gradient(budget, shared)
        assert count > 1 or budget == 10_000
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max() + 1))


def test_ranks_share_a_step_without_overlap() -> None:
    judged, keys = pairs_of([1] * 8)
    table = TextTable()
    for text, key in enumerate(keys):
        table.add(key, str(text))
    tokens = [Tokens((1, 2))] * len(keys)
    options = {"budget": 100, "pad_id": 0, "shared": False, "positions": False}
    whole = Steps([judged[:4], judged[4:]], tokens, table, Heads(("score",), 0, ()), **options)  # type: ignore[arg-type]
    shares = Steps(
        [judged[:4], judged[4:]],
        tokens,
        table,
        Heads(("score",), 0, ()),
        ranks=2,
        **options,  # type: ignore[arg-type]
    )
    assert (len(whole), len(shares)) == (2, 4)
    for step in range(2):
        parts = [shares[2 * step + rank] for rank in range(2)]
        assert [part["judgements"] for part in parts] == [2, 2]
        assert sum(len(targets["pair"]) for part in parts for _, targets in part["micro"]) == 4
