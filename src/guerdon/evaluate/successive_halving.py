"""Costly candidates compared within a time limit: all on few rows, the better half on twice as many, and so on.

Successive halving (Karnin et al. 2013; Jamieson & Talwalkar 2016), on one split of the groups.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.errors import GuerdonError
from guerdon.evaluate.costly_candidates import (
    WARM_UP_ROWS,
    Cost,
    CostlyCandidate,
    OutOfTimeError,
    Trial,
    measure_cost,
    try_candidate,
)
from guerdon.metrics import Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.types import AnyRow, Comparison, prompt_text, response_texts

FEWEST_ROWS = 64
"""A fine-tuned model is not tried on fewer rows."""
MOST_HELD_TEXTS = 300
"""So many responses are held out, about: all of them are scored by each candidate."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupSplit:
    """One split by group: rows to learn from, in random order of groups, and observations held out."""

    rows: tuple[AnyRow, ...]
    held: Ints
    """Observations, shape (k,)."""


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """A candidate that was tried, at the largest number of rows."""

    name: str
    rows: int
    trial: Trial


@dataclass(frozen=True, slots=True, eq=False)
class Halving:
    """What came out."""

    tried: tuple[Tried, ...]
    """The last trial of each candidate."""
    not_run: Mapping[str, str]
    """Name -> why it was not tried."""
    costs: Mapping[str, Cost]
    """Name -> how fast it is, where that was measured."""


def positions(rows: Sequence[AnyRow], judged: JudgedResponses) -> list[list[int]]:
    """The place of each response of each row among the judged ones."""
    known = {
        (prompt_text(prompt), text): place
        for place, (prompt, text) in enumerate(zip(judged.prompts, judged.responses, strict=True))
    }
    return [[known[prompt_text(row.prompt), text] for text in response_texts(row)] for row in rows]


def observations_of(rows: Sequence[AnyRow], judged: JudgedResponses) -> Ints:
    """The observations that these rows make."""
    places = positions(rows, judged)
    if all(isinstance(row, Comparison) for row in rows):
        asked = {frozenset(own) for own in places}
        pairs = zip(judged.better.tolist(), judged.worse.tolist(), strict=True)
        return np.array([number for number, pair in enumerate(pairs) if frozenset(pair) in asked], dtype=np.int64)
    covered = np.zeros(len(judged.responses), dtype=bool)
    covered[[place for own in places for place in own]] = True
    return np.flatnonzero(covered[judged.better] & covered[judged.worse])


