"""The losses keep their laws, equal TRL's, and equal what a plain loop over their equations gives."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from guerdon.losses import bradley_terry, contrastive, plackett_luce, regression, reward_centering

SCORE = st.floats(-30, 30)
SHARE = st.floats(0, 1)
PAIRS = st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=6)
LIST = st.lists(st.tuples(SCORE, st.integers(0, 4)), min_size=2, max_size=7)


def columns(rows: list[Any]) -> list[Tensor]:
    """The columns of rows of numbers, in double precision."""
    return list(torch.tensor(rows, dtype=torch.float64).unbind(dim=1))


def same(a: Tensor, b: Tensor | float) -> None:
    torch.testing.assert_close(a, torch.as_tensor(b, dtype=a.dtype).expand_as(a), rtol=1e-9, atol=1e-9)


# --- Bradley-Terry


@given(PAIRS, SHARE)
def test_swapping_the_pair_swaps_the_preference(rows: list[tuple[float, float]], p: float) -> None:
    a, b = columns(rows)
    share = torch.full_like(a, p)
    same(bradley_terry(a, b, preference=share), bradley_terry(b, a, preference=1 - share))


@given(PAIRS, SCORE, SHARE)
def test_only_the_difference_counts(rows: list[tuple[float, float]], shift: float, p: float) -> None:
    a, b = columns(rows)
    share = torch.full_like(a, p)
    same(bradley_terry(a + shift, b + shift, preference=share), bradley_terry(a, b, preference=share))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("difference", [1e4, -1e4])
@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_value_and_gradient_are_finite_at_huge_margins(dtype: torch.dtype, difference: float, p: float) -> None:
    a = torch.tensor([difference], dtype=dtype, requires_grad=True)
    b = torch.zeros(1, dtype=dtype, requires_grad=True)
    loss = bradley_terry(a, b, preference=torch.full_like(a, p), label_smoothing=0.1)
    loss.sum().backward()
    assert loss.isfinite().all()
    assert a.grad is not None
    assert b.grad is not None
    assert 0 <= a.grad.abs().item() <= 1
    same(a.grad, -b.grad)


@given(PAIRS, st.floats(0, 0.49), SHARE)
def test_smoothing_is_a_softer_preference(rows: list[tuple[float, float]], e: float, p: float) -> None:
    a, b = columns(rows)
    softer = torch.full_like(a, (1 - e) * p + e * (1 - p))
    same(
        bradley_terry(a, b, preference=torch.full_like(a, p), label_smoothing=e),
        bradley_terry(a, b, preference=softer),
    )


@given(PAIRS, SHARE)
def test_a_soft_label_is_the_mean_of_its_votes(rows: list[tuple[float, float]], p: float) -> None:
    a, b = columns(rows)
    same(
        bradley_terry(a, b, preference=torch.full_like(a, p)),
        p * bradley_terry(a, b) + (1 - p) * bradley_terry(b, a),
    )


@given(PAIRS, SCORE)
def test_a_margin_lowers_the_difference(rows: list[tuple[float, float]], margin: float) -> None:
    a, b = columns(rows)
    same(bradley_terry(a, b, margin=torch.full_like(a, margin)), bradley_terry(a - margin, b))


@given(st.floats(0.01, 0.99))
def test_the_best_difference_is_the_log_odds_of_the_votes(p: float) -> None:
    a = torch.tensor([math.log(p / (1 - p))], dtype=torch.float64, requires_grad=True)
    bradley_terry(a, torch.zeros_like(a), preference=torch.full_like(a, p)).sum().backward()
    assert a.grad is not None
    same(a.grad, 0.0)


@given(PAIRS, SCORE)
def test_centering_is_least_at_a_mean_of_zero_and_ignores_the_order(
    rows: list[tuple[float, float]], shift: float
) -> None:
    a, b = columns(rows)
    same(reward_centering(a, b), reward_centering(b, a))
    middle = (a + b) / 2
    same(reward_centering(a - middle, b - middle), 0.0)
    same(reward_centering(a - middle + shift, b - middle + shift), 4 * shift**2)


# --- Plackett-Luce


def plackett_luce_loop(scores: list[float], grades: list[float]) -> float:
    """The equation, item by item."""
    total = 0.0
    for score, grade in zip(scores, grades, strict=True):
        rivals = [s for s, g in zip(scores, grades, strict=True) if g < grade]
        total -= math.log(math.exp(score) / (math.exp(score) + sum(map(math.exp, rivals))))
    return total


@given(LIST)
def test_plackett_luce_equals_a_plain_loop(rows: list[tuple[float, int]]) -> None:
    scores, grades = columns(rows)
    expected = plackett_luce_loop(scores.tolist(), grades.tolist())
    torch.testing.assert_close(plackett_luce(scores[None], grades[None]).item(), expected, rtol=1e-7, atol=1e-7)


@given(PAIRS)
def test_plackett_luce_of_two_is_bradley_terry(rows: list[tuple[float, float]]) -> None:
    a, b = columns(rows)
    scores = torch.stack((a, b), dim=1)
    grades = torch.tensor([[2.0, 1.0]]).expand_as(scores)
    same(plackett_luce(scores, grades), bradley_terry(a, b))


@given(LIST, st.integers(1, 3), SCORE, st.randoms())
def test_padding_and_order_change_nothing(rows: list[tuple[float, int]], pads: int, junk: float, rng: Any) -> None:
    scores, grades = columns(rows)
    expected = plackett_luce(scores[None], grades[None])
    padded = [*rows, *[(junk, math.nan)] * pads]
    rng.shuffle(padded)
    more_scores, more_grades = columns(padded)
    same(plackett_luce(more_scores[None], more_grades[None]), expected.item())


def test_all_tied_is_no_loss_and_no_gradient() -> None:
    scores = torch.tensor([[3.0, -1.0, 0.5]], requires_grad=True)
    loss = plackett_luce(scores, torch.ones(1, 3))
    loss.sum().backward()
    assert loss.item() == 0
    assert scores.grad is not None
    assert scores.grad.tolist() == [[0, 0, 0]]


def test_lists_are_finite_at_huge_margins_and_padding_has_no_gradient() -> None:
    scores = torch.tensor([[-1e4, 1e4, 0.0, 7.0]], requires_grad=True)
    loss = plackett_luce(scores, torch.tensor([[2.0, 1.0, 0.0, math.nan]]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert scores.grad is not None
    assert scores.grad.isfinite().all()
    assert scores.grad[0, 3] == 0


# --- contrastive


@given(st.lists(SCORE, min_size=2, max_size=6), st.floats(0.1, 10), SCORE)
def test_contrastive_is_the_cross_entropy_of_the_reference(row: list[float], temperature: float, junk: float) -> None:
    scores = torch.tensor([row], dtype=torch.float64)
    expected = -torch.log_softmax(scores / temperature, dim=1)[0, 0]
    padded = torch.tensor([[*row, junk]], dtype=torch.float64)
    present = torch.tensor([[True] * len(row) + [False]])
    same(contrastive(padded, present, temperature=temperature), expected.item())


def test_contrastive_is_finite_at_huge_margins() -> None:
    scores = torch.tensor([[-1e4, 1e4, 3.0]], requires_grad=True)
    loss = contrastive(scores, torch.tensor([[True, True, False]]))
    loss.sum().backward()
    assert loss.item() == pytest.approx(2e4)
    assert scores.grad is not None
    assert scores.grad.tolist() == [[-1, 1, 0]]


# --- regression


def test_regression_averages_over_the_rated_attributes() -> None:
    predicted = torch.tensor([[1.0, 5.0, 2.0], [0.0, 0.0, 0.0]], requires_grad=True)
    target = torch.tensor([[2.0, math.nan, 4.0], [math.nan, 3.0, math.nan]])
    loss = regression(predicted, target)
    assert loss.tolist() == [(1 + 4) / 2, 9]
    loss.sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.tolist() == [[-1, 0, -2], [0, -6, 0]]


# --- parity with TRL


@pytest.mark.filterwarnings("ignore")  # TRL's own, which are not ours to mend
@pytest.mark.parametrize(("margins", "weight"), [(None, None), ([0.5, -1.0, 2.0], None), (None, 0.01)])
def test_bradley_terry_equals_trl(
    tiny_llama: str, tmp_path: Any, margins: list[float] | None, weight: float | None
) -> None:
    """TRL's own loss method, on a batch of its own collator, against ours on the scores of the same model."""
    from datasets import Dataset
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from trl import RewardConfig, RewardTrainer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForSequenceClassification.from_pretrained(tiny_llama, num_labels=1, dtype=torch.float32)
    texts = [("a good answer", "a bad one"), ("polite and right", "rude"), ("yes", "no, never, not at all")]
    rows: dict[str, list[Any]] = {"chosen": [a for a, _ in texts], "rejected": [b for _, b in texts]}
    if margins is not None:
        rows["margin"] = margins
    trainer = RewardTrainer(
        model=model,
        args=RewardConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=len(texts),
            center_rewards_coefficient=weight,
            report_to=[],
            use_cpu=True,
            bf16=False,
        ),
        train_dataset=Dataset.from_dict(rows),
        processing_class=tokenizer,
    )
    model = trainer.model.eval()
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(len(texts))])
    theirs = trainer.compute_loss(model, dict(batch))
    chosen, rejected = model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, 0].chunk(2)
    ours = bradley_terry(chosen, rejected, margin=None if margins is None else torch.tensor(margins))
    if weight is not None:
        ours = ours + weight * reward_centering(chosen, rejected)
    torch.testing.assert_close(ours.mean(), theirs, rtol=1e-6, atol=1e-6)
    parameters = [p for p in model.parameters() if p.requires_grad]
    for mine, other in zip(
        torch.autograd.grad(ours.mean(), parameters, retain_graph=True, allow_unused=True),
        torch.autograd.grad(theirs, parameters, allow_unused=True),
        strict=True,
    ):
        assert (mine is None) == (other is None)
        if mine is not None:
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
