"""A reward less what it owes to length and format: a scorer around any other."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from guerdon.errors import ContractError
from guerdon.metrics import Floats
from guerdon.rewards.saved import FILE_NAME, load_saved, read_card, saving
from guerdon.rewards.scoring import BaseScorer, score_texts
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.types import Prompts, References, Responses, Rewards, Scorer

FORMAT_FEATURES = (
    "log line breaks",
    "log list items",
    "has a code block",
    "log exclamation marks",
    "log question marks",
    "symbols, share of characters",
)
"""The features of `rewards.surface` that count as format."""


@dataclass(frozen=True, slots=True)
class Correction:
    """c(x): what is taken from a reward, a curve over length and a weight for each feature of format."""

    knots: tuple[float, ...]
    """log(1 + characters), ascending; between knots the curve is a straight line, outside it stays at its ends."""
    values: tuple[float, ...]
    """The curve at each knot, in units of the reward."""
    format_weights: tuple[float, ...]
    """What is taken for each unit of the features in `FORMAT_FEATURES`."""

    def __call__(self, prompts: Prompts, responses: Responses) -> Floats:
        """c(x) of n responses, shape (n,)."""
        taken = np.interp(np.log1p([len(text) for text in responses]), self.knots, self.values)
        if any(self.format_weights):
            taken += format_features(prompts, responses) @ np.array(self.format_weights)
        return np.asarray(taken)

    def times(self, strength: float) -> Correction:
        """The correction, `strength` times as strong."""
        scaled = [tuple(strength * one for one in each) for each in (self.values, self.format_weights)]
        return Correction(self.knots, *scaled)


def format_features(prompts: Prompts, responses: Responses) -> Floats:
    """The features of `FORMAT_FEATURES`, shape (n, features)."""
    features = SurfaceFeatures()
    names = features.names()
    found = features.compute(prompts, responses).values
    return np.asarray(found[:, [names.index(name) for name in FORMAT_FEATURES]])


class RepairedReward(BaseScorer):
    """R'(x) = R(x) - c(x), for any scorer R. A `Scorer`; what has no reward by R has none, for the same reason."""

    def __init__(self, scorer: Scorer, correction: Correction, *, name: str = "") -> None:
        """Takes the scorer, what is taken from its rewards, and the name by which it can be loaded again."""
        self.scorer, self.correction, self.name = scorer, correction, name

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """The rewards of n responses less their corrections."""
        rewards = score_texts(self.scorer, prompts, responses, references)
        values = rewards.values - self.correction(prompts, responses)
        return Rewards(values.astype(np.float32), rewards.reasons)

    def save(self, folder: str | Path) -> None:
        """Writes `guerdon.json`, and beside it the scorer where it can be saved; else its name. Raises OutputError."""
        content: dict[str, Any] = {"correction": asdict(self.correction), "format_features": list(FORMAT_FEATURES)}
        if (save := getattr(self.scorer, "save", None)) is not None:
            save(Path(folder) / "scorer")
            content["folder"] = "scorer"
        else:
            content["scorer"] = self.name
        with saving(folder, "repaired", content):
            pass  # the scorer is there

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Reads what `save` wrote.

        Raises:
            ContractError: the scorer is missing, or the correction cannot be read.
        """
        from guerdon.rewards.load import load_scorer

        folder = Path(folder)
        card = read_card(folder, "repaired")
        try:
            if tuple(card["format_features"]) != FORMAT_FEATURES:
                raise ValueError("it was fitted on the format features of another version")
            correction = Correction(**{key: tuple(map(float, each)) for key, each in card["correction"].items()})
            if "folder" in card:
                return cls(load_saved(folder / card["folder"], **options), correction)
            return cls(load_scorer(card["scorer"], **options), correction, name=card["scorer"])
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(
                f"{folder / FILE_NAME} is not that of a repaired reward: {error!r}. Fix: repair it again"
            ) from error
