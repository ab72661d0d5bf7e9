"""Judged comparisons as a judge reads them: the features of every beginning of every response, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from guerdon.metrics import Floats, Ints
from guerdon.rewards.early_judge import chunk_ends
from guerdon.rewards.embedding import ReadFeatures
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward, moments, standardised


@dataclass(frozen=True, slots=True, eq=False)
class Readings:
    """What a judge sees of m comparisons after each of at most T chunks; the last of a pair is repeated behind it."""

    values: Floats
    """Standardised features of every beginning of a response, shape (beginnings, features)."""
    better: Ints
    """The beginning of the better response of each pair after each chunk, shape (m, T); likewise `worse`."""
    worse: Ints
    last: Ints
    """After which chunk both have ended, from 0, shape (m,)."""
    one_ended: Floats
    """Whether one has ended (or both), 0 or 1, shape (m, T)."""
    share: Floats
    """The share of the words of both that was read, shape (m, T)."""
    words: Floats
    """The words of both, shape (m,)."""
    target: Floats
    """P(better preferred), shape (m,)."""
    weight: Floats
    """How much each pair counts, shape (m,)."""
    group: Ints
    """What stays on one side of a split, shape (m,)."""

    def __deepcopy__(self, _: Any) -> Readings:
        """RLlib copies its configuration again and again; what is in it stays one."""
        return self

    def __len__(self) -> int:
        """Pairs."""
        return len(self.target)

    def differences(self, weights: Floats) -> Floats:
        """The d after each chunk for weights of r, shape (m, T)."""
        scores = self.values @ weights
        return np.asarray(scores[self.better] - scores[self.worse])

    def of(self, where: Ints) -> Readings:
        """The readings of some pairs."""
        names = ("better", "worse", "last", "one_ended", "share", "words", "target", "weight", "group")
        return replace(self, **{name: getattr(self, name)[where] for name in names})


@dataclass(frozen=True, slots=True, eq=False)
class PreparedReadings:
    """Readings, and what makes a reward of weights."""

    readings: Readings
    features: ReadFeatures
    mean: Floats | None
    deviation: Floats | None

    @classmethod
    def of(cls, features: ReadFeatures, judged: JudgedResponses, chunk_words: int) -> Self:
        """Reads the features of all beginnings, in the units of the features of whole responses."""
        mean, deviation = moments(features.compute(judged.prompts, judged.responses))
        assert deviation is not None
        deviation = np.where(
            np.isin(features.names(), features.surface.names()), deviation / features.weighty, deviation
        )
        ends = [chunk_ends(text, chunk_words) for text in judged.responses]
        counts = np.array([len(characters) for characters, _ in ends])
        texts = [text[:end] for text, (characters, _) in zip(judged.responses, ends, strict=True) for end in characters]
        prompts = [prompt for prompt, count in zip(judged.prompts, counts, strict=True) for _ in range(count)]
        found = features.compute(prompts, texts)
        values = standardised(found, mean, deviation)
        words = np.array([end for _, every in ends for end in every])
        return cls(_readings(values, counts, words, judged), features, mean, deviation)

    def reward(self, weights: Floats) -> LinearReward:
        """The reward that has these weights."""
        return LinearReward(self.features, weights, mean=self.mean, deviation=self.deviation)


def _readings(values: Floats, counts: Ints, words: Ints, judged: JudgedResponses) -> Readings:
    start = np.cumsum(counts) - counts
    chunk = np.arange(counts.max())

    def beginnings(responses: Ints) -> Ints:
        return np.asarray(start[responses][:, None] + np.minimum(chunk, counts[responses][:, None] - 1))

    better, worse = beginnings(judged.better), beginnings(judged.worse)
    steps: Sequence[Ints] = (counts[judged.better], counts[judged.worse])
    last = np.maximum(*steps) - 1
    read = (words[better] + words[worse]).astype(np.float64)
    return Readings(
        values,
        better,
        worse,
        last,
        (chunk + 1 >= np.minimum(*steps)[:, None]).astype(np.float64),
        read / np.maximum(read[:, -1:], 1),
        read[:, -1],
        judged.target,
        judged.weight,
        judged.group,
    )
