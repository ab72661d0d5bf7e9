"""What fits into the time is tried, the better half goes on, and nothing is started that cannot finish."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import ModelError
from guerdon.evaluate.costly_candidates import Cost, CostlyCandidate
from guerdon.evaluate.successive_halving import (
    affordable,
    compare_by_halving,
    observations_of,
    planned_seconds,
    rungs,
    split_once,
)
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.rules import LengthReward
from guerdon.types import AnyRow, Comparison, Rating, Scorer, group_key

QUICK = Cost(1.0, 0.01, 0.01)
SLOW = Cost(10.0, 1.0, 0.1)


@pytest.fixture
def rows() -> list[Comparison]:
    """The longer response was preferred; two pairs a prompt."""
    return [
        Comparison(prompt=f"p{i // 2}", chosen=f"long enough {i}", rejected=f"short {i}", group=f"g{i // 4}")
        for i in range(400)
    ]


def rule(sign: int, learnt: list[tuple[int, int]], seconds: float = 0.0) -> CostlyCandidate:
    """A candidate that takes a while and always comes out as a rule of length."""

    def learn(rows: Sequence[AnyRow], folder: Path, tick: Callable[[], None]) -> Scorer:
        tick()
        time.sleep(seconds * len(rows))
        learnt.append((sign, len(rows)))
        tick()
        return LengthReward(sign)

    return CostlyCandidate({1: "long", -1: "short"}[sign], "a rule", learn, "guerdon score longest {data}")


def test_rounds_halve_candidates_and_double_rows() -> None:
    assert list(rungs(4, 400)) == [100, 200, 400]
    assert list(rungs(3, 400)) == [100, 200, 400]
    assert list(rungs(1, 400)) == [400]
    assert list(rungs(0, 400)) == []
    assert planned_seconds([QUICK, SLOW], 100, 10) == pytest.approx(1.6 + 61 + 111)


def test_as_many_rows_as_fit_and_the_slowest_is_left_out() -> None:
    costs = {"slow": SLOW, "quick": QUICK}
    assert affordable(costs, 1000, 10, 1e6) == (["quick", "slow"], 1000)
    names, count = affordable(costs, 1000, 10, 300)
    assert names == ["quick", "slow"]
    assert 128 <= count < 1000
    assert planned_seconds([QUICK, SLOW], count, 10) <= 300
    assert affordable(costs, 1000, 10, 20) == (["quick"], 1000)
    assert affordable(costs, 1000, 10, 0.5) == ([], 0)


def test_split_tears_no_group_apart_and_knows_its_observations(rows: list[Comparison]) -> None:
    judged = JudgedResponses.of(rows)
    split = split_once(rows, judged)
    assert split is not None
    held = {judged.prompts[place] for place in judged.better[split.held]}
    assert not held & {row.prompt for row in split.rows}
    assert len(split.rows) + len(split.held) == len(rows)
    seen = observations_of(split.rows[:10], judged)
    assert len(seen) == 10
    assert {judged.responses[place] for place in judged.better[seen]} == {row.chosen for row in split.rows[:10]}
    assert len({group_key(row) for row in split.rows[:10]}) > 5
    assert split_once(rows[:8], JudgedResponses.of(rows[:8])) is None


def test_ratings_make_the_pairs_of_the_rows_that_are_there() -> None:
    rows = [Rating(prompt=f"p{i // 3}", response=f"r{i}", scores={"": float(i % 3)}) for i in range(30)]
    judged = JudgedResponses.of(rows)
    assert len(judged) == 30
    seen = observations_of(rows[:6], judged)
    assert len(seen) == 6
    assert set(judged.better[seen]) | set(judged.worse[seen]) == set(range(6))


def test_better_half_goes_on(rows: list[Comparison]) -> None:
    judged = JudgedResponses.of(rows)
    split = split_once(rows, judged)
    assert split is not None
    learnt: list[tuple[int, int]] = []
    both = [rule(1, learnt), rule(-1, learnt)]
    found = compare_by_halving(both, judged, split, time.monotonic() + 60)
    count = len(split.rows)
    assert learnt[2:] == [(1, count // 2), (-1, count // 2), (1, count)] or learnt[2:] == [
        (-1, count // 2), (1, count // 2), (1, count),
    ]  # fmt: skip
    by_name = {one.name: one for one in found.tried}
    assert by_name["long"].rows == count
    assert by_name["short"].rows == count // 2
    assert judged.agreement(by_name["long"].trial.margins, split.held) == 1
    assert not found.not_run


def test_what_cannot_finish_is_not_started(rows: list[Comparison]) -> None:
    judged = JudgedResponses.of(rows)
    split = split_once(rows, judged)
    assert split is not None
    learnt: list[tuple[int, int]] = []
    begin = time.monotonic()
    found = compare_by_halving([rule(1, learnt, 0.05), rule(-1, learnt)], judged, split, begin + 2)
    assert [count for sign, count in learnt if sign == 1] == [8]
    assert "more than was left" in found.not_run["long"]
    assert found.costs["long"].per_row >= 0.05
    assert [one.name for one in found.tried] == ["short"]
    late = compare_by_halving([rule(1, learnt)], judged, split, time.monotonic() - 1)
    assert "no time" in late.not_run["long"]
    assert np.all([not one.tried for one in (late,)])


def test_a_model_that_is_not_there_is_named_and_fails_no_other(rows: list[Comparison]) -> None:
    judged = JudgedResponses.of(rows)
    split = split_once(rows, judged)
    assert split is not None

    def missing(rows: Sequence[AnyRow], folder: Path, tick: Callable[[], None]) -> Scorer:
        raise ModelError("there is no such model")

    found = compare_by_halving(
        [CostlyCandidate("gone", "", missing, ""), rule(1, [])], judged, split, time.monotonic() + 60
    )
    assert found.not_run == {"gone": "it cannot be tried: there is no such model"}
    assert [one.name for one in found.tried] == ["long"]
