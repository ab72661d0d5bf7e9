"""Watching a policy while it is optimised: is what rises still what was meant?

The proxy is the reward that trains; the gold reward never does. Both score the same samples on the same held-out
prompts at every look, with the KL from the policy at the start. A proxy that goes on rising while gold has turned is
being exploited (Gao et al. 2023, arXiv:2210.10760): training stops, and the policy at gold's peak is what is kept.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from guerdon import losses
from guerdon.files import atomic_write
from guerdon.packing import default_budget
from guerdon.policy.decode import Sampling
from guerdon.policy.logps import ResponseBatch, TokenizedGroup, response_batches
from guerdon.policy.model import Policy, SampledResponse
from guerdon.policy.net import PolicyNet
from guerdon.types import Candidates, Scorer, prompt_text

LOOKS_FILE = "monitor.jsonl"
SHOWN = 4
"""Prompts whose answers are kept at every look."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the policy was like at a step."""

    step: int
    proxy: float
    """Mean reward of the scorer that trains."""
    gold: float
    """Mean reward of the scorer that does not; NaN without one."""
    proxy_by_prompt: tuple[float, ...]
    gold_by_prompt: tuple[float, ...]
    """Means of the answers to each prompt: two looks are compared prompt by prompt."""
    kl: float
    """From the policy at the start, in nats an answer."""
    tokens: float
    """Mean length of an answer."""
    cut: float
    """Share of answers that reached the longest length."""
    repetition: float
    """Share of the word 4-grams of an answer that it has said before."""
    distinct: float
    """Different word bigrams among all answers, by their number (Li et al. 2016, distinct-2)."""
    samples: tuple[tuple[str, str], ...]
    """Some prompts and what was answered."""


class Monitor:
    """Takes a look whenever it is asked, keeps a record, and says when to stop."""

    def __init__(
        self,
        policy: Policy,
        requests: Sequence[Candidates],
        proxy: Scorer,
        gold: Scorer | None,
        record: Path,
        *,
        reference: Callable[[ResponseBatch, float], Tensor],
        sampling: Sampling,
        samples: int = 1,
        patience: int = 0,
        seed: int = 0,
    ) -> None:
        """Prepares to look.

        Args:
            policy: what is looked at, with whatever weights it then has.
            requests: held-out prompts.
            proxy: the scorer that trains.
            gold: one that does not.
            record: JSON Lines; looks that it holds already are part of the record.
            reference: log-probabilities under the policy at the start.
            sampling: how answers are drawn.
            samples: answers to each prompt.
            patience: stop after so many looks below the peak; 0 never stops.
            seed: of the sampling, the same at every look.
        """
        self.policy, self.requests, self.proxy, self.gold = policy, requests, proxy, gold
        self.record, self.reference, self.sampling = record, reference, sampling
        self.samples, self.patience, self.seed = samples, patience, seed
        self.looks: list[Look] = read_looks(record)

    def look(self, step: int) -> Look:
        """Samples, scores, and writes down; a look that was taken at this step before is replaced."""
        prompts = [request.prompt for request in self.requests]
        said: list[list[SampledResponse]] = [[] for _ in prompts]
        self.policy.model.eval()
        answers = self.policy.sample_responses(
            prompts, num_generations=self.samples, sampling=self.sampling, seed=self.seed
        )
        for index, own in answers:
            said[index] = own
        flat = [answer for own in said for answer in own]
        texts = [answer.text for answer in flat]
        found = Look(
            step=step,
            proxy_by_prompt=(proxy := self._scores(self.proxy, texts)),
            gold_by_prompt=(gold := self._scores(self.gold, texts)),
            proxy=_mean(proxy),
            gold=_mean(gold),
            kl=self._kl(said),
            tokens=float(np.mean([len(answer.sample.ids) for answer in flat])),
            cut=float(np.mean([not answer.sample.finished for answer in flat])),
            repetition=float(np.mean([repetition(text) for text in texts])),
            distinct=distinct(texts),
            samples=tuple((prompt_text(prompts[i]), said[i][0].text) for i in range(min(SHOWN, len(prompts)))),
        )
        self.looks = [*(one for one in self.looks if one.step < step), found]
        with atomic_write(self.record) as file:
            file.writelines(json.dumps(asdict(one)) + "\n" for one in self.looks)
        return found

    @property
    def peak(self) -> Look:
        """The look with the highest gold reward, or proxy where there is no gold one."""
        return peak(self.looks)

    @property
    def should_stop(self) -> bool:
        """Whether the peak lies `patience` looks back."""
        return bool(self.patience and self.looks) and past_peak(self.looks) >= self.patience

    def _scores(self, scorer: Scorer | None, texts: Sequence[str]) -> tuple[float, ...]:
        """Means by prompt; NaN where no answer has a reward."""
        if scorer is None:
            return ()
        prompts = [request.prompt for request in self.requests for _ in range(self.samples)]
        references = [request.reference for request in self.requests for _ in range(self.samples)]
        given = references if any(reference is not None for reference in references) else None
        scores = np.asarray(scorer.score(prompts, texts, references=given), dtype=np.float64)
        rows = np.where(np.isfinite(scores), scores, np.nan).reshape(len(self.requests), -1)
        return tuple(_mean(row.tolist()) for row in rows)

    def _kl(self, said: Sequence[Sequence[SampledResponse]]) -> float:
        """The mean of log pi(y) - log pi_ref(y) over the samples."""
        coded = self.policy.encode_prompts(
            [request.prompt for request in self.requests], max_new_tokens=self.sampling.max_new_tokens
        )
        groups = [
            TokenizedGroup(tuple(ids), tuple(answer.sample.ids for answer in own))
            for ids, own in zip(coded, said, strict=True)
        ]
        net = PolicyNet(self.policy.model)
        logps = [torch.tensor(answer.sample.logps) for own in said for answer in own]
        device = self.policy.model.device
        total = 0.0
        batches = response_batches(
            groups, budget=default_budget(), pad_id=self.policy.tokenizer.pad_token_id, shared=net.reads_groups
        )
        for items, batch in batches:
            there = {name: tensor.to(device) for name, tensor in batch.items()}
            reference = self.reference(there, self.sampling.temperature).cpu()
            total += float(losses.kl_k1(torch.cat([logps[item] for item in items]), reference).sum())
        return total / len(logps)


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan


