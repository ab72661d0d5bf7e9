"""One update of a policy by the trajectories of a sampling step: minibatches of whole groups, in micro-batches."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from guerdon import losses
from guerdon.errors import ModelError
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.learner_ranks import Ranks, UpdateMetrics
from guerdon.optimize.rl.objective import (
    Advantages,
    MinibatchSize,
    SampledBatch,
    compute_advantages,
    policy_loss,
    value_loss,
)
from guerdon.optimize.rl.trajectories import Group
from guerdon.packing import default_budget
from guerdon.policy.policy_net import (
    PolicyNet,
    ResponseBatch,
    TokenizedGroup,
    pad_by_response,
    response_batches,
    token_logps,
)

RefLogps = Callable[[ResponseBatch, float], Tensor]
"""A batch and the temperature -> log-probability of each token under the reference policy, shape (tokens,)."""


class ActorCritic(nn.Module):
    """The policy, and where an algorithm has one, a critic that reads the policy's states."""

    def __init__(self, net: PolicyNet, *, critic: bool) -> None:
        super().__init__()
        self.net = net
        self.value_head: nn.Linear | None = None
        if critic:
            config = net.language_model.config.get_text_config()
            self.value_head = nn.Linear(config.hidden_size, 1, device=next(net.parameters()).device)
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)

    def forward(self, batch: ResponseBatch, temperature: float) -> tuple[Tensor, Tensor | None]:
        """Log-probability and value of each token, float32, shape (tokens,) each."""
        with mixed_precision(batch):
            states, logits = self.net.read(batch)
        logps = token_logps(logits, batch["token_ids"], temperature)
        values = None if self.value_head is None else self.value_head(states.float()).squeeze(1)
        return logps, values


def mixed_precision(batch: ResponseBatch) -> AbstractContextManager[Any]:
    """Products in bfloat16 where a batch is on a GPU; on a CPU nothing changes."""
    return torch.autocast("cuda", torch.bfloat16) if batch["input_ids"].is_cuda else nullcontext()


def reference_of(net: PolicyNet) -> RefLogps:
    """The policy as it is now, to measure the KL from: its base without the adapters, else a frozen copy."""
    disable = getattr(net.model, "disable_adapter", None)
    frozen = net if disable else copy.deepcopy(net).requires_grad_(False).eval()

    def ref_logps(batch: ResponseBatch, temperature: float) -> Tensor:
        with torch.no_grad(), mixed_precision(batch), disable() if disable else nullcontext():
            found: Tensor = frozen(batch, temperature)
        return found

    return ref_logps


MAX_SKIPPED_STEPS = 3
"""So many gradients in a row that are not finite end the run."""


