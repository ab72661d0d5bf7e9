"""A step is cut within the budget, dealt to devices, no gradient changed; each judgement reaches its formula once."""

from __future__ import annotations

import math
from collections import Counter
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from guerdon import losses
from guerdon.collation import Layout, Tokens, TokenTable, items_of
from guerdon.packing import lay_out
from guerdon.rewards.transformer import TransformerReward
from guerdon.row_attention import unmasked
from guerdon.runs.loop import trainable
from guerdon.train.batches import Batching, RewardTrainee, TokenBudget, reward_loss, targets_of
from guerdon.train.judgements import Compared, HeadOutputs, Judgement, Listed, Rated, TextTable
from guerdon.train.train_config import TrainConfig
from guerdon.types import Prompt


def pairs_of(sizes: list[int]) -> tuple[list[Judgement], list[str]]:
    """For each prompt some pairs, each of two texts of its own."""
    keys = [str(prompt) for prompt, size in enumerate(sizes) for _ in range(2 * size)]
    return [Compared(text, text + 1) for text in range(0, len(keys), 2)], keys


def batching(tokens: list[Tokens], keys: list[str], *, budget: int, layout: Layout = "padded") -> Batching:
    return Batching(TokenTable(tokens), keys, TokenBudget(budget), pad_id=0, layout=layout, positions=True)


LAYOUTS: list[Layout] = ["padded", "shared", "packed"]


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(5, 200), st.sampled_from(LAYOUTS), st.randoms()
)
def test_a_step_is_cut_into_whole_judgements_within_the_budget(
    sizes: list[int], budget: int, layout: Layout, rng: object
) -> None:
    judged, keys = pairs_of(sizes)
    tokens = [Tokens((1, 2, 3) + (4,) * rng.randint(1, 20)) for _ in keys]  # type: ignore[attr-defined]
    cutter = batching(tokens, keys, budget=budget, layout=layout)
    cuts = cutter.cut(judged)
    assert Counter(judgement for cut in cuts for judgement in cut.judgements) == Counter(judged)
    for cut in cuts:
        texts = {text for judgement in cut.judgements for text in judgement.texts}
        assert sorted(items_of(cut.rows)) == sorted(texts)
        assert cut.rows == lay_out(tokens, dict.fromkeys(
            text for judgement in cut.judgements for text in judgement.texts
        ), keys, longest=budget, shared=layout != "padded")  # fmt: skip
        batch, _ = cutter.collate(cut)
        assert batch["input_ids"].numel() <= budget or len(cut.judgements) == 1


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", "tiny_sliding"])
def test_the_cut_of_a_step_does_not_change_its_gradient(name: str, request: pytest.FixtureRequest) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    reward.net.eval()
    config = TrainConfig(center_rewards_coefficient=0.1)
    trainee = RewardTrainee(reward.net, config, HeadOutputs(("score",), ()))
    table = TextTable()
    prompts: list[Prompt] = ["How do I boil an egg?", "怎样煮鸡蛋？", "Which is the largest planet?"]
    judged: list[Judgement] = []
    for prompt in prompts:
        texts = [table.add(prompt, "a good answer " * n) for n in (1, 2, 5)]
        judged += [
            Compared(texts[0], texts[1]),
            Compared(texts[2], texts[0], preference=0.7),
            Listed(tuple(texts), (0, 1, 2)),
        ]
    tokens = reward.encode(table.prompts, table.responses).tokens

    def gradient(budget: int, layout: Layout) -> tuple[int, list[torch.Tensor]]:
        table_of_tokens, pad_id = TokenTable(tokens), reward.contract.pad_token_id
        cutter = Batching(table_of_tokens, table.prompt_keys, TokenBudget(budget), pad_id, layout, positions=True)
        step = cutter.step(judged)
        assert step.examples == len(judged)
        trainee.zero_grad()
        with unmasked(reward.net.classifier) if layout == "packed" else nullcontext():
            for batch, targets in step.micro_batches:
                trainee(batch, targets)[0].backward()
        return len(step.micro_batches), [p.grad.clone() for p in trainable(trainee).values() if p.grad is not None]

    count, expected = gradient(100_000, "padded")
    assert count == 1
    for layout in LAYOUTS if reward.shares else LAYOUTS[:1]:
        for budget in (1, 130, 10_000):
            count, found = gradient(budget, layout)
            assert count > 1 or budget == 10_000
            for mine, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max() + 1))


def test_a_step_that_is_made_again_has_half_the_size_and_so_have_those_after_it() -> None:
    judged, keys = pairs_of([1] * 8)
    cutter = batching([Tokens((1, 2, 3, 4))] * len(keys), keys, budget=32)
    first, second = cutter.step(judged), cutter.step(judged)
    assert len(first.micro_batches) == 2
    assert first.smaller is not None
    assert len(first.smaller().micro_batches) == 4
    assert second.smaller is not None
    assert len(second.smaller().micro_batches) == 4, "made before: it is not halved twice"
    smallest = cutter.step(judged).smaller
    assert smallest is not None
    assert len(smallest().micro_batches) == 8
    assert cutter.step(judged).smaller is None, "each judgement is a micro-batch of its own"


