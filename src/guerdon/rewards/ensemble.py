"""Several reward models as one, with their disagreement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from guerdon.errors import ConfigError, ContractError
from guerdon.rewards.model_card import ensemble_card
from guerdon.rewards.saved import read_card, saving
from guerdon.rewards.scoring import BaseScorer, score_texts
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Prompts, References, Responses, Rewards


class Ensemble(BaseScorer):
    """Scores with the members' mean less `k` standard deviations. A `Scorer` and a `Comparer`.

    Bradley-Terry leaves each member's shift, and in practice its scale, arbitrary, so that raw scores of different
    members do not compare. Each is standardised with the mean and deviation over its training responses (kept in its
    contract) and put on the members' average scale. The conservative score mean - k std is from Coste et al. 2023
    (arXiv:2310.02743), who use 4-5 members.
    """

    def __init__(self, members: Sequence[TransformerReward], *, k: float = 0.0, folder: Path | None = None) -> None:
        """Joins members; `k` >= 0 says how conservative `score` is (0: the mean); `folder` is where they were saved."""
        if len(members) < 2:
            raise ConfigError(f"an ensemble needs at least 2 members, got {len(members)}")
        if k < 0:
            raise ConfigError(f"k must be 0 or more, got {k}: a negative k rewards disagreement")
        self.calibration = None
        self.members = list(members)
        self.k = k
        self.folder = folder

    def member_scores(self, prompts: Prompts, responses: Responses) -> np.ndarray:
        """Every member's score on the common scale, float32, shape (members, n)."""
        return self._on_common_scale(self._member_rewards(prompts, responses))

    def mean_std(self, prompts: Prompts, responses: Responses) -> tuple[np.ndarray, np.ndarray]:
        """The members' mean and (population) standard deviation, each float32, shape (n,)."""
        scores = self.member_scores(prompts, responses)
        return scores.mean(axis=0), scores.std(axis=0)

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """The mean less k standard deviations over the members, shape (n,). `references` are not read.

        A response has a reward where every member gives it one; the reason is that of the first member that does not.
        """
        rewards = self._member_rewards(prompts, responses)
        scores = self._on_common_scale(rewards)
        values = scores.mean(axis=0) - np.float32(self.k) * scores.std(axis=0)
        reasons = zip(*(member.reasons for member in rewards), strict=True)
        return Rewards(values, tuple(next((reason for reason in each if reason), "") for each in reasons))

    def _member_rewards(self, prompts: Prompts, responses: Responses) -> list[Rewards]:
        return [score_texts(member, prompts, responses) for member in self.members]

    def _on_common_scale(self, rewards: Sequence[Rewards]) -> np.ndarray:
        means = np.array([member.contract.mean for member in self.members])
        stds = np.array([member.contract.std for member in self.members])
        standard = (np.stack([member.values for member in rewards]) - means[:, None]) / stds[:, None]
        return np.asarray(standard * stds.mean() + means.mean(), dtype=np.float32)

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """The members' mean P(a preferred to b), or that of the ensemble's calibration; float32, shape (n,)."""
        if self.calibration is not None:
            return super().compare(prompts, a, b)
        return np.asarray(np.mean([member.compare(prompts, a, b) for member in self.members], axis=0))

    def save(self, folder: str | Path) -> None:
        """Writes the members to `member-0`, `member-1` ... and `guerdon.json`."""
        names = [f"member-{index}" for index in range(len(self.members))]
        for name, member in zip(names, self.members, strict=True):
            member.save(Path(folder) / name)
        save_ensemble_card(Path(folder), names, self.k)

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Reads what `save` wrote; the options are those of `TransformerReward.load`.

        LoRA members of one base share its weights in memory.

        Raises:
            ContractError: a member is missing, or does not keep its contract.
        """
        card = read_card(Path(folder), "ensemble")
        places = [Path(folder) / name for name in card["members"]]
        if not places:
            raise ContractError(f"{folder} is an ensemble without members")
        for place in places:
            read_card(place, "transformer")  # one that is missing is told before any is loaded
        members: list[TransformerReward] = []
        for place in places:
            members.append(TransformerReward.load(place, beside=members, **options))
        return cls(members, k=float(card["k"]), folder=Path(folder))


def save_ensemble_card(folder: Path, members: Sequence[str], k: float) -> None:
    """Says that a folder's subfolders are the members of an ensemble."""
    with saving(folder, "ensemble", {"members": list(members), "k": k}, ensemble_card(members, k)):
        pass  # the members are there
