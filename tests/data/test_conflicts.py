from __future__ import annotations

import random

from guerdon.data.conflicts import find_conflicts
from guerdon.types import Comparison, Ranking, Rating


def pair(better: str, worse: str, prompt: str = "p", **more: object) -> Comparison:
    return Comparison(prompt=prompt, chosen=better, rejected=worse, **more)


def test_a_pair_that_was_judged_both_ways():
    rows = [pair("a", "b"), pair("c", "a"), pair("b", "a"), pair("a", "b", prompt="q"), pair("b", "a", preference=0.5)]
    found = find_conflicts(rows)
    assert found.contradictions == [(rows[0], rows[2])]
    assert not found.circles


def test_other_kinds_of_rows_are_compared_with_each_other():
    rows = [
        pair("a", "b"),
        Ranking(prompt="p", responses=("b", "a", "c"), scores=(3, 2, 2)),
        *(Rating(prompt="q", response=text, scores={"score": value}) for text, value in (("a", 1), ("b", 2))),
    ]
    assert find_conflicts(rows).contradictions == [(rows[0], rows[1])]


def test_preferences_that_run_in_a_circle():
    rows = [
        pair("a", "b"),
        pair("b", "c"),
        pair("c", "d"),
        pair("d", "a"),
        pair("c", "a"),
        pair("x", "a"),
        pair("d", "y"),
    ]
    found = find_conflicts(rows)
    (circle,) = found.circles
    assert len(circle) == 3
    assert {row.chosen for row in circle} == {row.rejected for row in circle} == {"a", "b", "c"}
    for row, following in zip(circle, (*circle[1:], circle[0]), strict=True):
        assert row.rejected == following.chosen
    assert found.in_circles == 5


def test_an_order_has_none_however_it_is_judged():
    rng = random.Random(0)
    rows = [pair(f"{a:03}", f"{b:03}") for a, b in (sorted(rng.sample(range(40), 2)) for _ in range(400))]
    found = find_conflicts(rows)
    assert not found.contradictions
    assert not found.circles
    assert not found.in_circles
    assert find_conflicts([]).in_circles == 0
    assert len(find_conflicts([*rows, pair("039", "040"), pair("040", "000")]).circles) == 1


def test_texts_that_are_the_same_contradict_nothing():
    assert not find_conflicts([pair("a", "a")]).contradictions


def test_thousands_of_ratings_of_one_prompt_are_quick():
    ratings = [Rating(prompt="p", response=f"r{i}", scores={"score": i % 2}) for i in range(6000)]
    found = find_conflicts([*ratings, Rating(prompt="p", response="r0", scores={"score": 1}), pair("r0", "r1")])
    assert len(found.contradictions) == 1