@given(st.integers(1, 9), st.integers(1, 5))
def test_devices_share_a_step_without_overlap(count: int, ranks: int) -> None:
    judged, keys = pairs_of([1] * count)
    cutter = batching([Tokens((1, 2))] * len(keys), keys, budget=100)
    shares = [cutter.step(judged, rank, ranks) for rank in range(ranks)]
    assert sum(share.examples for share in shares) == count
    assert max(share.examples for share in shares) - min(share.examples for share in shares) <= 1
    pairs = [sum(len(targets["pair"]) for _, targets in share.micro_batches) for share in shares]
    assert pairs == [max(share.examples, 1) for share in shares], "whoever has none computes one and adds nothing"


# --- the loss of a micro-batch


ONE = HeadOutputs(("score",), ("score",))


def test_scores_are_found_whatever_the_order_of_the_batch() -> None:
    judged: list[Judgement] = [
        Compared(0, 1, preference=0.8, margin=0.5, weight=2.0),
        Compared(2, 0, preference=0.5),
        Rated(1, (0.25,)),
        Listed((2, 0, 1), (3.0, 2.0, 2.0)),
        Listed((0, 2), (1.0, 0.0)),
        Listed((1, 2), (1.0, 0.0), contrastive=True),
    ]
    config = TrainConfig(label_smoothing=0.1, center_rewards_coefficient=0.2, contrastive_temperature=0.5)
    scores = torch.tensor([0.3, -1.2, 2.0])
    expected = (
        2.0 * pair_loss(scores[0], scores[1], 0.8, 0.5)
        + pair_loss(scores[2], scores[0], 0.5, 0.0)
        + (scores[1] - 0.25) ** 2
        + losses.plackett_luce(scores[[2, 0, 1]][None], torch.tensor([[3.0, 2.0, 2.0]]))[0]
        + losses.plackett_luce(scores[[0, 2]][None], torch.tensor([[1.0, 0.0]]))[0]
        + losses.contrastive(scores[[1, 2]][None], torch.tensor([[True, True]]), temperature=0.5)[0]
    )
    for order in ([0, 1, 2], [2, 0, 1]):
        loss, counts = reward_loss(scores[order, None], targets_of(judged, order), config, ONE)
        torch.testing.assert_close(loss, expected)
        # Right: pair 0>1, list 2>0 and 2>1. Wrong: list 0>2, contrast 1>2. The tie has no order.
        assert counts.tolist() == [5, 3]


def pair_loss(a: torch.Tensor, b: torch.Tensor, preference: float, margin: float) -> torch.Tensor:
    loss = losses.bradley_terry(
        a[None], b[None], margin=torch.tensor([margin]), preference=torch.tensor([preference]), label_smoothing=0.1
    )
    return (loss + 0.2 * losses.reward_centering(a[None], b[None]))[0]


def test_agreement_is_what_a_choice_earns_in_the_mean() -> None:
    scores, config = torch.tensor([0.3, -1.2, 2.0]), TrainConfig(objective="agreement", agreement_entropy=0.2)
    judged = [Compared(0, 1, 0.8, 0.5, 2.0), Compared(2, 0, 0.5)]
    found, counts = reward_loss(scores[:, None], targets_of(judged, [0, 1, 2]), config, ONE)
    expected = 0.0
    for difference, preference, weight in ((1.0, 0.8, 2.0), (1.7, 0.5, 1.0)):
        q = 1 / (1 + math.exp(-difference))
        entropy = -q * math.log(q) - (1 - q) * math.log(1 - q)
        expected -= weight * (q * preference + (1 - q) * (1 - preference) + 0.2 * entropy)
    assert found.item() == pytest.approx(expected)
    assert counts.tolist() == [1, 1]


def test_equal_scores_count_as_half_right() -> None:
    targets = targets_of([Compared(0, 1)], [0, 1])
    assert reward_loss(torch.ones(2, 1), targets, TrainConfig(), ONE)[1].tolist() == [1, 0.5]


def test_pairs_read_the_preference_and_ratings_their_own_outputs() -> None:
    outputs = HeadOutputs(("preference", "brief", "helpful"), ("brief", "helpful"))
    config = TrainConfig(objective="both")
    logits = torch.tensor([[1.0, 5.0, 7.0], [0.0, 6.0, 9.0]], requires_grad=True)
    reward_loss(logits, targets_of([Compared(0, 1)], [0, 1]), config, outputs)[0].backward()
    assert logits.grad is not None
    assert logits.grad[:, 1:].abs().sum() == 0
    assert logits.grad[:, 0].abs().min() > 0
    logits.grad = None
    reward_loss(logits, targets_of([Rated(1, (4.0, math.nan))], [0, 1]), config, outputs)[0].backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[0, 0, 0], [0, 4, 0]]
