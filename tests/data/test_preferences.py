"""What rows prefer is the same for every stage."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.data.preferences import GradedGroup, overall_ratings, rated_attributes, row_preferences
from guerdon.types import AnyRow, Comparison, Message, Ranking, Rating, Reference


def preferred(*rows: AnyRow) -> list[tuple[str, str, float, float]]:
    """Better, worse, preference and margin of every pair."""
    return [
        (group.responses[pair.better], group.responses[pair.worse], pair.preference, pair.margin)
        for group in row_preferences(rows)
        for pair in group.pairs()
    ]


def rated(prompt: str, response: str, **scores: float) -> Rating:
    return Rating(prompt=prompt, response=response, scores=scores)


def test_a_comparison_prefers_what_was_chosen() -> None:
    assert preferred(
        Comparison(prompt="p", chosen="a", rejected="b"),
        Comparison(prompt="p", chosen="a", rejected="c", preference=0.8, margin=3.0),
    ) == [("a", "b", 1.0, 0.0), ("a", "c", 0.8, 3.0)]


def test_a_tie_is_a_pair_by_nothing() -> None:
    tie = Comparison(prompt="p", chosen="a", rejected="b", preference=0.5, margin=3.0)
    assert preferred(tie) == [("a", "b", 0.5, 0.0)]


def test_a_ranking_prefers_by_its_own_scores_alone() -> None:
    first = Ranking(prompt="p", responses=("a", "b", "c"), scores=(1.0, 4.0, 1.0))
    second = Ranking(prompt="p", responses=("d", "e"), scores=(90.0, 80.0))
    assert preferred(first, second) == [("b", "a", 1.0, 3.0), ("b", "c", 1.0, 3.0), ("d", "e", 1.0, 10.0)]


def test_a_reference_beats_what_was_generated() -> None:
    row = Reference(prompt="p", reference="right", generated=("x", "y"))
    assert preferred(row) == [("right", "x", 1.0, 1.0), ("right", "y", 1.0, 1.0)]
    (alone,) = row_preferences([Reference(prompt="p", reference="right")])
    assert (alone.responses, list(alone.pairs())) == (("right",), [])
    assert list(row_preferences([Reference(prompt="p", generated=("x", "y"))])) == []


def test_ratings_are_compared_within_their_prompt_however_it_is_written() -> None:
    chat = Rating(prompt=(Message("user", "p"),), response="c", scores={"score": 4.0})
    rows: list[AnyRow] = [rated("p", "a", score=1), rated("q", "b", score=5), chat]
    rows.append(Comparison(prompt="p", chosen="a", rejected="b"))
    groups = list(row_preferences(rows))
    assert [(group.kind, group.responses) for group in groups] == [
        (Comparison, ("a", "b")), (Rating, ("a", "c")), (Rating, ("b",)),
    ]  # fmt: skip
    assert groups[1].rows == (rows[0], chat)
    assert preferred(*rows[:3]) == [("c", "a", 1.0, 3.0)]


def test_one_attribute_can_be_asked_for() -> None:
    rows = [rated("p", "a", help=1, tone=9), rated("p", "b", help=2, tone=1), rated("p", "c", help=3)]
    (group,) = row_preferences(rows, attribute="tone")
    assert (group.responses, group.grades) == (("a", "b"), (9.0, 1.0))
    assert rated_attributes(rows) == ["help", "tone"]


def test_overall_is_the_score_where_all_have_it() -> None:
    assert overall_ratings([rated("p", "a", score=7, help=0), rated("p", "b", score=5, help=9)]).tolist() == [7, 5]
    assert overall_ratings([rated("p", "a", truth=3), rated("p", "b", truth=1)]).tolist() == [3, 1]


def test_overall_weighs_attributes_alike_whatever_their_scale() -> None:
    # By a plain mean the second would win (51 against 5.5), by the scale of `percent` alone.
    rows = [rated("p", "a", stars=5, percent=6), rated("p", "b", stars=1, percent=10), rated("p", "c", stars=3)]
    overall = overall_ratings(rows)
    spread = np.std([5, 1, 3])
    np.testing.assert_allclose(overall, [(2 / spread - 1) / 2, (-2 / spread + 1) / 2, 0.0], atol=1e-12)
    assert overall[0] > overall[1]


def test_an_attribute_that_is_the_same_everywhere_says_nothing() -> None:
    np.testing.assert_allclose(overall_ratings([rated("p", "a", x=1, y=3), rated("p", "b", x=3, y=3)]), [-0.5, 0.5])


def test_a_score_that_some_ratings_lack_is_one_attribute_of_several() -> None:
    overall = overall_ratings([rated("p", "a", score=100), rated("p", "b", help=1), rated("p", "c", score=0, help=3)])
    np.testing.assert_allclose(overall, [1.0, -1.0, 0.0])


@pytest.mark.parametrize("count", [1, 2, 30])
def test_pairs_are_all_pairs_of_different_grade(count: int) -> None:
    grades = tuple(float(number % 4) for number in range(count))
    row = Ranking(prompt="p", responses=tuple(map(str, range(count))), scores=grades)
    (group,) = row_preferences([row])
    assert isinstance(group, GradedGroup)
    found = {(pair.better, pair.worse) for pair in group.pairs()}
    assert found == {(a, b) for a in range(count) for b in range(count) if grades[a] > grades[b]}
