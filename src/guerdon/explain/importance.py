"""What moves the scores of a whole data set: words, features of the text, and where in the response they stand.

The scores R_i of the responses to one prompt differ. Of these differences (each score less the mean of its prompt; of
all, where prompts have one response each) a word w, whose occurrences in response i were attributed c_iw, makes up

    share(w) = sum_i c_iw R_i / sum_i R_i^2                                       (c and R without their prompt's mean)

so that the shares of all words, and what is attributed to no word, add up to 1. A feature f that is measured on the
text, such as its length, is given the squared correlation that f and R have within prompts: features overlap, and their
shares do not add up. A position, such as the first sentence, has the share of what it was attributed beyond what its
number of words would get anywhere. Intervals draw whole prompts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, TypeAlias

import numpy as np

from guerdon.explain.attribution import Attribution
from guerdon.explain.units import Case, cut
from guerdon.metrics import (
    Floats,
    Interval,
    Ints,
    bootstrap_distribution,
    format_value,
    percentile_interval,
    spearman,
)
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.text.words import WORD

MoverKind: TypeAlias = Literal["word", "feature", "position"]
POSITIONS = ("first sentence", "middle sentences", "last sentence")
"""Of responses of three sentences or more."""
RARE = 5
"""Words of fewer responses are not looked at."""
_RESAMPLES = 400


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """A response with its score, attributed."""

    case: Case
    prompt: str
    """Key of its prompt."""
    score: float
    attribution: Attribution


@dataclass(frozen=True, slots=True)
class Mover:
    """A word, a feature or a position, and how it moves the scores."""

    kind: MoverKind
    name: str
    share: Interval
    """Of the differences between scores."""
    effect: Interval
    """Of a word: what one occurrence adds on average. Of a feature: by how much the score is higher where the feature
    is higher by a standard deviation. Of a position: what a word there adds more than one elsewhere."""
    responses: int
    """Responses that have the word, or the position; of a feature, all."""


@dataclass(frozen=True, slots=True)
class FeatureImportance:
    """What moves the scores of a data set."""

    movers: tuple[Mover, ...]
    """The largest share first."""
    responses: int
    prompts: int
    method: str
    within: bool
    """Whether scores are compared within prompts; else over all responses."""
    located: float
    """The share of the differences that words make up together."""
    stability: float
    """Spearman correlation of the shares of words and features on two halves of the prompts; NaN for few prompts."""
    compared: int
    """Words and features that this is over."""

    def of(self, kind: MoverKind) -> tuple[Mover, ...]:
        """The movers of one kind."""
        return tuple(one for one in self.movers if one.kind == kind)

    def lines(self) -> list[str]:
        """What the terminal says of it in words."""
        scope = "within prompts" if self.within else "over all responses, since prompts have one each"
        found = [
            f"{self.responses:,} responses to {self.prompts:,} prompts, by {self.method}; differences of scores are "
            f"taken {scope}. Single words make up {self.located:.0%} of them; shares of features overlap."
        ]
        if self.compared:
            found.append(
                f"The ranking of {self.compared:,} words and features on two halves of the prompts agrees by "
                f"{format_value(self.stability, decimals=2)} (Spearman)."
            )
        return found


def feature_importance(scored: Sequence[ScoredResponse], *, seed: int = 0) -> FeatureImportance:
    """What moves the scores of some responses, which must have been attributed word by word or finer.

    Args:
        scored: responses with a score each.
        seed: seed of the halves and of the bootstrap.
    """
    table = _MoverTable(scored)
    shares, effects = table.shares_and_effects(np.ones((1, len(scored))))
    drawn = (
        bootstrap_distribution(lambda weights: np.stack(table.shares_and_effects(weights), axis=1), table.prompts,
                               resamples=_RESAMPLES, seed=seed)
        if table.prompts.max(initial=0) > 0
        else np.full((1, 2, len(table.names)), np.nan)
    )  # fmt: skip
    movers = [
        Mover(
            kind,
            name,
            percentile_interval(float(shares[0, k]), drawn[:, 0, k]),
            percentile_interval(float(effects[0, k]), drawn[:, 1, k]),
            int(table.support[k]),
        )
        for k, (kind, name) in enumerate(table.names)
    ]
    stability, compared = table.stability(seed)
    return FeatureImportance(
        movers=tuple(sorted(movers, key=lambda one: -np.nan_to_num(one.share.point))),
        responses=len(scored),
        prompts=int(table.prompts.max(initial=-1)) + 1,
        method=scored[0].attribution.method,
        within=table.within,
        located=table.located,
        stability=stability,
        compared=compared,
    )


class _MoverTable:
    """Everything that may move a score, as matrices over n responses."""

    def __init__(self, scored: Sequence[ScoredResponse]) -> None:
        count = len(scored)
        self.prompts: Ints = np.unique([one.prompt for one in scored], return_inverse=True)[1]
        self.within = bool((np.bincount(self.prompts)[self.prompts] > 1).mean() >= 0.5)
        self.scores = self._centred(np.array([[one.score] for one in scored], dtype=np.float64))[:, 0]
        occurrences = [word_values(one.attribution) for one in scored]
        frequency = Counter(word for words in occurrences for word in words)
        vocabulary = [word for word, number in frequency.items() if number >= RARE]
        place = {word: k for k, word in enumerate(vocabulary)}
        self.number = np.zeros((count, len(vocabulary)))
        self.value = np.zeros((count, len(vocabulary)))
        everything = np.zeros(count)
        for i, words in enumerate(occurrences):
            for word, (times, value) in words.items():
                everything[i] += value
                if word in place:
                    self.number[i, place[word]], self.value[i, place[word]] = times, value
        features = SurfaceFeatures()
        measured = features.compute([one.case.prompt for one in scored], [one.case.response for one in scored]).values
        self.features = self._centred(measured)
        varied = self.features.std(axis=0) > 1e-9
        self.features = self.features[:, varied] / self.features.std(axis=0)[varied]
        places = np.array([_position_values(one.attribution) for one in scored]).reshape(count, len(POSITIONS), 2)
        self.position_words, position_value = places[..., 0], places[..., 1]
        per_word = everything / np.maximum(self.position_words.sum(axis=1), 1)
        self.excess = position_value - self.position_words * per_word[:, None]
        self.names: list[tuple[MoverKind, str]] = [
            *(("word", word) for word in vocabulary),
            *(("feature", name) for name, varies in zip(features.names(), varied, strict=True) if varies),
            *(("position", name) for name in POSITIONS),
        ]
        self.support = np.concatenate(
            [(self.number > 0).sum(axis=0), np.full(int(varied.sum()), count), (self.position_words > 0).sum(axis=0)]
        )
        spread = float(self.scores @ self.scores)
        self.located = (
            float(self._centred(everything[:, None])[:, 0] @ self.scores / spread) if spread else float("nan")
        )
        self._contributions = self._centred(np.concatenate([self.value, self.excess], axis=1))

    def _centred(self, values: Floats) -> Floats:
        """Less the mean of the prompt, or of all; shape (n, k)."""
        if not self.within:
            return np.asarray(values - values.mean(axis=0))
        counts = np.bincount(self.prompts)[:, None]
        sums = np.zeros((len(counts), values.shape[1]))
        np.add.at(sums, self.prompts, values)
        return np.asarray(values - (sums / counts)[self.prompts])

    def shares_and_effects(self, weights: Floats) -> tuple[Floats, Floats]:
        """Shares and effects of all movers on resampled data; weights (b, n), results (b, movers) each."""
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = (weights @ np.square(self.scores))[:, None]
            by_sum = weights @ (self._contributions * self.scores[:, None]) / spread
            together = weights @ (self.features * self.scores[:, None])
            own = weights @ np.square(self.features)
            correlated = np.square(together) / (own * spread)
            slopes = together / own
            per_word = (weights @ self.value) / (weights @ self.number)
            by_position = (weights @ self.excess) / (weights @ self.position_words)
        words = self.value.shape[1]
        shares = np.concatenate([by_sum[:, :words], correlated, by_sum[:, words:]], axis=1)
        return shares, np.concatenate([per_word, slopes, by_position], axis=1)

    def stability(self, seed: int) -> tuple[float, int]:
        """Spearman correlation of the shares on two halves of the prompts, and over how many words and features."""
        prompts = int(self.prompts.max(initial=-1)) + 1
        if prompts < 4:
            return float("nan"), 0
        first = np.random.default_rng(seed).permutation(prompts) < prompts // 2
        halves = np.stack([first[self.prompts], ~first[self.prompts]]).astype(np.float64)
        shares, _ = self.shares_and_effects(halves)
        known: Any = np.isfinite(shares).all(axis=0)
        words = self.number.shape[1]
        known[:words] &= ((halves @ (self.number > 0)) >= RARE).all(axis=0)
        known[len(known) - len(POSITIONS) :] = False
        return float(spearman(shares[0, known], shares[1, known])), int(known.sum())


def word_values(attribution: Attribution) -> dict[str, tuple[int, float]]:
    """The words of a response in small letters: how often each stands there, and what all of them add.

    In Chinese and Japanese, pairs of neighbouring characters stand for words; each character is shared alike between
    the pairs that it is in.
    """
    found: dict[str, tuple[int, float]] = {}

    def add(word: str, value: float) -> None:
        times, so_far = found.get(word, (0, 0.0))
        found[word] = times + 1, so_far + value

    for joined, run in groupby(_pieces(attribution), key=lambda piece: piece[0]):
        pieces = list(run)
        if joined < 0:
            for _, word, value in pieces:
                add(word, value)
        elif len(pieces) == 1:
            add(pieces[0][1], pieces[0][2])
        else:
            shared = [value / (1 if at in (0, len(pieces) - 1) else 2) for at, (_, _, value) in enumerate(pieces)]
            for at in range(len(pieces) - 1):
                add(pieces[at][1] + pieces[at + 1][1], shared[at] + shared[at + 1])
    return found


def _pieces(attribution: Attribution) -> list[tuple[int, str, float]]:
    """The words of a response with their values, and the number of the run of Chinese characters of each, or -1."""
    found, run, ended = [], 0, False
    for text, value in attribution.at("word").part("response"):
        matches = list(WORD.finditer(text))
        if not matches:
            continue
        word = text[matches[0].start() : matches[-1].end()].lower()
        chinese = len(word) == 1 and "\u3040" <= word <= "\u9fff"
        run += ended or not chinese or matches[0].start() > 0
        found.append((run if chinese else -1, word, value))
        ended = matches[-1].end() < len(text) or not chinese
    return found


def _position_values(attribution: Attribution) -> list[tuple[float, float]]:
    """Number of words, and what was attributed, in first, middle and last sentence; 0 for short responses."""
    words = attribution.at("word")
    spans = cut(attribution.texts["response"], "sentence")
    sums = np.zeros((len(POSITIONS), 2))
    if len(spans) >= len(POSITIONS):
        starts = np.array([start for start, _ in spans])
        for unit, value in zip(words.units, words.values, strict=True):
            if unit.part == "response":
                at = int(np.searchsorted(starts, unit.start, side="right")) - 1
                sums[0 if at == 0 else 2 if at == len(spans) - 1 else 1] += (1.0, value)
    return [(float(number), float(value)) for number, value in sums]
