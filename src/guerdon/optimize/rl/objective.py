"""From the samples of a step to advantages, and from a micro-batch to its loss, as a row of the table says.

Shapes: n samples, padded to t tokens; `mask` is 1 where a token was generated. Everything is a function of tensors: the
same whoever sampled, on however many learners.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from guerdon import losses
from guerdon.optimize.rl.algorithms import Algorithm

VALUE_WEIGHT = 0.5
"""Of the critic's loss beside the policy's."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What was sampled in a step, before the update. Rows of one prompt stand together."""

    rewards: Tensor
    """Of each answer, shape (n,); NaN where there is none: such an answer takes no part."""
    logps: Tensor
    """Log-probabilities at the time of sampling, shape (n, t)."""
    mask: Tensor
    """1 where the policy took the token, shape (n, t)."""
    reference: Tensor | None = None
    """Log-probabilities under the reference policy, shape (n, t); needed where the KL counts."""
    values: Tensor | None = None
    """Of the critic at the time of sampling, shape (n, t)."""


@dataclass(frozen=True, slots=True)
class Credit:
    """What each token has earned."""

    advantages: Tensor
    """Shape (n, t); 0 where an answer has no reward."""
    targets: Tensor | None
    """What the critic should say, shape (n, t)."""
    counts: Tensor
    """Which answers take part, bool (n,)."""


def assign_credit(
    sampled: Sampled, algorithm: Algorithm, *, group: int, beta: float, gamma: float = 1.0, lam: float = 0.95
) -> Credit:
    """Advantages of a whole step, before it is cut into minibatches or dealt out to learners.

    Args:
        sampled: n = groups * group answers, those of a prompt together.
        algorithm: a row of the table.
        group: answers to each prompt.
        beta: weight of the KL, where it enters the reward.
        gamma: discount of `gae` and `return`.
        lam: of `gae`.
    """
    mask = sampled.mask
    counts = ~sampled.rewards.isnan()
    if algorithm.advantage in ("group", "leave-one-out"):
        rewards = sampled.rewards
        if algorithm.kl == "reward-total" and beta:
            rewards = rewards - beta * (losses.kl_k1(sampled.logps, _reference(sampled)) * mask).sum(dim=1)
        advantages = losses.group_advantages(
            rewards.view(-1, group),
            baseline="mean" if algorithm.advantage == "group" else "leave-one-out",
            scale=algorithm.scale == "group",
        ).view(-1, 1)
        if algorithm.drop_uniform:
            counts = counts & _differs(rewards.view(-1, group)).repeat_interleave(group)
        return Credit(torch.where(counts.unsqueeze(1), advantages, 0.0) * mask, None, counts)
    taking_part = mask * counts.unsqueeze(1)
    rewards = _token_rewards(sampled, algorithm, beta)
    values = torch.zeros_like(rewards) if sampled.values is None else sampled.values
    advantages = losses.gae(rewards, values, taking_part, gamma=gamma, lam=lam if algorithm.critic else 1.0)
    targets = advantages + values if algorithm.critic else None
    if algorithm.scale == "batch":
        advantages = losses.whiten(advantages, taking_part)
    return Credit(advantages, targets, counts)


def _reference(sampled: Sampled) -> Tensor:
    if sampled.reference is None:
        raise ValueError("the KL counts, but the reference's log-probabilities are not given")
    return sampled.reference


def _token_rewards(sampled: Sampled, algorithm: Algorithm, beta: float) -> Tensor:
    """The KL of each token as a cost, and the answer's reward at its last token; shape (n, t)."""
    rewards = torch.zeros_like(sampled.logps)
    if algorithm.kl == "reward" and beta:
        rewards = -beta * losses.kl_k1(sampled.logps, _reference(sampled)) * sampled.mask
    places = torch.arange(sampled.mask.shape[1], device=sampled.mask.device)
    last = (sampled.mask * places).amax(dim=1, keepdim=True).long()
    return rewards.scatter_add(1, last, sampled.rewards.nan_to_num().unsqueeze(1))


def _differs(rewards: Tensor) -> Tensor:
    """Of each group, whether two of its rewards differ; bool (groups,)."""
    high = rewards.nan_to_num(nan=-torch.inf).amax(dim=1)
    low = rewards.nan_to_num(nan=torch.inf).amin(dim=1)
    return high > low


@dataclass(frozen=True, slots=True)
class Minibatch:
    """What one optimiser step learns from, over all its micro-batches and ranks."""

    answers: int
    """That take part."""
    tokens: int
    """Generated tokens of those answers."""
    longest: int
    """The most tokens an answer may have."""


def policy_loss(
    logps: Tensor,
    sampled: Tensor,
    advantages: Tensor,
    mask: Tensor,
    minibatch: Minibatch,
    algorithm: Algorithm,
    *,
    beta: float,
    reference: Tensor | None = None,
) -> Tensor:
    """Loss of the answers of a micro-batch; sums over micro-batches to the loss of the step.

    Args:
        logps: under the policy in training, shape (n, t).
        sampled: at the time of sampling, shape (n, t).
        advantages: shape (n, t).
        mask: shape (n, t), 0 throughout for answers that take no part.
        minibatch: the whole of which this is a part.
        algorithm: a row of the table.
        beta: weight of the KL, where it enters the loss.
        reference: log-probabilities under the reference policy, shape (n, t).

    Returns:
        A scalar.
    """
    ratio = losses.log_ratio(logps, sampled, mask, algorithm.ratio)
    if algorithm.surrogate == "cispo":
        loss = losses.cispo(ratio, advantages, logps, high=algorithm.clip_high)
    else:
        loss = losses.clipped_surrogate(ratio, advantages, low=algorithm.clip_low, high=algorithm.clip_high)
    if algorithm.kl == "loss" and beta:
        if reference is None:
            raise ValueError("the KL counts, but the reference's log-probabilities are not given")
        loss = loss + beta * losses.kl_k3(logps, reference)
    return (loss * _weights(mask, minibatch, algorithm)).sum()


def value_loss(
    values: Tensor, sampled: Tensor, targets: Tensor, mask: Tensor, minibatch: Minibatch, *, clip: float = 0.2
) -> Tensor:
    """The critic's loss of a micro-batch, all shapes (n, t); a scalar, averaged over the tokens of the step."""
    loss = losses.clipped_value(values, sampled, targets, clip=clip)
    return VALUE_WEIGHT * (loss * mask).sum() / max(minibatch.tokens, 1)


def _weights(mask: Tensor, minibatch: Minibatch, algorithm: Algorithm) -> Tensor:
    return losses.token_weights(
        mask, algorithm.average, answers=minibatch.answers, tokens=minibatch.tokens, longest=minibatch.longest
    )
