"""What a system says of the texts of an evaluation, and which of them it was trained on.

A `Scorer` gives each text a reward, a `Comparer` prefers one of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from guerdon.errors import ModelError
from guerdon.evaluate.result_tables import Requests
from guerdon.metrics import Floats, Ints
from guerdon.rewards.comparing import RAISED, compare_pairs
from guerdon.rewards.scoring import score_texts, scorer_name
from guerdon.rewards.training_data import TrainingPrompts, read_training_prompts
from guerdon.types import AnyRow, Comparer, Scorer

System: TypeAlias = Scorer | Comparer
"""What is measured. What can do both is measured by its scores."""
Progress: TypeAlias = Callable[[int, int], None]
"""Called with how many texts (or pairs) are done, and how many there are."""

_CHUNK = 256
"""Texts of one call: enough to fill length-sorted batches, few enough for a progress bar to move."""


class AskedPairs(Protocol):
    """Pairs of requests: a `Table`, or any other pairs that a system is asked about."""

    @property
    def requests(self) -> Ints:
        """The request of each item, shape (n,)."""
        ...

    @property
    def better(self) -> Ints:
        """The item of each pair that margins above 0 speak for, shape (m,)."""
        ...

    @property
    def worse(self) -> Ints:
        """The other item of each pair, shape (m,)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ScorerOutput:
    """The rewards of all requests."""

    rewards: Floats
    """Shape (requests,); NaN is no reward."""
    reasons: tuple[str, ...]
    """Why each request has no reward; empty where it has one."""

    def scores(self, table: AskedPairs) -> Floats:
        """The reward of each item, shape (n,)."""
        return np.asarray(self.rewards[table.requests])

    def margins(self, table: AskedPairs) -> Floats:
        """reward(better) - reward(worse) of each pair, shape (m,)."""
        scores = self.scores(table)
        return np.asarray(scores[table.better] - scores[table.worse])

    def wins(self, better: Ints, worse: Ints) -> Floats:
        """1 where a request of the first has the higher reward, 0.5 where equal, else 0; NaN without a reward.

        Shape (better, worse).
        """
        return np.asarray((np.sign(self.rewards[better][:, None] - self.rewards[worse][None, :]) + 1) / 2)

    def missing(self, table: AskedPairs) -> list[str]:
        """The reason of each distinct response of the table that has no reward."""
        requests = np.unique(table.requests)
        return [self.reasons[request] for request in requests[np.isnan(self.rewards[requests])]]


@dataclass(frozen=True, slots=True, eq=False)
class ComparerOutput:
    """The preferences between all pairs of requests that people ordered."""

    keys: Ints
    """The key of each pair, sorted; see `_pair_keys`."""
    preferences: Floats
    """P(the request of the lower number is preferred), shape as `keys`; NaN is no verdict."""
    reasons: tuple[str, ...]
    """Of each key: empty where there is a verdict."""
    requests: int
    """How many requests there are."""

    def scores(self, table: AskedPairs) -> None:
        """A Comparer has none."""

    def margins(self, table: AskedPairs) -> Floats:
        """P(better preferred) - 1/2 of each pair, shape (m,)."""
        keys, first_is_better = _pair_keys(table, self.requests)
        found = self.preferences[np.searchsorted(self.keys, keys)] - 0.5
        return np.where(first_is_better, found, -found)

    def wins(self, better: Ints, worse: Ints) -> Floats:
        """As `ScorerOutput.wins`; NaN also for a pair that was not asked about."""
        first, second = np.broadcast_arrays(better[:, None], worse[None, :])
        keys = np.minimum(first, second) * self.requests + np.maximum(first, second)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        found = np.where(self.keys[places] == keys, np.sign(self.preferences[places] - 0.5), np.nan)
        return np.asarray((np.where(first <= second, found, -found) + 1) / 2)

    def missing(self, table: AskedPairs) -> list[str]:
        """The reason of each distinct pair of the table that has no verdict."""
        places = np.unique(np.searchsorted(self.keys, _pair_keys(table, self.requests)[0]))
        return [self.reasons[place] for place in places[np.isnan(self.preferences[places])]]


SystemOutput: TypeAlias = ScorerOutput | ComparerOutput


