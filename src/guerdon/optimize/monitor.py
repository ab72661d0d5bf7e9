"""Evaluating a policy while it is optimised: does what rises still mean what was meant?

The proxy is the reward that trains; the gold reward never does. Both score the same samples for the same held-out
prompts at every evaluation, with the KL from the policy at the start. A proxy that goes on rising while gold has turned
is being exploited (Gao et al. 2023, arXiv:2210.10760): training stops, and the policy at gold's best is what is kept.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from guerdon.files import atomic_write
from guerdon.optimize.rl.trajectories import Group, Rollouts, Trajectory
from guerdon.optimize.rl.workers import Weights, Workers
from guerdon.packing import default_budget
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet, ResponseBatch, TokenizedGroup, response_batches
from guerdon.rewards.scoring import score_texts
from guerdon.types import Candidates, Scorer, prompt_text

EVALUATIONS_FILE = "monitor.jsonl"
BEST_FILES = "best-*.safetensors"
NUM_SHOWN = 4
"""Prompts whose responses are kept at every evaluation."""


@dataclass(frozen=True, slots=True)
class PolicyEvaluation:
    """What the policy was like at a step."""

    step: int
    proxy: float
    """Mean reward that trains."""
    gold: float
    """Mean reward that does not train; NaN without one."""
    proxy_by_prompt: tuple[float, ...]
    gold_by_prompt: tuple[float, ...]
    """Means over the responses to each prompt: two evaluations are compared prompt by prompt."""
    kl: float
    """KL from the policy at the start, in nats per response."""
    response_tokens: float
    """Mean tokens of a response."""
    truncated: float
    """Share of responses that reached max_new_tokens."""
    repetition: float
    """Share of the word 4-grams of a response that repeat an earlier one of it."""
    distinct: float
    """Different word bigrams among all responses, by their number (Li et al. 2016, distinct-2)."""
    samples: tuple[tuple[str, str], ...]
    """Some prompts, and a response to each."""

    @property
    def metrics(self) -> dict[str, float]:
        """What the log gets of it."""
        found = {"reward": self.proxy, "gold_reward": self.gold, "kl": self.kl}
        found |= {"response_tokens": self.response_tokens, "repetition": self.repetition}
        return {f"eval_{name}": value for name, value in found.items()}


class Monitor:
    """Evaluates the policy of a run, keeps a record and the weights at the best evaluation, and says when to stop."""

    def __init__(
        self, workers: Workers, prompts: Sequence[Candidates], run: Path, *, gold: Scorer | None = None, step: int = 0
    ) -> None:
        """Takes held-out prompts; evaluations up to `step` in the run folder are part of the record."""
        self.workers, self.prompts, self.run, self.gold = workers, prompts, run, gold
        self.config = workers.setup.config
        self.evaluations = [one for one in read_evaluations(run / EVALUATIONS_FILE) if one.step <= step]

    def evaluate(self, step: int) -> PolicyEvaluation:
        """Samples, scores, and writes down; keeps the weights where the policy is the best so far."""
        groups = self._sample()
        trajectories = [one for group in groups for one in group.trajectories]
        texts = [response_text(one) for one in trajectories]
        proxy = tuple(mean_known([one.reward for one in group.trajectories]) for group in groups)
        gold = self._gold(groups)
        policy, reference = self.workers.policy(), self.workers.reference()
        found = PolicyEvaluation(
            step=step,
            proxy=mean_known(proxy),
            gold=mean_known(gold),
            proxy_by_prompt=proxy,
            gold_by_prompt=gold,
            kl=mean_kl(policy, reference, groups, temperature=self.config.temperature),
            response_tokens=float(np.mean([one.num_tokens for one in trajectories])),
            truncated=float(np.mean([not one.response.finished for one in trajectories])),
            repetition=float(np.mean([repetition(text) for text in texts])),
            distinct=distinct(texts),
            samples=tuple(
                (prompt_text(row.prompt), response_text(group.trajectories[0]))
                for row, group in zip(self.prompts[:NUM_SHOWN], groups, strict=False)
            ),
        )
        self.evaluations.append(found)
        with atomic_write(self.run / EVALUATIONS_FILE) as file:
            file.writelines(json.dumps(asdict(one)) + "\n" for one in self.evaluations)
        if best_evaluation(self.evaluations) is found:
            save_file(dict(self.workers.weights()), self._weights_file)
        return found

    @property
    def should_stop(self) -> bool:
        """Whether the best evaluation lies `early_stopping_patience` evaluations back."""
        patience = self.config.early_stopping_patience
        return bool(patience and self.evaluations) and evaluations_since_best(self.evaluations) >= patience

    def best_weights(self) -> Weights:
        """The weights at the best evaluation."""
        weights: Weights = load_file(self._weights_file)
        return weights

    def prune(self) -> None:
        """Lets weights go that are no longer the best; called when a checkpoint knows of the better ones."""
        for file in self.run.glob(BEST_FILES):
            if file != self._weights_file:
                file.unlink()

    @property
    def _weights_file(self) -> Path:
        return self.run / f"best-{best_evaluation(self.evaluations).step}.safetensors"

    def _sample(self) -> list[Group]:
        """Trajectories of the policy as it is now, by the same random numbers at every evaluation."""
        policy, wide, found = self.workers.sampler(), self.config.prompts_per_step, Rollouts()
        for start in range(0, len(self.prompts), wide):
            seed, count = seed_of(self.config.seed, start), self.config.eval_num_generations
            found.add(self.workers.setup.sample(policy, self.prompts[start : start + wide], seed, count))
        return found.groups

    def _gold(self, groups: Sequence[Group]) -> tuple[float, ...]:
        """Means by prompt of R(everything before the last response, last response), NaN where there is no reward."""
        if self.gold is None:
            return ()
        asked = [(row, one) for row, group in zip(self.prompts, groups, strict=True) for one in group.trajectories]
        prompts = [
            row.prompt if len(one.response_turns) == 1 else one.conversation[: one.response_turns[-1]]
            for row, one in asked
        ]
        responses = [one.conversation[one.response_turns[-1]].content for _, one in asked]
        rewards = score_texts(self.gold, prompts, responses, [row.reference for row, _ in asked])
        values = iter(rewards.values.tolist())
        return tuple(mean_known([next(values) for _ in group.trajectories]) for group in groups)


def seed_of(*parts: int) -> int:
    """A seed from several numbers."""
    return random.Random(str(parts)).getrandbits(62)


def response_text(trajectory: Trajectory) -> str:
    """What the policy wrote, turn by turn."""
    return "\n".join(trajectory.conversation[turn].content for turn in trajectory.response_turns)


def mean_kl(
    policy: Policy,
    reference: Callable[[ResponseBatch, float], Tensor],
    groups: Sequence[Group],
    *,
    temperature: float = 1.0,
) -> float:
    """The mean of log pi(y) - log pi_ref(y) over responses, in nats, of the tokens that the policy wrote."""
    net, device = PolicyNet(policy.model), policy.model.device
    sampled = [one.response for group in groups for one in group.trajectories]
    tokenized = [
        TokenizedGroup(group.prompt, tuple(one.response.ids for one in group.trajectories)) for group in groups
    ]
    batches = response_batches(
        tokenized, budget=default_budget(), pad_id=policy.tokenizer.pad_token_id, shared=net.reads_groups
    )
    total = 0.0
    for items, batch in batches:
        there = {name: tensor.to(device) for name, tensor in batch.items()}
        ref_logps = reference(there, temperature).cpu()
        counted = torch.ones(len(ref_logps))
        for number, item in enumerate(items):
            own = (batch["response"] == number).nonzero()[:, 0]
            counted[own[list(sampled[item].environment_positions)]] = 0
        logps = torch.cat([torch.tensor(sampled[item].logps) for item in items])
        total += float(((logps - ref_logps) * counted).sum())
    return total / len(sampled)


def mean_known(values: Sequence[float]) -> float:
    """The mean of what is finite; NaN where nothing is."""
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def best_evaluation(evaluations: Sequence[PolicyEvaluation]) -> PolicyEvaluation:
    """The evaluation with the highest gold reward, or proxy where there is no gold one; the first of equals."""

    def reward(evaluation: PolicyEvaluation) -> float:
        value = evaluation.gold if evaluation.gold_by_prompt else evaluation.proxy
        return value if math.isfinite(value) else -math.inf

    return max(evaluations, key=reward)


def evaluations_since_best(evaluations: Sequence[PolicyEvaluation]) -> int:
    """How many evaluations followed the best one."""
    return len(evaluations) - 1 - evaluations.index(best_evaluation(evaluations))


def repetition(text: str, n: int = 4) -> float:
    """The share of the word n-grams of a text that repeat an earlier one; 0 for a shorter text."""
    grams = _ngrams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Different word n-grams of all texts by their number (Li et al. 2016, arXiv:1510.03055); 1 where none repeats."""
    grams = [gram for text in texts for gram in _ngrams(text, n)]
    return len(set(grams)) / len(grams) if grams else 1.0


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    """Of words; where a text has no spaces between them, as in Chinese, of characters."""
    words = text.split()
    if len(text) >= 12 * max(1, len(words)):
        words = [mark for mark in text if not mark.isspace()]
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def read_evaluations(record: Path) -> list[PolicyEvaluation]:
    """The evaluations of a run, by step; none where there is no record."""
    if not record.exists():
        return []
    found = []
    for line in map(json.loads, record.read_text(encoding="utf-8").splitlines()):
        line |= {name: tuple(line[name]) for name in ("proxy_by_prompt", "gold_by_prompt")}
        found.append(PolicyEvaluation(**line | {"samples": tuple(map(tuple, line["samples"]))}))
    return found


