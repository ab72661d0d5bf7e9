"""Scorers around others: sums, products and gates, whose parts can be told apart, and one that asks only once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from guerdon.rewards.scoring import BaseScorer, parts_of, score_texts
from guerdon.types import Prompt, Prompts, References, Responses, Rewards, Scorer


class CompositeScorer(BaseScorer):
    """A scorer made of others: its reward is `combine(parts(...))`."""

    scorers: Mapping[str, Scorer]
    """The parts, by name."""

    @abstractmethod
    def values(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The reward from those of the parts, shape (n,) each; NaN where a part that counts has none."""

    def parts(self, prompts: Prompts, responses: Responses, *, references: References = None) -> dict[str, Rewards]:
        """The rewards that each part gives to n responses, by name; each part is asked once."""
        return {name: score_texts(part, prompts, responses, references) for name, part in self.scorers.items()}

    def combine(self, parts: Mapping[str, Rewards]) -> Rewards:
        """The rewards from those of the parts; the reasons name the parts that have none."""
        values = self.values({name: part.values for name, part in parts.items()}).astype(np.float32)

        def reason(i: int) -> str:
            return "; ".join(f"{name}: {part.reasons[i]}" for name, part in parts.items() if part.reasons[i])

        return Rewards(values, tuple(reason(i) if missing else "" for i, missing in enumerate(np.isnan(values))))

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Scores n responses; where there is no reward, the reason names the parts that have none."""
        return self.combine(self.parts(prompts, responses, references=references))


@dataclass(frozen=True)
class WeightedSum(CompositeScorer):
    """sum_k w_k R_k; a part of weight 0 is scored and does not count.

    Example:
        >>> WeightedSum({"quality": model, "format": Matches("^<think>")}, {"quality": 1.0, "format": 0.5})
    """

    scorers: Mapping[str, Scorer]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.weights) != set(self.scorers):
            raise ValueError(f"a weight for each part: got {sorted(self.weights)} for {sorted(self.scorers)}")
        if not any(self.weights.values()):
            raise ValueError("at least one part must have a weight other than 0")

    def values(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weighted sum."""
        return np.asarray(np.sum([weight * parts[name] for name, weight in self.weights.items() if weight], axis=0))


@dataclass(frozen=True)
class Product(CompositeScorer):
    """prod_k R_k, of rewards between 0 and 1: all must be good."""

    scorers: Mapping[str, Scorer]

    def values(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The product."""
        return np.asarray(np.prod([parts[name] for name in self.scorers], axis=0))


@dataclass(frozen=True)
class Gate(CompositeScorer):
    """The reward where a condition holds, and a fixed one where it does not.

    Example:
        >>> Gate(condition=UnitTests(), reward=model, otherwise=-5.0)
    """

    condition: Scorer
    reward: Scorer
    otherwise: float = 0.0
    at_least: float = 0.5
    """The condition holds where its reward is at least this."""

    @property
    def scorers(self) -> Mapping[str, Scorer]:  # type: ignore[override]
        """Both parts."""
        return {"condition": self.condition, "reward": self.reward}

    def values(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The reward, or `otherwise`; NaN where it is not known whether the condition holds."""
        condition = parts["condition"]
        gated = np.where(condition >= self.at_least, parts["reward"], self.otherwise)
        return np.where(np.isnan(condition), np.nan, gated)


class CachedScorer(BaseScorer):
    """Gives the rewards of another scorer, and keeps them: the same text has one reward, and costs once.

    Not those that depend on the other responses to the prompt (`guerdon.rewards.comparing.AmongCandidates`).

    The memory is as large as the texts that were scored: for jobs on one data set, not for servers.

    Example:
        >>> scorer = CachedScorer(load_scorer("my-reward"))
        >>> evaluation = evaluate_reward({"mine": scorer}, rows)
        >>> scorer.score([row.prompt for row in rows], [row.chosen for row in rows])  # nothing is computed anew
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.calibration = getattr(scorer, "calibration", self.calibration)
        self._known: dict[tuple[Prompt, str, str | None], tuple[float, str]] = {}

    @property
    def asked(self) -> int:
        """How many distinct texts the other scorer was asked about."""
        return len(self._known)

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Scores as `guerdon.types.ReasonedScorer.score_with_reasons`."""
        if any(getattr(part, "by_prompt", False) for part in parts_of(self.scorer)):
            return score_texts(self.scorer, prompts, responses, references)
        keys = list(zip(prompts, responses, references or [None] * len(responses), strict=True))
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        if new:
            found = score_texts(self.scorer, *map(list, zip(*new, strict=True)))
            for key, value, reason in zip(new, found.values.tolist(), found.reasons, strict=True):
                self._known.setdefault(key, (value, reason))  # another thread may have been faster
        values, reasons = zip(*(self._known[key] for key in keys), strict=True) if keys else ((), ())
        return Rewards(np.array(values, dtype=np.float32), tuple(reasons))
