"""Several rewards as one: sums, products and gates of scorers, whose parts can be told apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from guerdon.types import Prompt, Scorer


@runtime_checkable
class Composed(Protocol):
    """A scorer made of others: `score` is `combine(parts(...))`."""

    def parts(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> dict[str, np.ndarray]:
        """What each part says, by name, shape (n,) each."""
        ...

    def combine(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The reward from its parts, float32, shape (n,); NaN where a part that counts has none."""
        ...


class _Parts:
    """Asks each part once."""

    scorers: Mapping[str, Scorer]

    def parts(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> dict[str, np.ndarray]:
        """What each part says, by name, shape (n,) each."""
        return {name: one.score(prompts, responses, references=references) for name, one in self.scorers.items()}

    def combine(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The reward from its parts."""
        raise NotImplementedError

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`; NaN where a part that counts has no reward."""
        return self.combine(self.parts(prompts, responses, references=references))


@dataclass(frozen=True)
class WeightedSum(_Parts):
    """sum_k w_k R_k.

    Example:
        >>> WeightedSum({"quality": model, "format": Matches("^<think>")}, {"quality": 1.0, "format": 0.5})
    """

    scorers: Mapping[str, Scorer]
    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        if set(self.weights) != set(self.scorers):
            raise ValueError(f"a weight for each part: got {sorted(self.weights)} for {sorted(self.scorers)}")

    def combine(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The weighted sum; a part of weight 0 is looked at and does not count."""
        counted = [weight * parts[name] for name, weight in self.weights.items() if weight]
        return np.asarray(np.sum(counted, axis=0), dtype=np.float32)


@dataclass(frozen=True)
class Product(_Parts):
    """prod_k R_k, of rewards between 0 and 1: all must be good."""

    scorers: Mapping[str, Scorer]

    def combine(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The product."""
        return np.asarray(np.prod([parts[name] for name in self.scorers], axis=0), dtype=np.float32)


@dataclass(frozen=True)
class Gate(_Parts):
    """The reward where a condition holds, and a fixed one where it does not.

    Example:
        >>> Gate(condition=UnitTests(), reward=model, otherwise=-5.0)
    """

    condition: Scorer
    reward: Scorer
    otherwise: float = 0.0
    at_least: float = 0.5
    """The condition holds from this reward of it on."""

    @property
    def scorers(self) -> Mapping[str, Scorer]:  # type: ignore[override]
        """Both parts."""
        return {"condition": self.condition, "reward": self.reward}

    def combine(self, parts: Mapping[str, np.ndarray]) -> np.ndarray:
        """The reward, or `otherwise`; NaN where it is not known whether the condition holds."""
        condition = parts["condition"]
        found = np.where(condition >= self.at_least, parts["reward"], self.otherwise)
        return np.where(np.isnan(condition), np.nan, found).astype(np.float32)