@dataclass(frozen=True, slots=True)
class GaoFit:
    """A gain as a function of d = sqrt(KL): d (alpha - beta d) for best-of-n, d (alpha - beta log d) for RL."""

    alpha: float
    beta: float
    r_squared: float
    kind: str

    def at(self, d: float) -> float:
        """The gain at d."""
        return d * (self.alpha - self.beta * (d if self.kind == "best-of-n" else math.log(d))) if d > 0 else 0.0


def fit_gao(kls: Sequence[float], gains: Sequence[float], kind: str) -> GaoFit | None:
    """Least squares of Gao et al. 2023, equations 1 (`best-of-n`) and 2 (`rl`): gains over KLs, both from the start.

    Returns:
        None for fewer than three points with a KL above 0.
    """
    points = [(math.sqrt(kl), gain) for kl, gain in zip(kls, gains, strict=True) if kl > 0 and math.isfinite(gain)]
    if len(points) < 3:
        return None
    d, gain = np.array(points).T
    columns = np.stack([d, -d * (d if kind == "best-of-n" else np.log(d))], axis=1)
    (alpha, beta), *_ = np.linalg.lstsq(columns, gain, rcond=None)
    left = gain - columns @ np.array([alpha, beta])
    spread = float(((gain - gain.mean()) ** 2).sum())
    return GaoFit(float(alpha), float(beta), 1 - float((left**2).sum()) / spread if spread else 0.0, kind)