def ask(
    system: System, requests: Requests, tables: Sequence[AskedPairs], *, seed: int, progress: Progress | None = None
) -> SystemOutput:
    """Asks a system about every distinct text, or every distinct pair, once.

    Raises:
        ModelError: a system does not give one number per response or pair, or fails on every text.
        TypeError: it is neither a `Scorer` nor a `Comparer`.
    """
    if isinstance(system, Scorer):
        return ask_scorer(system, requests, progress)
    if isinstance(system, Comparer):
        return ask_comparer(system, requests, tables, seed=seed, progress=progress)
    raise TypeError(f"a system must have score() or compare(); a {type(system).__name__} has neither")


def ask_scorer(scorer: Scorer, requests: Requests, progress: Progress | None = None) -> ScorerOutput:
    """Asks a scorer about every distinct text once. Raises ModelError."""
    every = list(requests)
    done = 0

    def advance(texts: int) -> None:
        nonlocal done
        done += texts
        if progress is not None:
            progress(done, len(every))

    found = score_texts(
        scorer, [one[0] for one in every], [one[1] for one in every], [one[2] for one in every], on_progress=advance
    )
    return ScorerOutput(found.values.astype(np.float64), found.reasons)


def ask_comparer(
    comparer: Comparer, requests: Requests, tables: Sequence[AskedPairs], *, seed: int, progress: Progress | None = None
) -> ComparerOutput:
    """Asks about each pair in one order, drawn at random: a liking for the first place must not look like agreement.

    A response beside itself is a tie, and nobody is asked.
    """
    every = list(requests)
    pairs = [_pair_keys(table, len(every))[0] for table in tables]
    keys = np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *pairs]))
    first, second = np.divmod(keys, len(every))
    swapped = np.random.default_rng(seed).random(len(keys)) < 0.5
    a, b = np.where(swapped, second, first), np.where(swapped, first, second)
    preferences, reasons = np.full(len(keys), 0.5), [""] * len(keys)
    asked = np.flatnonzero(first != second)
    for start in range(0, len(asked), _CHUNK):
        places = asked[start : start + _CHUNK]
        preferences[places], found = compare_pairs(comparer, [(every[a[i]], every[b[i]]) for i in places])
        for place, reason in zip(places, found, strict=True):
            reasons[place] = reason
        if len(places) > 1 and all(reason.startswith(RAISED) for reason in found):
            raise ModelError(f"{scorer_name(comparer)}.compare {found[0]}, for each of {len(places)} pairs")
        if progress is not None:
            progress(start + len(places), len(asked))
    return ComparerOutput(keys, np.where(swapped, 1 - preferences, preferences), tuple(reasons), len(every))


def _pair_keys(table: AskedPairs, requests: int) -> tuple[Ints, np.ndarray]:
    """A number for each pair of requests, the same in either order, and whether the lower request is the better."""
    better, worse = table.requests[table.better], table.requests[table.worse]
    low, high = np.minimum(better, worse), np.maximum(better, worse)
    return np.asarray(low * requests + high), better <= worse


def saved_folder(system: object) -> Path | None:
    """The folder that a system, or the scorer that it wraps, was loaded from; None where it knows none."""
    while system is not None:
        if isinstance(folder := getattr(system, "folder", None), Path):
            return folder
        system = getattr(system, "scorer", None)
    return None


def seen_shares(systems: Mapping[str, object], rows: Sequence[AnyRow]) -> dict[str, float]:
    """For each system that was trained on some of the prompts, the share of the rows that have such a prompt.

    Raises:
        ContractError: a model's record of its training prompts cannot be read.
    """
    shares = {}
    for name, system in systems.items():
        trained = getattr(system, "training_prompts", None)
        if not isinstance(trained, TrainingPrompts) and (folder := saved_folder(system)):
            trained = read_training_prompts(folder)
        if trained is not None:
            known = [seen for seen in trained.seen(row.prompt for row in rows) if seen is not None]
            if any(known):
                shares[name] = float(np.mean(known))
    return shares


def seen_note(name: str, share: float) -> str:
    """What a reader must know of a system that was trained on some of the prompts."""
    return (
        f"{name} was TRAINED on the prompts of {share:.1%} of these rows: its values here do not tell what it does on "
        "other prompts. Measure it on prompts that it was not trained on (guerdon data split)."
    )
