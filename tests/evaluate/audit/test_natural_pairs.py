from __future__ import annotations

import numpy as np

from guerdon.evaluate.audit.natural_pairs import more_of, natural_pairs
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.types import Comparison, Ranking, Rating, Reference


def test_every_kind_of_row_gives_the_pairs_that_it_orders():
    pairs = natural_pairs(
        [
            Comparison(prompt="p", chosen="a", rejected="b", reference="r"),
            Comparison(prompt="p", chosen="a", rejected="c", preference=0.5),
            Ranking(prompt="q", responses=("x", "y", "z"), scores=(1, 2, 2)),
            Rating(prompt="s", response="good", scores={"score": 5}),
            Rating(prompt="s", response="bad", scores={"score": 1}),
            Reference(prompt="t", reference="right", generated=("wrong",)),
        ]
    )
    assert {(one.better, one.worse) for one in pairs.pairs} == {
        ("a", "b"), ("y", "x"), ("z", "x"), ("good", "bad"), ("right", "wrong"),
    }  # fmt: skip
    assert {one.better: one.reference for one in pairs.pairs if one.better in ("a", "right")} == {
        "a": "r",
        "right": None,
    }
    assert pairs.unit == "prompt"
    assert len(np.unique(pairs.clusters)) == 4


def test_the_first_of_every_prompt_come_first():
    rows = [Comparison(prompt=f"p{i % 4}", chosen=f"a{i}", rejected=f"b{i}") for i in range(40)]
    pairs = natural_pairs(rows)
    assert len(set(pairs.clusters[:4].tolist())) == len(set(pairs.clusters[4:8].tolist())) == 4
    assert [one.better for one in pairs.take(range(3)).pairs] == [one.better for one in pairs.pairs[:3]]
    assert [one.better for one in natural_pairs(rows, seed=1).pairs] != [one.better for one in pairs.pairs]


def test_of_many_responses_each_stands_in_one_pair_and_of_one_prompt_pairs_are_independent():
    rows = [Rating(prompt="p", response=f"r{i}", scores={"score": i % 2}) for i in range(400)]
    pairs = natural_pairs(rows)
    used = [text for one in pairs.pairs for text in (one.better, one.worse)]
    assert len(used) == len(set(used)) > 100
    assert pairs.unit == "pair"
    assert len(np.unique(pairs.clusters)) == len(pairs)


def test_where_nobody_compared_anything_responses_stand_alone():
    pairs = natural_pairs([Rating(prompt=f"p{i}", response=f"r{i}", scores={"score": i}) for i in range(5)])
    assert len(pairs) == 5
    assert not pairs.ordered


def test_more_of_a_style():
    rows = [Comparison(prompt=f"p{i}", chosen="- a\n- b", rejected="a, b") for i in range(2)]
    assert more_of(PERTURBATIONS["list"], natural_pairs(rows)).tolist() == [2, 2]
