"""Who is looked at, and what a check says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from guerdon.rewards.scoring import score_texts
from guerdon.types import Prompt, Scorer

if TYPE_CHECKING:
    import torch

    from guerdon.collation import Tokens
    from guerdon.rewards.contract import ScoreContract
    from guerdon.rewards.transformer import TransformerReward

Verdict = Literal["pass", "warning", "fail", "not applicable"]

SMALL = 2 * 2**30
"""Bytes of weights up to which a model is copied, written and loaded again."""

FEW = 8
"""Texts that a model computes again and again, at the most."""


class Texts(NamedTuple):
    """Texts of a data set."""

    prompts: list[Prompt]
    responses: list[str]
    references: list[str | None]

    def only(self, items: Sequence[int]) -> Texts:
        """Some of them, in this order."""
        return Texts(
            [self.prompts[item] for item in items],
            [self.responses[item] for item in items],
            [self.references[item] for item in items],
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    verdict: Verdict
    message: str
    """In plain words."""
    difference: float | None = None
    """The largest difference of two scores of one text, where scores were compared."""
    mend: str = ""
    """What to do, where it is not what the table says."""


@dataclass(frozen=True, slots=True)
class CheckRow:
    """A row of the table of checks."""

    name: str
    about: str
    """What is looked at."""
    mend: str
    """What to do where it fails."""
    look: Callable[[Any], Finding]
    """Takes a `ScorerPatient`, or a `ModelPatient` in the table of models."""
    elsewhere: bool = False
    """What fails concerns other tools that read the same folder; scores in Guerdon can be relied on."""


def passed(message: str, difference: float | None = None) -> Finding:
    """Nothing is wrong."""
    return Finding("pass", message, difference)


def warned(message: str, mend: str = "") -> Finding:
    """Scores can be relied on, but there is something to know."""
    return Finding("warning", message, mend=mend)


def failed(message: str, difference: float | None = None, *, mend: str = "") -> Finding:
    """Scores cannot be relied on, here or elsewhere."""
    return Finding("fail", message, difference, mend)


def skipped(message: str) -> Finding:
    """There is nothing of the kind to look at."""
    return Finding("not applicable", message)


def compared(what: str, one: np.ndarray, other: np.ndarray, tolerance: float) -> Finding:
    """Whether two ways of asking give the same scores, shape (n,) each."""
    lost = np.isnan(one) != np.isnan(other)
    both = ~np.isnan(one) & ~np.isnan(other)
    difference = float(np.abs(one - other)[both].max(initial=0.0))
    allowed = tolerance * max(1.0, float(np.abs(one[both]).max(initial=0.0)))
    if lost.any():
        return failed(f"{what}: {lost.sum()} of {len(one)} texts have a score only once.")
    if difference > allowed:
        return failed(f"{what}: scores differ by up to {difference:.2g}, more than {allowed:.2g}.", difference)
    return passed(f"{what}: the same scores; the largest difference is {difference:.2g}.", difference)


@dataclass(frozen=True)
class ScorerPatient:
    """Any scorer."""

    scorer: Scorer
    sample: Texts
    tolerance: float
    """The largest difference of two scores that are the same, for scores of about 1."""
    size: int
    """Bytes of the weights of the models in it."""

    def scores(self, items: Sequence[int] | range) -> np.ndarray:
        """The scores of some texts, asked in one call; float32, shape (items,)."""
        return score_texts(self.scorer, *self.sample.only(items)).values

    @cached_property
    def first(self) -> np.ndarray:
        """The scores of all texts, asked in one call."""
        return self.scores(range(len(self.sample.responses)))

    @property
    def known(self) -> np.ndarray:
        """Those that there are."""
        found: np.ndarray = self.first[np.isfinite(self.first)]
        return found


@dataclass(frozen=True)
class ModelPatient:
    """A trained model, alone or as a part of a scorer."""

    reward: TransformerReward
    sample: Texts
    tolerance: float
    decided: bool
    """A contract beside the weights, or the user, says how the model is read."""
    trust_remote_code: bool

    @property
    def contract(self) -> ScoreContract:
        """Its score contract."""
        return self.reward.contract

    @property
    def folder(self) -> Path | None:
        """Where it was loaded from."""
        return self.reward.folder

    @property
    def size(self) -> int:
        """Bytes of its weights."""
        return sum(part.numel() * part.element_size() for part in self.reward.net.parameters())

    @cached_property
    def tokens(self) -> list[Tokens]:
        """The sample as the model reads it."""
        return self.reward.encode(self.sample.prompts, self.sample.responses).tokens

    @property
    def few(self) -> list[Tokens]:
        """Some of them, for what computes them several times."""
        return self.tokens[:: -(-len(self.tokens) // FEW)]

    def scores_of(self, tokens: Sequence[Tokens]) -> np.ndarray:
        """The scores of tokenized texts, shape (n,)."""
        return self.in_units(self.reward.logits_of(tokens, [""] * len(tokens)))

    def in_units(self, logits: torch.Tensor | np.ndarray) -> np.ndarray:
        """Scores from the head's outputs, shape (n, outputs)."""
        values = np.asarray(logits, dtype=np.float64)
        contract = self.contract
        units = np.array(contract.shift, dtype=np.float64) + np.array(contract.scale, dtype=np.float64) * values
        return np.asarray(units @ np.array(contract.weights, dtype=np.float64), dtype=np.float64)

    def token(self, number: int | None) -> str:
        """A token as the vocabulary writes it."""
        return "none" if number is None else repr(self.reward.tokenizer.convert_ids_to_tokens(number))