class Updater:
    """Changes the policy by the trajectories of sampling steps."""

    def __init__(
        self,
        actor: ActorCritic,
        optimizer: torch.optim.Optimizer,
        config: RLConfig,
        *,
        reference: RefLogps | None,
        pad_id: int,
        ranks: Ranks | None = None,
        exact_logps: bool = True,
    ) -> None:
        """Prepares for updates.

        `reference` is needed where the KL counts. `exact_logps`: whether trajectories were sampled in the precision of
        `actor`; if not, their log-probabilities are those of `actor` before the update, so that rounding is not taken
        for a change of the policy.
        """
        self.actor, self.optimizer, self.config = actor, optimizer, config
        self.algorithm = config.row
        self.reference, self.pad_id, self.exact_logps = reference, pad_id, exact_logps
        self.ranks = ranks or Ranks()
        self.skipped = 0
        """Optimiser steps in a row that were skipped."""

    def update(self, groups: Sequence[Group], *, beta: float, generator: torch.Generator) -> dict[str, float]:
        """Learns from the trajectories of one sampling step.

        Args:
            groups: all with the same number of trajectories; the same list on every learner.
            beta: weight of the KL.
            generator: draws the order of minibatches; the same on every learner.

        Returns:
            Metrics: policy_loss, value_loss, clip_ratio, approx_kl, grad_norm, optimizer_steps, skipped_steps,
            responses_masked (share without part in the update), kl (nats per response, from the reference).

        Raises:
            ModelError: gradients are not finite, three times in a row.
        """
        config, count = self.config, len(groups[0].trajectories)
        batch = self._sampled_batch(groups)
        advantages = compute_advantages(
            batch, self.algorithm, group=count, beta=beta, gamma=config.gamma, lam=config.lam
        )
        metrics = UpdateMetrics(batch.mask.device)
        whole = _UpdateBatch(groups, batch, advantages, beta, metrics)
        size = config.prompts_per_minibatch or len(groups)
        self.actor.train()
        for _ in range(config.num_iterations):
            order = torch.randperm(len(groups), generator=generator).tolist()
            for start in range(0, len(order), size):
                self._step(whole, order[start : start + size])
        self.optimizer.zero_grad(set_to_none=True)  # the next step samples, and has better use for the memory
        metrics.join(self.ranks)
        found = metrics.means() | {"responses_masked": float((~advantages.included).float().mean())}
        if batch.ref_logps is not None:
            found["kl"] = float((losses.kl_k1(batch.logps, batch.ref_logps) * batch.mask).sum(dim=1).mean())
        return found

    def _sampled_batch(self, groups: Sequence[Group]) -> SampledBatch:
        """The trajectories as tensors on the device, with what the policies and the critic say of them."""
        trajectories = [one for group in groups for one in group.trajectories]
        shape = len(trajectories), max(len(one.response.ids) for one in trajectories)
        logps, mask, rewards = torch.zeros(shape), torch.zeros(shape), torch.zeros(shape)
        for row, one in enumerate(trajectories):
            length = len(one.response.ids)
            logps[row, :length] = torch.tensor(one.response.logps)
            mask[row, :length] = 1
            mask[row, list(one.response.environment_positions)] = 0
            rewards[row, list(one.turn_ends)] = torch.tensor(one.rewards, dtype=rewards.dtype)
        device = next(self.actor.parameters()).device
        logps, mask, rewards = logps.to(device), mask.to(device), rewards.to(device)
        wanted = {
            "logps": not self.exact_logps and not self._learns_at_once(len(groups)),
            "ref_logps": self.reference is not None,
            "values": self.algorithm.critic,
        }
        found = {name: torch.zeros(shape, device=device) for name, needed in wanted.items() if needed}
        if found:
            self._fill(found, groups)
        return SampledBatch(
            rewards, found.get("logps", logps) * mask, mask, found.get("ref_logps"), found.get("values")
        )

    def _learns_at_once(self, groups: int) -> bool:
        """Whether the log-probabilities before the update are those of its one step, and not needed any earlier."""
        config = self.config
        single = config.num_iterations == 1 and groups <= (config.prompts_per_minibatch or groups)
        return single and self.ranks.count == 1 and self.algorithm.kl not in ("reward", "reward-total")

    def _fill(self, found: dict[str, Tensor], groups: Sequence[Group]) -> None:
        """Computes each tensor's rows on the learner whose share they are, and sums over learners."""
        mine = self.ranks.share(range(len(groups)))
        rows, temperature = _rows(mine, len(groups[0].trajectories)), self.config.temperature
        self.actor.eval()
        with torch.no_grad():
            for places, batch in self._batches([groups[index] for index in mine]):
                items = [rows[place] for place in places]
                tokens: dict[str, Tensor | None] = {}
                if self.reference is not None:
                    tokens["ref_logps"] = self.reference(batch, temperature)
                if "logps" in found or "values" in found:
                    tokens["logps"], tokens["values"] = self.actor(batch, temperature)
                for name, tensor in found.items():
                    values = tokens[name]
                    assert values is not None
                    tensor[items] = pad_by_response(values, batch, len(items), tensor.shape[1])
        for tensor in found.values():
            self.ranks.sum(tensor)

    def _batches(self, groups: Sequence[Group]) -> Iterator[tuple[list[int], ResponseBatch]]:
        tokenized = [
            TokenizedGroup(group.prompt, tuple(one.response.ids for one in group.trajectories)) for group in groups
        ]
        device = next(self.actor.parameters()).device
        budget = self.config.tokens_per_batch or default_budget()
        batches = response_batches(tokenized, budget=budget, pad_id=self.pad_id, shared=self.actor.net.reads_groups)
        for items, batch in batches:
            yield items, {name: tensor.to(device) for name, tensor in batch.items()}

    def _step(self, whole: _UpdateBatch, chosen: Sequence[int]) -> None:
        """One step of the optimiser on some of the groups."""
        count = len(whole.groups[0].trajectories)
        rows = _rows(chosen, count)
        included = whole.advantages.included[rows]
        tokens = int((whole.sampled.mask[rows] * included.unsqueeze(1)).sum())
        size = MinibatchSize(int(included.sum()), tokens, self.config.max_new_tokens * self.config.max_turns)
        if not size.responses:
            return
        self.optimizer.zero_grad(set_to_none=True)
        mine = self.ranks.share(chosen)
        rows = _rows(mine, count)
        for items, batch in self._batches([whole.groups[index] for index in mine]):
            self._loss(batch, [rows[item] for item in items], whole, size).backward()
        self._apply(whole.metrics)

    def _loss(self, batch: ResponseBatch, rows: Sequence[int], whole: _UpdateBatch, size: MinibatchSize) -> Tensor:
        """The loss of a micro-batch, whose responses are these rows of the step."""
        sampled, advantages, metrics = whole.sampled, whole.advantages, whole.metrics
        algorithm = self.algorithm
        mask = sampled.mask[rows] * advantages.included[rows].unsqueeze(1)
        logps, values = self.actor(batch, self.config.temperature)
        logps = pad_by_response(logps, batch, *mask.shape)
        if not self.exact_logps and self._learns_at_once(len(whole.groups)):
            sampled.logps[rows] = logps.detach() * sampled.mask[rows]
        old_logps = sampled.logps[rows]
        ref_logps = None if sampled.ref_logps is None else sampled.ref_logps[rows]
        loss = policy_loss(
            logps, old_logps, advantages.advantages[rows], mask, size, algorithm, beta=whole.beta, ref_logps=ref_logps
        )
        metrics.add("policy_loss", loss.detach(), 1)
        if advantages.value_targets is not None:
            assert sampled.values is not None
            assert values is not None
            values = pad_by_response(values, batch, *mask.shape)
            critic_loss = value_loss(values, sampled.values[rows], advantages.value_targets[rows], mask, size)
            metrics.add("value_loss", critic_loss.detach(), 1)
            loss = loss + critic_loss
        with torch.no_grad():
            ratio = losses.log_ratio(logps, old_logps, mask, algorithm.ratio).exp()
            clipped = (ratio < 1 - algorithm.clip_low) | (ratio > 1 + algorithm.clip_high)
            metrics.add("clip_ratio", (clipped.expand(mask.shape) * mask).sum(), mask.sum())
            metrics.add("approx_kl", ((old_logps - logps) * mask).sum(), mask.sum())
        return loss

    def _apply(self, metrics: UpdateMetrics) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.config.max_grad_norm)
        if not norm.isfinite():
            self.skipped += 1
            metrics.add("skipped_steps", 1.0, 1)
            if self.skipped == MAX_SKIPPED_STEPS:
                raise ModelError(
                    f"the gradient was not finite {MAX_SKIPPED_STEPS} times in a row: training has diverged. Fix: "
                    "lower --learning-rate, or look at the rewards; the last checkpoint is kept"
                )
            return
        self.skipped = 0
        metrics.add("grad_norm", norm, 1)
        metrics.steps += 1
        self.optimizer.step()

    def _sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        if self.ranks.count == 1:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        self.ranks.sum(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)


def _rows(groups: Sequence[int], count: int) -> list[int]:
    """The trajectories of some groups, as rows of the step."""
    return [group * count + place for group in groups for place in range(count)]


@dataclass(frozen=True, slots=True)
class _UpdateBatch:
    """What one update learns from."""

    groups: Sequence[Group]
    sampled: SampledBatch
    advantages: Advantages
    beta: float
    metrics: UpdateMetrics


def adapted_beta(beta: float, kl: float, *, target: float, responses: int, horizon: int = 10_000) -> float:
    """The weight of the KL, steered so that the KL stays near a target (Ziegler et al. 2019, section 2.2).

    error = clip(KL / target - 1, -0.2, 0.2),    beta <- beta (1 + error * responses / horizon)
    """
    return beta * (1 + min(max(kl / target - 1, -0.2), 0.2) * responses / horizon)
