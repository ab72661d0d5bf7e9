"""What people said becomes the judgements it means, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest

from guerdon.errors import ConfigError, DataError
from guerdon.train.judgements import (
    Compared,
    HeadOutputs,
    Judgement,
    Listed,
    Rated,
    TextTable,
    judge_rows,
)
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Comparison, Message, Ranking, Rating, Reference


def judge(rows: Sequence[AnyRow], **options: Any) -> tuple[list[Judgement], TextTable, HeadOutputs]:
    data = judge_rows(rows, (), TrainConfig(**options))
    return data.training, data.table, data.outputs


def said(table: TextTable, pair: Judgement) -> tuple[str, ...]:
    return tuple(table.responses[text] for text in pair.texts)


# --- the table


def test_a_text_has_one_place_however_its_prompt_is_given() -> None:
    table = TextTable()
    assert [table.add("egg", "a"), table.add((Message("user", "egg"),), "a"), table.add("egg", "b")] == [0, 0, 1]
    assert table.add("planet", "a") == 2
    assert len(table) == 3
    assert table.prompt_keys == ["egg", "egg", "planet"]


# --- comparisons


def test_comparisons_become_pairs() -> None:
    rows = [
        Comparison(prompt="p", chosen="a", rejected="b"),
        Comparison(prompt="p", chosen="a", rejected="c", preference=0.75, margin=3.0),
        Comparison(prompt="p", chosen="b", rejected="c", preference=0.5, margin=3.0),
    ]
    found, table, heads = judge(rows, margin_scale=0.5)
    assert heads == HeadOutputs(("score",), ())
    assert [said(table, pair) for pair in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [(p.preference, p.margin, p.weight) for p in found if isinstance(p, Compared)] == [
        (1.0, 0.0, 1.0),  # no margin recorded
        (0.75, 1.5, 1.0),
        (0.5, 0.0, 1.0),
    ]


def test_hard_labels_take_the_majority_but_keep_ties() -> None:
    rows = [
        Comparison(prompt="p", chosen="a", rejected="b", preference=0.75),
        Comparison(prompt="p", chosen="b", rejected="c", preference=0.5),
    ]
    found, _, _ = judge(rows, soft_labels=False)
    assert [p.preference for p in found if isinstance(p, Compared)] == [1.0, 0.5]


def test_comparisons_as_lists_leave_ties_out() -> None:
    rows = [
        Comparison(prompt="p", chosen="a", rejected="b"),
        Comparison(prompt="p", chosen="b", rejected="c", preference=0.5),
    ]
    found, _, _ = judge(rows, objective="plackett-luce")
    assert found == [Listed((0, 1), (1.0, 0.0))]


def test_lengths_are_balanced_by_weight() -> None:
    rows = [Comparison(prompt=f"{i}", chosen="longer", rejected="b") for i in range(6)]
    rows += [Comparison(prompt=f"{i}", chosen="c", rejected="much longer") for i in range(2)]
    rows += [Comparison(prompt="even", chosen="c", rejected="d")]
    found, _, _ = judge(rows, balance_length=True)
    weights = [p.weight for p in found if isinstance(p, Compared)]
    assert weights == [8 / 12] * 6 + [8 / 4] * 2 + [1.0]
    assert sum(weights) == pytest.approx(len(weights))
    with pytest.raises(DataError, match="won by the longer and pairs won by the shorter"):
        judge(rows[:6], balance_length=True)


# --- ratings


RATINGS: list[AnyRow] = [
    Rating(prompt="p", response="a", scores={"helpful": 4.0, "brief": 1.0}),
    Rating(prompt="p", response="b", scores={"helpful": 2.0}),
    Rating(prompt="q", response="c", scores={"helpful": 3.0, "brief": 3.0}),
]


def test_ratings_are_standardised_attribute_by_attribute() -> None:
    found, _, heads = judge(RATINGS)
    assert heads == HeadOutputs(("brief", "helpful"), ("brief", "helpful"))
    targets = [r.targets for r in found if isinstance(r, Rated)]
    step = math.sqrt(2 / 3)
    assert targets[0] == pytest.approx((-1.0, 1 / step))
    assert math.isnan(targets[1][0])
    assert targets[1][1] == pytest.approx(-1 / step)
    assert targets[2] == pytest.approx((1.0, 0.0))


def test_both_adds_a_preference_head_and_the_pairs_of_a_prompt() -> None:
    found, table, heads = judge(RATINGS, objective="both")
    assert heads == HeadOutputs(("preference", "brief", "helpful"), ("brief", "helpful"))
    pairs = [judgement for judgement in found if isinstance(judgement, Compared)]
    assert [said(table, pair) for pair in pairs] == [("a", "b")], "overall 2.5 against 2.0; c stands alone"
    assert len(found) == 4


def test_one_attribute_needs_one_head_only() -> None:
    rows = [Rating(prompt="p", response=str(i), scores={"score": float(i)}) for i in range(2)]
    _, _, heads = judge(rows, objective="both")
    assert heads == HeadOutputs(("score",), ("score",))


def test_the_same_value_everywhere_teaches_nothing() -> None:
    rows = [Rating(prompt="p", response=str(i), scores={"tone": 3.0}) for i in range(3)]
    with pytest.raises(DataError, match="every row has the same value of tone"):
        judge(rows)


def test_held_out_ratings_without_a_scale_are_left_out() -> None:
    train = [Rating(prompt="p", response=str(i), scores={"helpful": float(i)}) for i in range(2)]
    held = [
        Rating(prompt="q", response="x", scores={"tone": 1.0}),
        Rating(prompt="q", response="y", scores={"helpful": 1.0, "tone": 1.0}),
    ]
    data = judge_rows(train, held, TrainConfig())
    assert [r.targets for r in data.validation if isinstance(r, Rated)] == [(1.0,)], "in the scale of training"


# --- rankings


RANKING: list[AnyRow] = [Ranking(prompt="p", responses=("a", "b", "c"), scores=(1.0, 3.0, 1.0))]


def test_a_ranking_is_a_list_or_its_pairs_or_its_scores() -> None:
    found, _, _ = judge(RANKING)
    assert found == [Listed((0, 1, 2), (1.0, 3.0, 1.0))]
    found, table, _ = judge(RANKING, objective="bradley-terry", margin_scale=0.5)
    assert [said(table, pair) for pair in found] == [("b", "a"), ("b", "c")]
    assert [pair.margin for pair in found if isinstance(pair, Compared)] == [1.0, 1.0], (
        "half the difference of the scores"
    )
    found, _, heads = judge(RANKING, objective="regression")
    assert heads.names == ("score",)
    assert [r.targets[0] for r in found if isinstance(r, Rated)] == pytest.approx([-0.7071068, 1.4142136, -0.7071068])


def test_a_prompt_without_order_teaches_no_pairs_or_lists() -> None:
    flat = [Ranking(prompt="p", responses=("a", "b"), scores=(1.0, 1.0))]
    for objective in ("auto", "bradley-terry"):
        with pytest.raises(DataError, match="nothing to learn from"):
            judge(flat, objective=objective)


def test_ties_alone_are_refused() -> None:
    ties = [Comparison(prompt="p", chosen="a", rejected=text, preference=0.5) for text in "bc"]
    with pytest.raises(DataError, match="nothing to learn from: in none of 2 rows did people see a winner"):
        judge(ties)
    assert len(judge([*ties, Comparison(prompt="p", chosen="b", rejected="c")])[0]) == 3


# --- references


def test_a_reference_is_contrasted_with_what_was_generated() -> None:
    rows = [Reference(prompt="p", reference="right", generated=("wrong", "worse"))]
    found, _, _ = judge(rows)
    assert found == [Listed((0, 1, 2), (1.0, 0.0, 0.0), contrastive=True)]
    found, table, _ = judge(rows, objective="bradley-terry")
    assert [said(table, pair) for pair in found] == [("right", "wrong"), ("right", "worse")]


def test_a_reference_with_nothing_to_beat_is_refused_unless_the_step_gives_it_something() -> None:
    rows = [Reference(prompt="p", reference="right")]
    with pytest.raises(DataError, match="'p' has nothing to beat.*--in-batch-negatives"):
        judge(rows)
    found, _, _ = judge(rows, in_batch_negatives=2)
    assert found == [Listed((0,), (1.0,), contrastive=True)]


# --- objectives


def test_an_objective_that_the_rows_do_not_allow_is_refused_with_those_that_they_do() -> None:
    rows: list[AnyRow] = [Comparison(prompt="p", chosen="a", rejected="b"), *RATINGS]
    with pytest.raises(ConfigError, match="regression cannot be fitted to comparisons; this data allows: agreement"):
        judge(rows, objective="regression")


def test_mixed_rows_feed_their_own_objectives() -> None:
    rows: list[AnyRow] = [
        Comparison(prompt="p", chosen="a", rejected="b"),
        *RATINGS,
        *RANKING,
        Reference(prompt="p", reference="right", generated=("wrong",)),
    ]
    found, _, heads = judge(rows)
    assert heads == HeadOutputs(("preference", "brief", "helpful"), ("brief", "helpful"))
    assert sorted(type(judgement).__name__ for judgement in found) == ["Compared"] + ["Listed"] * 2 + ["Rated"] * 3


def test_rankings_among_ratings_of_other_names_keep_their_own_output() -> None:
    rows: list[AnyRow] = [*RATINGS, *RANKING]
    found, _, heads = judge(rows, objective="regression")
    assert heads.rated == ("brief", "helpful", "score")
    of_ranking = [r.targets for r in found if isinstance(r, Rated)][-3:]
    assert all(math.isnan(a) and math.isnan(b) and not math.isnan(c) for a, b, c in of_ranking)
