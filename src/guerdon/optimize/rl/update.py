"""One update of a policy from the answers of one sampling step: minibatches of whole groups, micro-batches inside."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from guerdon import losses
from guerdon.errors import ModelError
from guerdon.optimize.rl.algorithms import Algorithm
from guerdon.optimize.rl.objective import Credit, Minibatch, Sampled, assign_credit, policy_loss, value_loss
from guerdon.policy.decode import Sample
from guerdon.policy.logps import ResponseBatch, TokenizedGroup, pad_by_response, response_batches, token_logps
from guerdon.policy.net import PolicyNet


@dataclass(frozen=True, slots=True)
class Group:
    """Answers to one prompt with their rewards."""

    prompt: tuple[int, ...]
    answers: tuple[Sample, ...]
    rewards: tuple[float, ...]
    """NaN where there is none: such an answer takes no part."""


class ActorCritic(nn.Module):
    """The policy, and where an algorithm has one, a critic that reads the policy's states."""

    def __init__(self, net: PolicyNet, *, critic: bool) -> None:
        super().__init__()
        self.net = net
        self.value_head: nn.Linear | None = None
        if critic:
            config = net.language_model.config.get_text_config()
            self.value_head = nn.Linear(config.hidden_size, 1)
            nn.init.zeros_(self.value_head.weight)
            nn.init.zeros_(self.value_head.bias)

    def forward(self, batch: ResponseBatch, temperature: float) -> tuple[Tensor, Tensor | None]:
        """Log-probability and value of each token, float32, shape (tokens,) each."""
        states, logits = self.net.read(batch)
        logps = token_logps(logits, batch["token_ids"], temperature)
        values = None if self.value_head is None else self.value_head(states.float()).squeeze(1)
        return logps, values


def reference_of(net: PolicyNet) -> Callable[[ResponseBatch, float], Tensor]:
    """The policy as it is now, to measure the KL from: its base without the adapters, else a frozen copy."""
    disable = getattr(net.model, "disable_adapter", None)
    frozen = net if disable else copy.deepcopy(net).requires_grad_(False).eval()

    def logps(batch: ResponseBatch, temperature: float) -> Tensor:
        with torch.no_grad(), disable() if disable else nullcontext():
            found: Tensor = frozen(batch, temperature)
        return found

    return logps


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """How answers become steps of the optimiser."""

    algorithm: Algorithm
    longest: int
    """The most tokens an answer may have."""
    temperature: float = 1.0
    """That the answers were sampled with."""
    passes: int = 1
    """How often the answers of a sampling step are learnt from."""
    groups_per_minibatch: int = 0
    """Prompts of an optimiser step; 0 is all of a sampling step."""
    clip_gradient: float = 1.0
    """Largest norm of the gradient."""
    gamma: float = 1.0
    lam: float = 0.95
    budget: int = 1024
    """Padded tokens of a micro-batch."""


@dataclass(frozen=True, slots=True)
class Ranks:
    """Learners that share an update: the same weights, the same answers, each computing some of the groups.

    What is summed over them is little: log-probabilities of the step, gradients, figures. So the update is that of one
    learner, whatever their number.
    """

    own: int = 0
    count: int = 1

    def share(self, of: Sequence[int]) -> Sequence[int]:
        """The part that this learner computes."""
        return of[self.own :: self.count]

    def sum(self, tensor: Tensor) -> None:
        """Puts the sum over all learners into the tensor."""
        if self.count > 1:
            torch.distributed.all_reduce(tensor)

    def gather(self, value: Any) -> list[Any]:
        """The value of every learner."""
        found = [value] * self.count
        if self.count > 1:
            torch.distributed.all_gather_object(found, value)
        return found


UNSTABLE_STEPS = 3
"""So many gradients in a row that are not finite end the run."""


