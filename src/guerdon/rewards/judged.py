"""Judged responses as arrays: each distinct response once, and what was preferred or how it was rated by position.

Whatever is fitted on fixed features, and every combination of rewards, learns from this one form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from guerdon.data.preferences import TIE, overall_ratings, row_preferences
from guerdon.data.split import group_folds, normalised
from guerdon.errors import DataError
from guerdon.metrics import Floats, Ints, accuracy_ties_half, within_group_pairs
from guerdon.types import AnyRow, Comparison, Prompt, Rating, group_key, prompt_text, response_texts

if TYPE_CHECKING:
    from torch import Tensor

Objective = Literal["pairs", "ratings"]

MOST_PAIRS_PER_RATING = 50
"""Ratings of one prompt are compared with each other up to so many pairs a rating; beyond, the values are fitted."""


@dataclass(frozen=True, slots=True, eq=False)
class JudgedResponses:
    """What rows say of n distinct responses, as m observations.

    An observation is a pair (`pairs`: one response was preferred to another) or a rated response (`ratings`).
    """

    prompts: tuple[Prompt, ...]
    """n prompts, parallel to `responses`."""
    responses: tuple[str, ...]
    """n responses; no (prompt, response) stands twice."""
    objective: Objective
    better: Ints
    """Position of the better response of each pair, or of the rated response; shape (m,)."""
    worse: Ints
    """Position of the worse response of each pair, shape (m,); the same as `better` where responses were rated."""
    target: Floats
    """P(better preferred) of each pair, or the rating in its own units; shape (m,)."""
    group: Ints
    """Code of what must stay on one side of a split (see `guerdon.types.group_key`), of each observation; shape (m,).
    Groups that share a response have one code."""
    rating: Floats
    """The rating of each response in the units of the data, shape (n,); NaN for responses without one."""
    weight: Floats
    """How much each observation counts in what is fitted, shape (m,), 1 on average."""
    mismatched: np.ndarray
    """Which pairs people did not judge: the worse response is one to another prompt (see `mismatched_comparisons`).
    They teach what reads the prompt, and measure nothing. Shape (m,)."""

    @classmethod
    def of(
        cls,
        rows: Sequence[AnyRow],
        objective: Objective | None = None,
        *,
        mismatched: Sequence[Comparison] = (),
        mismatched_share: float = 0.0,
    ) -> JudgedResponses:
        """Reads rows of any kinds.

        Args:
            rows: what is learnt from.
            objective: whether ratings are compared with the other ratings of their prompt or fitted as they are. None
                compares them where most have one to compare with, unless prompts have so many that their pairs would
                be out of all proportion. Beside rows of other kinds they are always compared.
            mismatched: comparisons with responses to other prompts, which people did not judge. Left out where ratings
                are fitted as they are.
            mismatched_share: what these weigh all together, as a share of what the rows do.

        Raises:
            DataError: nothing in the rows orders two responses.
        """
        ratings = [row for row in rows if isinstance(row, Rating)]
        overall = overall_ratings(ratings) if ratings else np.zeros(0)
        as_they_are = bool(ratings) and len(ratings) == len(rows) and not _compares(ratings, overall, objective)
        read = rows if as_they_are else (*rows, *mismatched)
        place: dict[tuple[str, str], int] = {}
        prompts: list[Prompt] = []
        for row in read:
            key = prompt_text(row.prompt)
            for text in response_texts(row):
                if (key, text) not in place:
                    place[key, text] = len(place)
                    prompts.append(row.prompt)
        responses = tuple(text for _, text in place)
        rated = np.array([place[prompt_text(row.prompt), row.response] for row in ratings], dtype=np.int64)
        rating = _means(overall, rated, len(place))
        if as_they_are:
            if np.ptp(overall) == 0:
                raise DataError(f"a reward needs ratings that differ; all {len(ratings)} are {overall[0]:g}")
            codes = _connected(rows, [(index,) for index in rated], len(place))
            weight, made = np.ones(len(codes)), np.zeros(len(codes), dtype=bool)
            return cls(tuple(prompts), responses, "ratings", rated, rated, overall, codes, rating, weight, made)
        better, worse, preference, first = _pairs(read, place)
        ids = set(map(id, mismatched))
        made = np.array([id(row) in ids for row in first], dtype=bool)
        if made.all() or np.all(preference[~made] == TIE):
            raise DataError(
                f"a reward needs at least one response that was preferred to another of its prompt; {len(rows)} rows "
                "have none (ties and single responses order nothing)"
            )
        codes = _connected(first, np.stack([better, worse], axis=1), len(place))
        weight = np.where(made, mismatched_share * (~made).sum() / max(1, made.sum()), 1.0)
        weight /= weight.mean()
        return cls(tuple(prompts), responses, "pairs", better, worse, preference, codes, rating, weight, made)

    def __len__(self) -> int:
        """Observations."""
        return len(self.better)

    @property
    def target_units(self) -> tuple[float, float]:
        """Mean and deviation of the ratings that are fitted; 0 and 1 for pairs."""
        return (float(self.target.mean()), float(np.std(self.target))) if self.objective == "ratings" else (0.0, 1.0)

    def margins(self, scores: Any) -> Any:
        """Rewards of the n responses, shape (n, ...), as what is said of each observation, shape (m, ...).

        For a pair it is the difference of the two rewards, for a rating the reward.
        """
        return scores[self.better] - scores[self.worse] if self.objective == "pairs" else scores[self.better]

    def folds(self, count: int, seed: int = 0, where: Ints | None = None) -> Ints:
        """The fold of each observation (of those in `where`), 0 to `count` - 1; no two folds share a group.

        There are fewer folds where there are fewer groups; observations of a single group are dealt out one by one.

        Raises:
            DataError: there is only one observation.
        """
        keys = [str(code) for code in (self.group if where is None else self.group[where])]
        groups = len(set(keys))
        if groups == 1:
            keys = [str(index) for index in range(len(keys))]
            groups = len(keys)
        if groups < 2:
            raise DataError(
                "too few judgements: penalties and weights are chosen by cross-validation inside each training part, "
                "and one part has a single judgement. Fix: judge more prompts; a reward needs three, and learns from "
                "hundreds"
            )
        return group_folds(keys, min(count, groups), seed)

    def length_balanced(self, share: float) -> JudgedResponses:
        """The same pairs, so weighted that length tells less of what is preferred; ratings stay as they are.

        A share of 1 lets the pairs that the longer response won count as much as those that the shorter one won, 0
        changes nothing, and between them the weights are powers of the full ones.
        """
        longer = np.sign(self.margins(np.array([len(text) for text in self.responses], dtype=np.float64)))
        longer[self.mismatched] = 0.0
        if self.objective != "pairs" or not share or not {-1.0, 1.0} <= set(longer):
            return self
        balance = np.ones(len(self))
        for sign in (-1.0, 1.0):
            balance[longer == sign] = (longer != 0).sum() / (2 * (longer == sign).sum())
        weight = self.weight * balance**share
        return replace(self, weight=weight / weight.mean())

    def loss(self, margins: Tensor, where: Ints) -> Tensor:
        """The loss of each observation in `where` at its margin, times its weight, shape (len(where),).

        Bradley-Terry for pairs; half the squared error, in units of the ratings' standard deviation, for ratings.
        """
        import torch

        from guerdon.losses import bradley_terry, regression

        if self.objective == "pairs":
            preference = torch.from_numpy(self.target[where])
            loss = bradley_terry(margins, torch.zeros_like(margins), preference=preference)
            return loss * torch.from_numpy(self.weight[where])
        mean, deviation = self.target_units
        standard = torch.from_numpy((self.target[where] - mean) / deviation)
        return 0.5 * regression(margins.unsqueeze(1), standard.unsqueeze(1))

    def agreement(self, margins: Floats, where: Ints | None = None) -> float:
        """How well margins, shape (k,), agree with the observations in `where`: the share of pairs in the right order.

        Ties of people are not counted; equal rewards count one half. Of ratings, all pairs are meant.
        """
        places = np.arange(len(self)) if where is None else where
        if self.objective == "pairs":
            return float(np.nanmean(self.merit(margins, places)))
        high, low = within_group_pairs(self.target[places], np.zeros(len(places), dtype=np.int64))
        return float(accuracy_ties_half(margins[high] - margins[low]))

    def merit(self, margins: Floats, where: Ints) -> Floats:
        """How good each margin is, shape (k,): 1 for a pair in the right order, 1/2 for equal rewards, 0 otherwise.

        NaN for a tie of people, and for a pair that they did not judge. For a rating, the negative squared error in
        units of the ratings' deviation.
        """
        if self.objective == "pairs":
            right = (margins > 0) + 0.5 * (margins == 0)
            return np.where((self.target[where] == TIE) | self.mismatched[where], np.nan, right)
        mean, deviation = self.target_units
        standard = (self.target[where] - mean) / deviation
        return np.asarray(-np.square(margins - standard))

    def advantage(self, first: Floats, second: Floats, where: Ints) -> tuple[float, float]:
        """Mean weighted difference in merit of two sets of margins, and its standard error, with groups as clusters."""
        difference = self.weight[where] * (self.merit(first, where) - self.merit(second, where))
        known = np.isfinite(difference)
        mean = float(difference[known].mean())
        by_group = np.bincount(self.group[where][known], difference[known] - mean)
        return mean, float(np.sqrt(np.square(by_group).sum()) / known.sum())

    def units(self, scores: Floats, margins: Floats, where: Ints | None = None) -> tuple[float, float]:
        """Shift and scale that bring rewards to the units of the ratings, where every response has one; else 0 and 1.

        `scores` are the rewards of the n responses. The margins, of the observations in `where` (all by default), are
        best by fits that did not see them: in-sample ones are too large, and the scale would come out too small.
        """
        if self.objective == "ratings":
            return self.target_units
        places = np.arange(len(self)) if where is None else where
        judged = np.ones(len(self.responses), dtype=bool)
        judged[self.worse[self.mismatched]] = False
        if not judged.any() or np.isnan(self.rating[judged]).any():
            return 0.0, 1.0
        margins, places = margins[~self.mismatched[places]], places[~self.mismatched[places]]
        differences = self.margins(self.rating)[places]
        scale = float(margins @ differences) / max(float(margins @ margins), 1e-12)
        return float(self.rating[judged].mean() - scale * scores[judged].mean()), scale


def _compares(ratings: Sequence[Rating], overall: Floats, objective: Objective | None) -> bool:
    """Whether ratings are learnt by comparing those of one prompt."""
    if objective is not None:
        return objective == "pairs"
    prompts = [prompt_text(row.prompt) for row in ratings]
    _, first, codes = np.unique(prompts, return_index=True, return_inverse=True)
    counts = np.bincount(codes)
    pairs = (counts * (counts - 1) // 2).sum()
    varied = len(np.unique(codes[overall != overall[first[codes]]]))
    return bool(len(ratings) / 2 <= pairs <= MOST_PAIRS_PER_RATING * len(ratings) and varied >= 2)


def _pairs(rows: Sequence[AnyRow], place: dict[tuple[str, str], int]) -> tuple[Ints, Ints, Floats, list[AnyRow]]:
    """Every preference (see `row_preferences`): positions of better and worse, P(better preferred), and its row."""
    groups = list(row_preferences(rows))
    grades = [grade for group in groups for grade in group.grades]
    codes = np.repeat(np.arange(len(groups)), [len(group.grades) for group in groups])
    preference = np.array([group.preference for group in groups])
    keys = [prompt_text(group.prompt) for group in groups]
    texts = np.array(
        [place[key, text] for key, group in zip(keys, groups, strict=True) for text in group.responses],
        dtype=np.int64,
    )
    better, worse = within_group_pairs(grades, codes)
    ties = np.flatnonzero(preference[codes] == TIE).reshape(-1, 2)
    better, worse = np.concatenate([better, ties[:, 0]]), np.concatenate([worse, ties[:, 1]])
    return texts[better], texts[worse], preference[codes[better]], [groups[code].rows[0] for code in codes[better]]


def _means(values: Floats, places: Ints, count: int) -> Floats:
    """Mean of the values at each place, shape (count,); NaN where there is none."""
    counts = np.bincount(places, minlength=count)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.bincount(places, values, minlength=count) / counts)


def _connected(rows: Sequence[AnyRow], places: Sequence[Sequence[int]] | Any, count: int) -> Ints:
    """Code of the group of each observation; groups that share a response are one."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    names: dict[str, int] = {}
    keys: dict[str, int] = {}
    own = []
    for row in rows:
        key = group_key(row)
        if key not in keys:
            keys[key] = names.setdefault(normalised(key), len(names))
        own.append(keys[key])
    group = np.array(own, dtype=np.int64)
    edges = np.asarray(places, dtype=np.int64).reshape(len(rows), -1)
    left = np.repeat(group, edges.shape[1])
    graph = coo_matrix((np.ones(edges.size), (left, edges.ravel() + len(names))), shape=(len(names) + count,) * 2)
    _, component = connected_components(graph, directed=False)
    return np.asarray(np.unique(component[group], return_inverse=True)[1], dtype=np.int64)
