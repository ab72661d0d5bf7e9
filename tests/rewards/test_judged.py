"""What rows of every kind say, as positions and targets; and that no fold shares a group or a response."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guerdon.data.mismatched import mismatched_comparisons
from guerdon.errors import DataError
from guerdon.rewards.judged import JudgedResponses
from guerdon.types import Comparison, Ranking, Rating, Reference


def pair(prompt: str, chosen: str, rejected: str, **more: object) -> Comparison:
    return Comparison(prompt=prompt, chosen=chosen, rejected=rejected, **more)  # type: ignore[arg-type]


def test_rows_of_every_kind_are_pairs_of_distinct_responses() -> None:
    rows = [
        pair("p", "a", "b"),
        pair("p", "a", "c", preference=0.75),
        Ranking(prompt="q", responses=("a", "b", "c"), scores=(2, 1, 1)),
        Reference(prompt="r", reference="good", generated=("bad",)),
        pair("p", "b", "c", preference=0.5),
    ]
    judged = JudgedResponses.of(rows)
    assert list(zip(judged.prompts, judged.responses, strict=True)) == [
        ("p", "a"), ("p", "b"), ("p", "c"), ("q", "a"), ("q", "b"), ("q", "c"), ("r", "good"), ("r", "bad"),
    ]  # fmt: skip
    found = sorted(zip(judged.better.tolist(), judged.worse.tolist(), judged.target.tolist(), strict=True))
    assert found == [(0, 1, 1.0), (0, 2, 0.75), (1, 2, 0.5), (3, 4, 1.0), (3, 5, 1.0), (6, 7, 1.0)]
    assert judged.objective == "pairs"


def test_ratings_are_compared_within_their_prompt_where_it_has_several() -> None:
    rows = [Rating(prompt=f"p{i}", response=f"r{i}{k}", scores={"score": float(k)}) for i in range(3) for k in range(4)]
    judged = JudgedResponses.of(rows)
    assert judged.objective == "pairs"
    assert len(judged) == 3 * 6
    assert judged.rating.tolist() == [0.0, 1.0, 2.0, 3.0] * 3


def test_single_ratings_are_fitted_as_they_are() -> None:
    judged = JudgedResponses.of([Rating(prompt=f"p{i}", response="r", scores={"score": i}) for i in range(9)])
    assert judged.objective == "ratings"
    assert judged.target.tolist() == list(range(9))
    assert judged.agreement(np.arange(9.0)) == 1.0
    assert judged.agreement(-np.arange(9.0)) == 0.0


def test_many_ratings_of_one_prompt_are_fitted_as_they_are() -> None:
    rows = [Rating(prompt="p", response=f"r{i}", scores={"score": float(i % 2)}) for i in range(300)]
    assert JudgedResponses.of(rows).objective == "ratings"


def test_groups_that_share_a_response_are_one() -> None:
    rows = [pair("p", "a", "b", group="1"), pair("p", "a", "c", group="2"), pair("q", "a", "b", group="3")]
    first, second, third = JudgedResponses.of(rows).group
    assert first == second != third


def test_no_two_folds_share_a_group() -> None:
    rows = [pair(f"p{i}", "a", f"b{k}") for i in range(10) for k in range(3)]
    judged = JudgedResponses.of(rows)
    folds = judged.folds(4)
    assert set(folds.tolist()) == {0, 1, 2, 3}
    for code in np.unique(judged.group):
        assert len(set(folds[judged.group == code].tolist())) == 1


def test_a_single_judgement_cannot_be_cross_validated() -> None:
    with pytest.raises(DataError, match="too few judgements: .*Fix: judge more prompts"):
        JudgedResponses.of([pair("p", "a", "b")]).folds(2)


def test_the_loss_is_bradley_terry_with_vote_shares() -> None:
    judged = JudgedResponses.of([pair("p", "a", "b", preference=0.75)])
    margins = torch.tensor([np.log(3.0)], dtype=torch.float64)
    expected = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert judged.loss(margins, np.array([0])).tolist() == pytest.approx([expected])


def test_the_error_of_an_advantage_grows_with_the_size_of_its_groups() -> None:
    alone = JudgedResponses.of([pair(f"p{i}", "a", "b") for i in range(40)])
    grouped = JudgedResponses.of([pair(f"p{i}", "a", "b", group=str(i // 10)) for i in range(40)])
    right, mixed = np.ones(40), np.where(np.arange(40) < 20, 1.0, -1.0)
    everywhere = np.arange(40)
    for judged in (alone, grouped):
        assert judged.advantage(right, mixed, everywhere)[0] == pytest.approx(0.5)
    assert grouped.advantage(right, mixed, everywhere)[1] > 2 * alone.advantage(right, mixed, everywhere)[1]


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [pair("p", "a", "b", preference=0.5)],
        [Rating(prompt="p", response="a", scores={"score": 1.0})],
        [Rating(prompt=f"p{i}", response="a", scores={"score": 1.0}) for i in range(3)],
    ],
)
def test_rows_that_order_nothing_are_refused(rows: list[Comparison | Rating]) -> None:
    with pytest.raises(DataError, match="a reward needs"):
        JudgedResponses.of(rows)


def test_length_balancing_lets_longer_and_shorter_winners_count_alike() -> None:
    rows = [Comparison(prompt=f"p{i}", chosen="long enough", rejected="short") for i in range(3)]
    rows += [
        Comparison(prompt="q", chosen="brief", rejected="a long one"),
        Comparison(prompt="r", chosen="a", rejected="b"),
    ]
    judged = JudgedResponses.of(rows)
    np.testing.assert_array_equal(judged.weight, np.ones(5))
    full = judged.length_balanced(1.0).weight
    assert full[:3].sum() == pytest.approx(full[3])
    assert full.mean() == pytest.approx(1.0)
    half = judged.length_balanced(0.5).weight
    assert half[3] / half[0] == pytest.approx(np.sqrt(full[3] / full[0]))
    margins = torch.zeros(5, dtype=torch.float64)
    np.testing.assert_allclose(judged.length_balanced(1.0).loss(margins, np.arange(5)), np.log(2) * full)


def test_mismatched_pairs_are_weighted_and_measure_nothing() -> None:
    rows = [pair(f"p{i}", f"good {i}", f"bad {i}") for i in range(4) for _ in range(2)]
    made = mismatched_comparisons(rows, 0)
    judged = JudgedResponses.of(rows, mismatched=made, mismatched_share=0.1)
    assert judged.mismatched.tolist() == [False] * 8 + [True] * 4
    assert judged.weight[8:].sum() == pytest.approx(0.1 * judged.weight[:8].sum())
    assert judged.weight.mean() == pytest.approx(1.0)
    assert len(judged.responses) == 12
    for row, better, worse in zip(made, judged.better[8:], judged.worse[8:], strict=True):
        assert (judged.prompts[worse], judged.responses[better], judged.responses[worse]) == (
            row.prompt, row.chosen, row.rejected,
        )  # fmt: skip
    everywhere, wrong = np.arange(12), np.where(judged.mismatched, -1.0, 1.0)
    assert np.isnan(judged.merit(wrong, everywhere)[8:]).all()
    assert judged.agreement(wrong) == 1.0


def test_mismatched_pairs_leave_the_balance_of_length_and_the_units_of_ratings_alone() -> None:
    ratings = [
        Rating(prompt=f"p{i}", response=f"{i}{'x' * k}", scores={"score": k}) for i in range(3) for k in (1, 2, 4)
    ]
    plain = JudgedResponses.of(ratings)
    both = JudgedResponses.of(ratings, mismatched=mismatched_comparisons(ratings, 0), mismatched_share=0.5)
    rewards = np.array([len(text) for text in both.responses], dtype=np.float64)
    count = len(plain.responses)
    assert both.units(rewards, both.margins(rewards)) == pytest.approx(
        plain.units(rewards[:count], plain.margins(rewards[:count]))
    )
    rows = [pair(f"p{i}", f"long enough {i}", "short") for i in range(3)] + [pair("q", "brief", "a long one")]
    made = mismatched_comparisons(rows, 0)
    balanced = JudgedResponses.of(rows, mismatched=made, mismatched_share=0.5).length_balanced(1.0).weight
    assert balanced[:3].sum() == pytest.approx(balanced[3])
    assert len(set(balanced[4:].tolist())) == 1


def test_ratings_that_are_fitted_as_they_are_get_no_mismatched_pairs() -> None:
    rows = [Rating(prompt=f"p{i}", response=f"r{i}", scores={"score": i}) for i in range(9)]
    judged = JudgedResponses.of(rows, mismatched=[pair("p0", "r0", "r1")], mismatched_share=0.5)
    assert (judged.objective, len(judged), len(judged.responses)) == ("ratings", 9, 9)