class Updater:
    """Takes the answers of sampling steps, and changes the policy."""

    def __init__(
        self,
        actor: ActorCritic,
        optimizer: torch.optim.Optimizer,
        settings: UpdateSettings,
        *,
        reference: Callable[[ResponseBatch, float], Tensor] | None,
        pad_id: int,
        ranks: Ranks = Ranks(),  # frozen
    ) -> None:
        self.actor = actor
        self.optimizer = optimizer
        self.settings = settings
        self.reference = reference
        self.pad_id = pad_id
        self.ranks = ranks
        self.unstable = 0

    def update(self, groups: Sequence[Group], *, beta: float, generator: torch.Generator) -> dict[str, float]:
        """Learns from the answers of one sampling step.

        Args:
            groups: all of the same number of answers; the same list on every learner.
            beta: weight of the KL.
            generator: of the order of minibatches; the same on every learner.

        Returns:
            Figures of the update; see `_figures`.

        Raises:
            ModelError: gradients are not finite, three times in a row.
        """
        sampled = self._sampled(groups)
        settings = self.settings
        credit = assign_credit(
            sampled,
            settings.algorithm,
            group=len(groups[0].answers),
            beta=beta,
            gamma=settings.gamma,
            lam=settings.lam,
        )
        figures = _Figures()
        size = settings.groups_per_minibatch or len(groups)
        self.actor.train()
        for _ in range(settings.passes):
            order = torch.randperm(len(groups), generator=generator).tolist()
            for start in range(0, len(order), size):
                self._step(groups, order[start : start + size], sampled, credit, beta, figures)
        figures.join(self.ranks)
        return figures.means() | _sampling_figures(groups, sampled, credit)

    def _sampled(self, groups: Sequence[Group]) -> Sampled:
        answers = [answer for group in groups for answer in group.answers]
        device = next(self.actor.parameters()).device
        longest = max(len(answer.ids) for answer in answers)
        logps = torch.zeros(len(answers), longest)
        mask = torch.zeros(len(answers), longest)
        for row, answer in enumerate(answers):
            logps[row, : len(answer.ids)] = torch.tensor(answer.logps)
            mask[row, : len(answer.ids)] = 1
            mask[row, list(answer.environment_positions)] = 0
        rewards = torch.tensor([reward for group in groups for reward in group.rewards])
        algorithm = self.settings.algorithm
        reference, values = None, None
        if algorithm.kl != "none" and self.reference is not None:
            reference = torch.zeros(len(answers), longest, device=device)
        if algorithm.critic:
            values = torch.zeros(len(answers), longest, device=device)
        if reference is not None or values is not None:
            mine = self.ranks.share(range(len(groups)))
            rows = _rows(mine, len(groups[0].answers))
            self.actor.eval()
            with torch.no_grad():
                for places, batch in self._batches([groups[index] for index in mine]):
                    items = [rows[place] for place in places]
                    shape = len(items), longest
                    if reference is not None:
                        assert self.reference is not None
                        reference[items] = pad_by_response(
                            self.reference(batch, self.settings.temperature), batch, *shape
                        )
                    if values is not None:
                        _, found = self.actor(batch, self.settings.temperature)
                        values[items] = pad_by_response(found, batch, *shape)
            for tensor in (reference, values):
                if tensor is not None:
                    self.ranks.sum(tensor)
        return Sampled(rewards.to(device), logps.to(device), mask.to(device), reference, values)

    def _batches(self, groups: Sequence[Group]) -> Iterator[tuple[list[int], ResponseBatch]]:
        asked = [TokenizedGroup(group.prompt, tuple(answer.ids for answer in group.answers)) for group in groups]
        device = next(self.actor.parameters()).device
        cut = response_batches(
            asked, budget=self.settings.budget, pad_id=self.pad_id, shared=self.actor.net.reads_groups
        )
        for items, batch in cut:
            yield items, {name: tensor.to(device) for name, tensor in batch.items()}

    def _step(
        self,
        groups: Sequence[Group],
        chosen: Sequence[int],
        sampled: Sampled,
        credit: Credit,
        beta: float,
        figures: _Figures,
    ) -> None:
        """One step of the optimiser on some of the groups."""
        count = len(groups[0].answers)
        rows = _rows(chosen, count)
        mask = sampled.mask[rows] * credit.counts[rows].unsqueeze(1)
        minibatch = Minibatch(int(credit.counts[rows].sum()), int(mask.sum()), self.settings.longest)
        if not minibatch.answers:
            return
        self.optimizer.zero_grad(set_to_none=True)
        mine = self.ranks.share(chosen)
        rows = _rows(mine, count)
        for items, batch in self._batches([groups[index] for index in mine]):
            own = [rows[item] for item in items]
            taking_part = sampled.mask[own] * credit.counts[own].unsqueeze(1)
            loss = self._loss(batch, own, taking_part, sampled, credit, minibatch, beta, figures)
            loss.backward()
        self._apply(figures)

    def _loss(
        self,
        batch: ResponseBatch,
        own: Sequence[int],
        mask: Tensor,
        sampled: Sampled,
        credit: Credit,
        minibatch: Minibatch,
        beta: float,
        figures: _Figures,
    ) -> Tensor:
        """The loss of a micro-batch, whose answers are the rows `own` of the step."""
        algorithm, shape = self.settings.algorithm, mask.shape
        token_logs, token_values = self.actor(batch, self.settings.temperature)
        logps = pad_by_response(token_logs, batch, *shape)
        reference = None if sampled.reference is None else sampled.reference[own]
        loss = policy_loss(
            logps,
            sampled.logps[own],
            credit.advantages[own],
            mask,
            minibatch,
            algorithm,
            beta=beta,
            reference=reference,
        )
        figures.add("policy_loss", loss.detach(), 1)
        if credit.targets is not None:
            assert sampled.values is not None
            values = pad_by_response(token_values, batch, *shape)
            worth = value_loss(values, sampled.values[own], credit.targets[own], mask, minibatch)
            figures.add("value_loss", worth.detach(), 1)
            loss = loss + worth
        with torch.no_grad():
            ratio = losses.log_ratio(logps, sampled.logps[own], mask, algorithm.ratio).exp()
            outside = (ratio < 1 - algorithm.clip_low) | (ratio > 1 + algorithm.clip_high)
            figures.add("clipped", (outside.expand(shape) * mask).sum(), mask.sum())
            figures.add("moved", ((sampled.logps[own] - logps) * mask).sum(), mask.sum())
        return loss

    def _apply(self, figures: _Figures) -> None:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self._sum_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.settings.clip_gradient)
        if not norm.isfinite():
            self.unstable += 1
            figures.add("skipped_steps", 1.0, 1)
            if self.unstable == UNSTABLE_STEPS:
                raise ModelError(
                    f"the gradient was not finite {UNSTABLE_STEPS} times in a row: training has diverged. Fix: lower "
                    "--learning-rate, or look at the rewards; the last checkpoint is kept"
                )
            self.optimizer.zero_grad(set_to_none=True)
            return
        self.unstable = 0
        figures.add("gradient_norm", norm, 1)
        figures.steps += 1
        self.optimizer.step()

    def _sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        if self.ranks.count == 1:
            return
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
        self.ranks.sum(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)


