from __future__ import annotations

import numpy as np

from guerdon.data.preferences import overall_ratings
from guerdon.evaluate import result_tables
from guerdon.evaluate.result_tables import tables_of
from guerdon.types import Comparison, Message, Ranking, Rating


def test_pairs_of_ratings_stay_inside_a_prompt():
    rows = [
        Rating(prompt=p, response=r, scores={"score": s})
        for p, r, s in (("p", "a", 1.0), ("q", "b", 5.0), ("p", "c", 3.0))
    ]
    (table,), _ = tables_of(rows)
    assert [(table.truth[i], table.truth[j]) for i, j in zip(table.better, table.worse, strict=True)] == [(3.0, 1.0)]


def test_a_single_attribute_names_its_table():
    rows = [Rating(prompt="p", response=r, scores={"polite": s}) for r, s in (("a", 1.0), ("b", 2.0))]
    assert [table.kind for table in tables_of(rows)[0]] == ["ratings: polite"]


def test_comparisons_are_all_counted_where_ratings_would_be_drawn(monkeypatch):
    monkeypatch.setattr(result_tables, "_MOST_PAIRS", 10)
    compared = [Comparison(prompt=f"p{i}", chosen="good", rejected="bad") for i in range(20)]
    rated = [Rating(prompt="p", response=f"r{i}", scores={"score": float(i)}) for i in range(20)]
    first, second = tables_of([*compared, *rated])[0]
    assert (len(first.better), first.sampled) == (20, False)
    assert second.sampled
    assert len(second.better) <= 10


def test_a_string_and_one_user_turn_are_one_prompt():
    rows = [
        Rating(prompt="p", response="a", scores={"score": 1.0}),
        Rating(prompt=(Message("user", "p"),), response="b", scores={"score": 2.0}),
    ]
    (table,), _ = tables_of(rows)
    assert len(table.better) == 1
    assert table.clusters.tolist() == [0, 0]


def test_scores_of_two_rankings_of_one_prompt_are_not_compared():
    rows = [Ranking(prompt="p", responses=("a", "b"), scores=(s, s + 1)) for s in (0.0, 10.0)]
    (table,), requests = tables_of(rows)
    assert len(table.better) == 2
    assert len(requests) == 2


def test_selecting_items_keeps_the_pairs_between_them():
    rows = [Comparison(prompt="p", chosen=f"good {i}", rejected=f"bad {i}", subset=f"s{i % 2}") for i in range(4)]
    (table,), _ = tables_of(rows)
    part = table.subset("s1")
    assert part.rows.tolist() == [1, 1, 3, 3]
    assert (part.better.tolist(), part.worse.tolist()) == ([0, 2], [1, 3])
    keep = np.ones(8, dtype=bool)
    keep[1] = False  # the loser of the first comparison
    assert table.select(keep).better.tolist() == [1, 3, 5]


def test_a_subset_of_ties_alone_is_named():
    rows = [
        Comparison(prompt="p", chosen="a", rejected="b", subset="decided"),
        Comparison(prompt="p", chosen="c", rejected="d", subset="tied", preference=0.5),
    ]
    (table,), _ = tables_of(rows)
    assert table.subset_names() == ["decided", "tied"]
    assert table.subset("tied").tie_subsets == ("tied",)


def test_several_attributes_are_judged_as_a_whole_first():
    rows = [
        Rating(prompt="p", response="a", scores={"stars": 5.0, "percent": 6.0}),
        Rating(prompt="p", response="b", scores={"stars": 1.0, "percent": 10.0}),
        Rating(prompt="p", response="c", scores={"stars": 4.0}),
    ]
    found, _ = tables_of(rows)
    assert [table.kind for table in found] == ["ratings: overall", "ratings: stars", "ratings: percent"]
    assert found[0].truth.tolist() == overall_ratings(rows).tolist()
    assert sorted(zip(found[1].better, found[1].worse, strict=True)) == [(0, 1), (0, 2), (2, 1)]