def peak(looks: Sequence[Look]) -> Look:
    """The look with the highest gold reward, or proxy where there is no gold one; the first of equals."""

    def worth(look: Look) -> float:
        value = look.gold if look.gold_by_prompt else look.proxy
        return value if math.isfinite(value) else -math.inf

    return max(looks, key=worth)


def past_peak(looks: Sequence[Look]) -> int:
    """How many looks were taken after the peak."""
    return len(looks) - 1 - looks.index(peak(looks))


def repetition(text: str, n: int = 4) -> float:
    """The share of the word n-grams of a text that it has said before; 0 for a text shorter than that."""
    words = _words(text)
    grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Different word n-grams of all texts by their number (Li et al. 2016, arXiv:1510.03055); 1 where none repeats."""
    counted: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = _words(text)
        counted.update(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return len(counted) / counted.total() if counted else 1.0


def _words(text: str) -> list[str]:
    """Words; where a text has no spaces between them, as in Chinese, characters."""
    words = text.split()
    return words if len(text) < 12 * max(1, len(words)) else [mark for mark in text if not mark.isspace()]


def read_looks(record: Path) -> list[Look]:
    """The looks of a record, by step; none where there is no record."""
    if not record.exists():
        return []
    lines = record.read_text(encoding="utf-8").splitlines()
    return [_look(json.loads(line)) for line in lines]


def _look(record: dict[str, Any]) -> Look:
    tuples = ("proxy_by_prompt", "gold_by_prompt")
    samples = tuple((prompt, answer) for prompt, answer in record["samples"])
    return Look(**(record | {name: tuple(record[name]) for name in tuples} | {"samples": samples}))


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
    """Least squares of Gao et al. 2023, equations 1 and 2.

    Args:
        kls: from the policy at the start, in nats.
        gains: of the reward over that policy.
        kind: `best-of-n` or `rl`.

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
