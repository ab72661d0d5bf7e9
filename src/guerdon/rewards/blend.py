"""Several rewards as one: a weighted sum of standardised members, with weights that are learnt from judgements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from guerdon.errors import ConfigError, ContractError
from guerdon.metrics import Floats, Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import fit_weights
from guerdon.rewards.saved import FILE_NAME, load_saved, read_card, saving
from guerdon.rewards.scoring import BaseScorer, score_texts
from guerdon.rewards.training_data import TrainingPrompts, read_training_prompts, write_training_prompts
from guerdon.types import Prompt, References, Rewards, Scorer

_PENALTY = 100.0
"""L2 penalty of the weights of standardised members: a hundred pairs are little against it, thousands are much."""
_SCALE_PENALTY = 1.0
"""L2 penalty of all weights together, as one number: finite also where every pair is in the right order."""


class Blend(BaseScorer):
    """R(x) = shift + scale * sum_k w_k (r_k(x) - mean_k) / deviation_k, with w_k >= 0. A `Scorer`.

    A member that has no reward for a text, as an encoder that does not read its language, says nothing there: it counts
    as its mean. A text that no member of any weight can judge has no reward. What only compares is a member as
    `guerdon.rewards.comparing.AmongCandidates`, by the logit of P.
    """

    def __init__(
        self,
        members: Mapping[str, Scorer],
        weights: Sequence[float] | Floats,
        *,
        means: Sequence[float] | Floats,
        deviations: Sequence[float] | Floats,
        shift: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        """Takes named members, and of each its weight (0 or more), mean and deviation, in their order."""
        self.members = dict(members)
        self.weights, self.means, self.deviations = (
            np.asarray(values, dtype=np.float64) for values in (weights, means, deviations)
        )
        if not self.members or not (len(self.members) == len(self.weights) == len(self.means) == len(self.deviations)):
            raise ConfigError(f"a blend needs a weight, a mean and a deviation for each of {len(self.members)} members")
        if (self.weights < 0).any() or not self.weights.any():
            raise ConfigError(f"the weights of a blend are 0 or more, and not all 0; got {self.weights.tolist()}")
        self.shift, self.scale = shift, scale
        self.training_prompts: TrainingPrompts | None = None
        """What members and weights were fitted on, where that is known."""
        self.folder: Path | None = None
        """Where it was loaded from: fitting left a baseline there."""

    def member_rewards(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> dict[str, Rewards]:
        """What each member of any weight gives, in its own units."""
        used = [name for name, weight in zip(self.members, self.weights, strict=True) if weight]
        return {name: score_texts(self.members[name], prompts, responses) for name in used}

    def contributions(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Floats:
        """What each member adds to the reward, shape (n, members); 0 where it has no reward or no weight.

        With `shift`, they sum to the reward.
        """
        return self.explained(prompts, responses)[1]

    def _contributions(self, rewards: Mapping[str, Rewards], count: int) -> Floats:
        found = np.zeros((count, len(self.members)))
        for place, name in enumerate(self.members):
            if name in rewards:
                standard = (rewards[name].values - self.means[place]) / self.deviations[place]
                found[:, place] = self.scale * self.weights[place] * np.nan_to_num(standard, nan=0.0)
        return found

    def score_with_reasons(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> Rewards:
        """The rewards of n responses. `references` are not read."""
        return self.explained(prompts, responses)[0]

    def explained(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> tuple[Rewards, Floats]:
        """The rewards of n responses and their `contributions`, from one pass over the members."""
        rewards = self.member_rewards(prompts, responses)
        contributions = self._contributions(rewards, len(responses))
        values = self.shift + contributions.sum(axis=1)
        nobody = np.all([np.isnan(member.values) for member in rewards.values()], axis=0)
        whys = zip(*(member.reasons for member in rewards.values()), strict=True)
        reasons = tuple(next(filter(None, why)) if empty else "" for empty, why in zip(nobody, whys, strict=True))
        return Rewards(np.where(nobody, np.nan, values).astype(np.float32), reasons), contributions

    def save(self, folder: str | Path) -> None:
        """Writes every member that can be saved into a folder of its name, and `guerdon.json`. Raises OutputError.

        A member that cannot be saved is loaded again by its own name, or else by its name here (see `load_scorer`).
        """
        entries = []
        for place, (name, member) in enumerate(self.members.items()):
            entry = {
                "name": name,
                "weight": float(self.weights[place]),
                "mean": float(self.means[place]),
                "deviation": float(self.deviations[place]),
            }
            if (save := getattr(member, "save", None)) is not None:
                save(Path(folder) / name)
                entries.append(entry | {"folder": name})
            else:
                entries.append(entry | {"scorer": getattr(member, "name", name)})
        with saving(folder, "blend", {"members": entries, "shift": self.shift, "scale": self.scale}) as stage:
            if self.training_prompts:
                write_training_prompts(stage, self.training_prompts)

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Reads what `save` wrote.

        Raises:
            ContractError: a member is missing, or cannot be read.
        """
        from guerdon.rewards.load import ScorerConfig

        folder = Path(folder)
        card = read_card(folder, "blend")
        try:
            entries = card["members"]
            members = {
                entry["name"]: load_saved(folder / entry["folder"], **options)
                if "folder" in entry
                else ScorerConfig(name=entry["scorer"], **options).load_picker(logit=True)
                for entry in entries
            }
            weights, means, deviations = (
                [float(entry[key]) for entry in entries] for key in ("weight", "mean", "deviation")
            )
            shift, scale = float(card["shift"]), float(card["scale"])
            blend = cls(members, weights, means=means, deviations=deviations, shift=shift, scale=scale)
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise ContractError(f"{folder / FILE_NAME} is not that of a blend: {error!r}. Fix: fit it again") from error
        blend.training_prompts = read_training_prompts(folder)
        blend.folder = folder
        return blend


def fit_blend_weights(margins: Floats, judged: JudgedResponses, where: Ints | None = None) -> tuple[Floats, float]:
    """Weights of members, 0 or more, by Bradley-Terry (or least squares, for ratings) on their standardised margins.

    Weights of 0 or more are what makes a sum of fits safe (stacking; Breiman 1996). A strong penalty draws them towards
    counting each member by its own evidence, which few judgements know far better than what it adds to all the others;
    their common scale is fitted apart, so that margins stay log-odds.

    Args:
        margins: what each member says of each observation it did not learn from (`JudgedResponses.margins`), divided
            by the member's deviation; shape (m, members).
        judged: the m observations.
        where: fit on these observations alone.

    Returns:
        Weights, shape (members,), and the intercept, which is 0 for pairs.
    """
    places = np.arange(len(judged)) if where is None else where

    def fit(values: Floats, penalty: float) -> tuple[Floats, float]:
        return fit_weights(
            values,
            lambda scores: judged.loss(scores, places).sum(),
            penalty,
            intercept=judged.objective == "ratings",
            non_negative=True,
        )

    direction, intercept = fit(margins[places], _PENALTY)
    if not direction.any():
        return direction, intercept
    together = (margins[places] @ direction)[:, None]
    scale, intercept = fit(together, _SCALE_PENALTY * float(direction @ direction))
    return direction * scale, intercept
