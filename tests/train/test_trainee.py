"""Judgements reach their formula with their own scores, and are counted once."""

from __future__ import annotations

import math

import torch

from guerdon import losses
from guerdon.train.batches import targets_of
from guerdon.train.judgements import Compared, HeadOutputs, Judgement, Listed, Rated
from guerdon.train.train_config import TrainConfig
from guerdon.train.trainee import reward_loss

ONE = HeadOutputs(("score",), 0, ("score",))


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


def test_equal_scores_count_as_half_right() -> None:
    targets = targets_of([Compared(0, 1)], [0, 1])
    assert reward_loss(torch.ones(2, 1), targets, TrainConfig(), ONE)[1].tolist() == [1, 0.5]


def test_pairs_read_the_preference_and_ratings_their_own_outputs() -> None:
    outputs = HeadOutputs(("preference", "brief", "helpful"), 0, ("brief", "helpful"))
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