def _rows(groups: Sequence[int], count: int) -> list[int]:
    """The answers of some groups, as rows of the step."""
    return [group * count + place for group in groups for place in range(count)]


class _Figures:
    """Sums and counts of what is logged."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}
        self.steps = 0

    def add(self, name: str, value: Any, count: Any) -> None:
        """Adds `value`, a sum over `count`."""
        held = self.sums.setdefault(name, [0.0, 0.0])
        held[0] += float(value)
        held[1] += float(count)

    def join(self, ranks: Ranks) -> None:
        """Adds what the other learners saw."""
        seen = ranks.gather(self.sums)
        names = dict.fromkeys(name for sums in seen for name in sums)
        self.sums = {name: [sum(sums.get(name, (0, 0))[i] for sums in seen) for i in range(2)] for name in names}

    def means(self) -> dict[str, float]:
        """The mean of each; losses are those of whole optimiser steps."""
        per_step = ("policy_loss", "value_loss")
        found = {
            name: total / max(self.steps if name in per_step else count, 1)
            for name, (total, count) in self.sums.items()
        }
        return found | {"optimizer_steps": float(self.steps)}


def _sampling_figures(groups: Sequence[Group], sampled: Sampled, credit: Credit) -> dict[str, float]:
    """What was sampled: reward, length, KL from the reference in nats an answer, and what took no part."""
    rewards = sampled.rewards
    known = ~rewards.isnan()
    answers = [answer for group in groups for answer in group.answers]
    found = {
        "reward": float(rewards[known].mean()) if known.any() else math.nan,
        "reward_std": float(rewards[known].std()) if known.sum() > 1 else 0.0,
        "reward_missing": float((~known).float().mean()),
        "answers_left_out": float((~credit.counts).float().mean()),
        "answer_tokens": float(sampled.mask.sum(dim=1).mean()),
        "answers_cut": sum(not answer.finished for answer in answers) / len(answers),
    }
    if sampled.reference is not None:
        kl = losses.kl_k1(sampled.logps, sampled.reference) * sampled.mask
        found["kl"] = float(kl.sum(dim=1).mean())
    return found


class AdaptiveBeta:
    """The weight of the KL, steered so that the KL stays near a target (Ziegler et al. 2019, section 2.2).

    error = clip(KL / target - 1, -0.2, 0.2),    beta <- beta (1 + error * answers / horizon)
    """

    def __init__(self, beta: float, target: float | None, horizon: int = 10_000) -> None:
        self.beta, self.target, self.horizon = beta, target, horizon

    def see(self, kl: float, answers: int) -> None:
        """Takes note of the KL of a step, in nats an answer."""
        if self.target:
            error = min(max(kl / self.target - 1, -0.2), 0.2)
            self.beta *= 1 + error * answers / self.horizon