def split_once(rows: Sequence[AnyRow], judged: JudgedResponses, seed: int = 0) -> GroupSplit | None:
    """One split by group, with at most a quarter of the groups held out; None where there are fewer than 4 groups."""
    group_of = np.full(len(judged.responses), -1)
    group_of[judged.worse], group_of[judged.better] = judged.group, judged.group
    groups = np.unique(judged.group)
    if len(groups) < 4:
        return None
    rng = np.random.default_rng(seed)
    order = rng.permutation(groups)
    texts = np.cumsum([np.count_nonzero(group_of == group) for group in order])
    count = min(int(np.searchsorted(texts, MOST_HELD_TEXTS)) + 1, len(groups) // 4)
    held = np.flatnonzero(np.isin(judged.group, order[:count]))
    rank = {group: place for place, group in enumerate(order)}
    own = [rank.get(int(group_of[places[0]]), -1) for places in positions(rows, judged)]
    learnt = sorted((place for place in range(len(rows)) if own[place] >= count), key=lambda place: own[place])
    if all(isinstance(row, Comparison) for row in rows):  # also a few rows are then of many groups
        learnt = rng.permutation(learnt).tolist()
    return GroupSplit(tuple(rows[place] for place in learnt), held)


def compare_by_halving(
    candidates: Sequence[CostlyCandidate],
    judged: JudgedResponses,
    split: GroupSplit,
    deadline: float,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Halving:
    """Measures how fast each candidate is, plans what fits, and runs it; nothing that cannot finish is started.

    The deadline is by `time.monotonic`; `on_stage` is called with what is being done, in a few words.
    """
    costs: dict[str, Cost] = {}
    not_run: dict[str, str] = {}
    few = [judged.better[held] for held in split.held[:WARM_UP_ROWS]]
    budget = deadline - time.monotonic()
    for candidate in candidates:
        if time.monotonic() > deadline - budget / 2:
            not_run[candidate.name] = "no time was left to measure how fast it learns"
            continue
        on_stage(f"measuring the speed of {candidate.name}")
        try:
            costs[candidate.name] = measure_cost(
                candidate,
                split.rows[:WARM_UP_ROWS],
                [judged.prompts[place] for place in few],
                [judged.responses[place] for place in few],
            )
        except GuerdonError as error:  # a model that is not there, or data that it cannot learn from
            not_run[candidate.name] = f"it cannot be tried: {error}"
    texts = len(np.unique([judged.better[split.held], judged.worse[split.held]]))
    alive, rows = affordable(costs, len(split.rows), texts, deadline - time.monotonic())
    for name in costs:
        if name not in alive:
            needed = costs[name].seconds(min(FEWEST_ROWS, len(split.rows)), texts)
            not_run[name] = f"{FEWEST_ROWS} rows alone would take it {needed:.0f} s, more than was left"
    tried: dict[str, Tried] = {}
    by_name = {candidate.name: candidate for candidate in candidates}
    for count in rungs(len(alive), rows):
        for name in alive:
            if time.monotonic() + costs[name].seconds(count, texts) > deadline:
                if name not in tried:
                    not_run[name] = f"{count} rows would not have been learnt in the time left"
                continue
            on_stage(f"{name} on {count} rows")
            try:
                trial = try_candidate(by_name[name], split.rows[:count], judged, split.held, deadline)
            except OutOfTimeError:
                if name not in tried:
                    not_run[name] = f"the time was over while it learnt from {count} rows"
                continue
            tried[name] = Tried(name, count, trial)
        done = [name for name in alive if name in tried and tried[name].rows == count]
        done.sort(key=lambda name: -judged.agreement(tried[name].trial.margins, split.held))
        alive = done[: math.ceil(len(done) / 2)]
    return Halving(tuple(tried.values()), not_run, costs)


def rungs(candidates: int, rows: int) -> list[int]:
    """Rows of each round: the last has `rows`, the one before half as many, down to as many rounds as halve to one."""
    rounds = math.ceil(math.log2(candidates)) + 1 if candidates else 0
    return [rows >> number for number in reversed(range(rounds))]


def planned_seconds(costs: Sequence[Cost], rows: int, texts: int) -> float:
    """What successive halving takes at most: the slowest survive."""
    order = sorted(costs, key=lambda cost: -cost.seconds(rows, texts))
    total = 0.0
    for count in rungs(len(order), rows):
        total += sum(cost.seconds(count, texts) for cost in order)
        order = order[: math.ceil(len(order) / 2)]
    return total


def affordable(costs: Mapping[str, Cost], rows: int, texts: int, seconds: float) -> tuple[list[str], int]:
    """Which candidates can be compared in so many seconds, and on how many rows the last of them; none, and 0.

    The rows of the last round are as many as fit. Where not even the fewest fit, the slowest candidate is left out.
    """
    names = sorted(costs, key=lambda name: costs[name].seconds(FEWEST_ROWS, texts))
    while names:
        rounds = math.ceil(math.log2(len(names)))
        fewest = min(rows, FEWEST_ROWS << rounds)
        own = [costs[name] for name in names]
        if planned_seconds(own, fewest, texts) <= seconds:
            count = fewest
            while count < rows and planned_seconds(own, min(rows, count * 5 // 4), texts) <= seconds:
                count = min(rows, count * 5 // 4)
            return names, count
        names.pop()
    return [], 0
