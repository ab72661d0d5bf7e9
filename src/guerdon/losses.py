"""The losses of reward modelling, each a pure function of scores.

Every function takes scores (raw, unbounded, float) and returns one loss per judgement, *not* reduced: the caller sums
over the judgements of an optimiser step and divides by their number, so that a step means the same however it is cut
into micro-batches. All are written on `logsigmoid` or `logsumexp` and stay finite at margins of 1e4.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid


def bradley_terry(
    chosen: Tensor,
    rejected: Tensor,
    *,
    margin: Tensor | None = None,
    preference: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Pairwise logistic loss of Bradley and Terry (1952), with margin, soft labels, ties and label smoothing.

    With d = r_chosen - r_rejected - margin and p the probability that the chosen one is preferred,

        loss = -p log sigmoid(d) - (1 - p) log sigmoid(-d).

    p = 1 is InstructGPT's loss (Ouyang et al. 2022, eq. 1), with a margin that of Llama 2 (Touvron et al. 2023, eq. 2);
    p = 1/2 is a tie, whose minimum is at d = 0; smoothing e replaces p by (1 - e) p + e (1 - p).

    Args:
        chosen: scores of the preferred responses, shape (n,).
        rejected: scores of the others, shape (n,).
        margin: what the difference must exceed, in units of the score, shape (n,); None is 0.
        preference: P(chosen preferred), in [0, 1], shape (n,); None is 1.
        smoothing: label smoothing e, in [0, 0.5).

    Returns:
        Loss in nats, shape (n,).
    """
    difference = chosen - rejected
    if margin is not None:
        difference = difference - margin
    p = torch.ones_like(difference) if preference is None else preference
    if smoothing:
        p = (1 - smoothing) * p + smoothing * (1 - p)
    return -p * logsigmoid(difference) - (1 - p) * logsigmoid(-difference)


def centring(chosen: Tensor, rejected: Tensor) -> Tensor:
    """(r_chosen + r_rejected)^2, shape (n,): pulls the mean reward to 0, which Bradley-Terry leaves free.

    Eisenstein et al. 2023 (arXiv:2312.09244), section 3; added with a small weight (they use 0.01).
    """
    return (chosen + rejected).square()


def regression(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared error, averaged over the attributes that were rated.

    HelpSteer2's regression objective (Wang et al. 2024, arXiv:2406.08673).

    Args:
        predicted: shape (n, k), in the units of `target`.
        target: shape (n, k); NaN where an attribute was not rated. Each row must have one at least.

    Returns:
        Loss, shape (n,).
    """
    rated = ~target.isnan()
    error = torch.where(rated, predicted - target.nan_to_num(), 0.0)
    return error.square().sum(dim=1) / rated.sum(dim=1)


def plackett_luce(scores: Tensor, grades: Tensor) -> Tensor:
    """Listwise likelihood of Plackett (1975) and Luce (1959), with ties.

    Each item is drawn from itself and all items of a *lower* grade:

        loss = - sum_i [ s_i - log( exp s_i + sum_{j: g_j < g_i} exp s_j ) ].

    Without ties this is Plackett-Luce exactly; of two items it is Bradley-Terry; tied items do not compete with each
    other. ListMLE (Xia et al. 2008) is the case of a full order.

    Args:
        scores: shape (lists, items).
        grades: higher is better, shape (lists, items); NaN marks padding.

    Returns:
        Loss in nats, shape (lists,).
    """
    below = grades.unsqueeze(1) < grades.unsqueeze(2)  # [l, i, j]: j is of a lower grade than i; never with NaN
    itself = torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    competing = scores.unsqueeze(1).masked_fill(~(below | itself), float("-inf"))
    surprise = torch.logsumexp(competing, dim=2) - scores  # zero where nothing is below, padding included
    return torch.where(grades.isnan(), 0.0, surprise).sum(dim=1)


def contrastive(scores: Tensor, present: Tensor, *, temperature: float = 1.0) -> Tensor:
    """InfoNCE of the reference text against the generated ones (van den Oord et al. 2018, arXiv:1807.03748, eq. 4).

        loss = - s_0 / T + log sum_j exp(s_j / T)

    Args:
        scores: shape (lists, items); column 0 is the reference.
        present: False marks padding, shape (lists, items); column 0 must be True.
        temperature: T > 0, in units of the score.

    Returns:
        Loss in nats, shape (lists,).
    """
    logits = (scores / temperature).masked_fill(~present, float("-inf"))
    return torch.logsumexp(logits, dim=1) - logits[:, 0]
