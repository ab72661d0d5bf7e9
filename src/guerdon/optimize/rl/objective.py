"""From the samples of a step to advantages, and from a micro-batch to its loss, as a row of the table says.

Shapes: n samples, padded to t tokens; `mask` is 1 where a token was generated. Everything is a function of tensors: the
same whoever sampled, on however many learners.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from guerdon import losses
from guerdon.optimize.rl.algorithms import Algorithm

VALUE_WEIGHT = 0.5
"""Weight of the critic's loss beside the policy's."""


@dataclass(frozen=True, slots=True)
class SampledBatch:
    """What was sampled in a step, before the update. Rows of one prompt stand together."""

    rewards: Tensor
    """Reward of each turn at the turn's last token, 0 elsewhere, shape (n, t). NaN means no reward, and leaves the
    whole response out."""
    logps: Tensor
    """Log-probabilities at the time of sampling, shape (n, t)."""
    mask: Tensor
    """1 where the policy wrote the token, shape (n, t)."""
    ref_logps: Tensor | None = None
    """Log-probabilities under the reference policy, shape (n, t); needed where the KL counts."""
    values: Tensor | None = None
    """The critic's values at the time of sampling, shape (n, t)."""

    @property
    def total_rewards(self) -> Tensor:
        """The sum of the rewards of all turns, shape (n,)."""
        return self.rewards.sum(dim=1)


@dataclass(frozen=True, slots=True)
class Advantages:
    """How much better each token was than expected."""

    advantages: Tensor
    """Shape (n, t); 0 where a response has no reward."""
    value_targets: Tensor | None
    """What the critic should predict, shape (n, t)."""
    included: Tensor
    """Which responses take part in the update, bool, shape (n,)."""


def compute_advantages(
    batch: SampledBatch, algorithm: Algorithm, *, group: int, beta: float, gamma: float = 1.0, lam: float = 0.95
) -> Advantages:
    """Advantages of a whole step, before it is cut into minibatches or dealt out to learners.

    `gae` and `return` see the reward of every turn at the turn's last token; `group` and `leave-one-out` compare the
    sums of the rewards of all turns. The batch has n = groups * group responses, those of a prompt together; beta is
    the weight of the KL where it enters the reward.
    """
    mask = batch.mask
    included = ~batch.total_rewards.isnan()
    if algorithm.advantage in ("group", "leave-one-out"):
        rewards = batch.total_rewards
        if algorithm.kl == "reward-total" and beta:
            rewards = rewards - beta * (losses.kl_k1(batch.logps, _given(batch.ref_logps)) * mask).sum(dim=1)
        advantages = losses.group_advantages(
            rewards.view(-1, group),
            baseline="mean" if algorithm.advantage == "group" else "leave-one-out",
            scale=algorithm.scale == "group",
        ).view(-1, 1)
        if algorithm.drop_uniform:
            included = included & _differs(rewards.view(-1, group)).repeat_interleave(group)
        return Advantages(torch.where(included.unsqueeze(1), advantages, 0.0) * mask, None, included)
    included_mask = mask * included.unsqueeze(1)
    token_rewards = batch.rewards.nan_to_num()
    if algorithm.kl == "reward" and beta:
        token_rewards = token_rewards - beta * losses.kl_k1(batch.logps, _given(batch.ref_logps)) * mask
    values = torch.zeros_like(token_rewards) if batch.values is None else batch.values
    advantages = losses.gae(token_rewards, values, included_mask, gamma=gamma, lam=lam if algorithm.critic else 1.0)
    value_targets = advantages + values if algorithm.critic else None
    if algorithm.scale == "batch":
        advantages = losses.whiten(advantages, included_mask)
    return Advantages(advantages, value_targets, included)


def _given(ref_logps: Tensor | None) -> Tensor:
    if ref_logps is None:
        raise ValueError("the KL counts, but the log-probabilities under the reference policy are not given")
    return ref_logps


def _differs(rewards: Tensor) -> Tensor:
    """Whether two rewards of each group differ, bool, shape (groups,)."""
    return rewards.nan_to_num(nan=-torch.inf).amax(dim=1) > rewards.nan_to_num(nan=torch.inf).amin(dim=1)


@dataclass(frozen=True, slots=True)
class MinibatchSize:
    """What one optimiser step learns from, over all its micro-batches and ranks."""

    responses: int
    """Responses that take part."""
    tokens: int
    """Generated tokens of those responses."""
    max_length: int
    """The most tokens that a response may have."""


def policy_loss(
    logps: Tensor,
    sampled: Tensor,
    advantages: Tensor,
    mask: Tensor,
    minibatch: MinibatchSize,
    algorithm: Algorithm,
    *,
    beta: float,
    ref_logps: Tensor | None = None,
) -> Tensor:
    """Loss of the responses of a micro-batch, a scalar; sums over micro-batches to the loss of the step.

    Log-probabilities are those of the policy in training, of the time of sampling, and of the reference policy; all
    tensors have shape (n, t). The mask is 0 throughout for responses that take no part.
    """
    ratio = losses.log_ratio(logps, sampled, mask, algorithm.ratio)
    if algorithm.surrogate == "cispo":
        loss = losses.cispo(ratio, advantages, logps, high=algorithm.clip_high)
    else:
        loss = losses.clipped_surrogate(ratio, advantages, low=algorithm.clip_low, high=algorithm.clip_high)
    if algorithm.kl == "loss" and beta:
        loss = loss + beta * losses.kl_k3(logps, _given(ref_logps))
    return (loss * losses.token_weights(mask, algorithm.average, **asdict(minibatch))).sum()


def value_loss(
    values: Tensor, sampled: Tensor, targets: Tensor, mask: Tensor, minibatch: MinibatchSize, *, clip: float = 0.2
) -> Tensor:
    """The critic's loss of a micro-batch, all shapes (n, t); a scalar, averaged over the tokens of the step."""
    loss = losses.clipped_value(values, sampled, targets, clip=clip)
    return VALUE_WEIGHT * (loss * mask).sum() / max(minibatch.tokens, 1)
