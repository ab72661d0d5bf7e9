"""What people write to say which response is better, and whether one is good."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

from guerdon.data.formats import LAYOUTS, read_record
from guerdon.data.verdicts import VERDICTS, goodness
from guerdon.errors import DataError, GuerdonError
from guerdon.types import Comparison, Ranking, Rating

TWO = {"prompt": "Q?", "response_a": "an oak", "response_b": "a wren"}


def share(verdict: Any, column: str = "label", two: dict[str, Any] = TWO) -> tuple[str, float]:
    (row,) = read_record(two | {column: verdict})
    assert isinstance(row, Comparison)
    return row.chosen, row.preference


@pytest.mark.parametrize(
    "verdict",
    [
        *("B", "b", "2", 2, 2.0, "model_b", "response_b", "Response B", "assistant B", "[[B]]", "B>A", "A<B", "A << B"),
        *(
            "[[B>>A]]",
            "right",
            "second",
            "B is better",
            "Response B is slightly better",
            "b wins",
            ["b"],
            "a wren",
            0.0001,
        ),
    ],
)
def test_the_second_is_preferred(verdict: Any) -> None:
    chosen, preference = share(verdict)
    assert chosen == "a wren"
    assert preference == (1.0 if verdict != 0.0001 else 1 - 0.0001)


@pytest.mark.parametrize(
    "verdict", ["A", 1, "model_a", "[[A]]", "A>>B", "left", "The first response is better", "an oak"]
)
def test_the_first_is_preferred(verdict: Any) -> None:
    assert share(verdict) == ("an oak", 1.0)


@pytest.mark.parametrize("verdict", ["tie", "Tie", "[[C]]", "A=B", "equal", "about the same", "neither", 0.5, "0.5"])
def test_neither_is_preferred(verdict: Any) -> None:
    assert share(verdict) == ("an oak", 0.5)


@pytest.mark.parametrize("column", VERDICTS)
def test_every_column_of_verdicts_is_one(column: str) -> None:
    assert share("B", column) == ("a wren", 1.0)


def test_the_name_of_a_side_goes_before_the_text_of_a_response() -> None:
    choices = {"prompt": "Which is a bird?", "response_a": "B", "response_b": "A"}
    assert share("A", "winner", choices) == ("B", 1.0)


def test_shares_are_kept() -> None:
    assert share(0.8, "preference") == ("an oak", 0.8)
    assert share("0,25", "preference") == ("a wren", 0.75)
    assert share(0, "probability") == ("a wren", 1.0)
    assert share(1, "probability") == ("an oak", 1.0)
    with pytest.raises(DataError, match="the preference is 1.5; it must lie between 0 and 1"):
        share(1.5, "probability")


@pytest.mark.parametrize("verdict", [0, "0", 0.0, -1, "-1", 3, 1.5])
def test_a_number_that_may_mean_several_things_is_refused(verdict: Any) -> None:
    """Counted from 0, a share, or a strength: 1 and 2 alone are how people count two."""
    with pytest.raises(
        DataError, match=r"column 'label' holds the verdict .* Fix: write response_a, response_b or tie"
    ):
        share(verdict)


def test_sides_counted_from_zero_say_so_by_their_names() -> None:
    two = {"prompt": "Q?", "response_0": "an oak", "response_1": "a wren"}
    assert share(0, "better_response_id", two | {"safer_response_id": 1}) == ("an oak", 1.0)
    assert share(1, "label", two) == ("a wren", 1.0)


def test_no_verdict_is_called_that() -> None:
    for missing in ({"winner": None}, {"winner": None, "note": "x"}):
        with pytest.raises(DataError, match="column 'winner' is missing or null"):
            read_record(TWO | missing)
    with pytest.raises(DataError, match="column 'response_b' is missing or null"):
        read_record(TWO | {"winner": "a", "response_b": None})


@pytest.mark.parametrize(
    "two",
    [
        TWO | {"score_a": 1, "score_b": 3},
        {"question": {"full_text": "Q?"}, "answer_0": "an oak", "answer_1": "a wren", "score_0": -1.0, "score_1": 1.0},
        {"prompt": "Q?", "response1": "an oak", "response2": "a wren", "rating1": "2", "rating2": "4"},
        {"prompt": "Q?", "responses": [{"text": "an oak", "score": 1}, {"text": "a wren", "score": 3}]},
        {"prompt": "Q?", "answers": [{"answer": "an oak", "rank": 2}, {"answer": "a wren", "rank": 1}]},
        {"prompt": "Q?", "responses": ["an oak", "a wren"], "ranks": [2, 1]},
    ],
)
def test_scores_and_ranks_of_several_responses(two: dict[str, Any]) -> None:
    (row,) = read_record(two)
    assert isinstance(row, Ranking)
    assert (row.prompt, row.responses) == ("Q?", ("an oak", "a wren"))
    assert row.scores[0] < row.scores[1]


@pytest.mark.parametrize("column", ["rating", "reward", "grade", "stars"])
def test_scores_under_other_names(column: str) -> None:
    (row,) = read_record({"prompt": "Q?", "response": "a", column: "4"})
    assert isinstance(row, Rating)
    assert row.scores == {"score": 4.0}
    (row,) = read_record({"prompt": "Q?", "response": "a", column: {"clear": 2, "true": None}})
    assert isinstance(row, Rating)
    assert row.scores == {"clear": 2.0}
    (row,) = read_record({"prompt": "Q?", "response": "a", "score": 1, column: 4})
    assert isinstance(row, Rating)
    assert (row.scores, row.extra) == ({"score": 1.0}, {column: 4})


@pytest.mark.parametrize(
    ("label", "value"),
    [
        ("positive", 1),
        ("Good", 1),
        ("chosen", 1),
        ("👍", 1),
        ("thumbs_up", 1),
        ("rejected", 0),
        ("👎", 0),
        ("-", 0),
        (1, 1),
    ],
)
def test_words_for_good_and_bad(label: Any, value: float) -> None:
    assert goodness(label, "label") == value
    (row,) = read_record({"prompt": "Q?", "completion": "a", "label": label})
    assert isinstance(row, Rating)
    assert row.scores == {"score": value}


def test_people_of_reddit_and_of_summaries() -> None:
    shp = {"post_id": "1", "domain": "askcooking", "history": "Why?", "human_ref_A": "x", "human_ref_B": "y"}
    (row,) = read_record(shp | {"labels": 0, "score_A": 2, "score_B": 5})
    assert row == Comparison(
        prompt="Why?", chosen="y", rejected="x", subset="askcooking", extra={"post_id": "1", "score_A": 2, "score_B": 5}
    )
    info = {"id": "t3", "title": "Help", "post": "A long story."}
    (row,) = read_record({"info": info, "summaries": [{"text": "x", "policy": "p"}, {"text": "y"}], "choice": 1})
    assert row == Comparison(prompt="Help\n\nA long story.", chosen="y", rejected="x", id="t3")


ODD: tuple[Any, ...] = (
    *(None, "", "x", 0, 2.5, True, float("nan"), b"x", [], [1], ["a", "b"], [None], [[]], [{}], {}, {"a": 1}),
    *(
        [{"role": "user"}],
        [{"role": "user", "content": "q"}],
        {"role": [], "content": []},
        {"messages": []},
        "[1]",
        "[",
    ),
    *([["a", "b"]], {"steps": [{}]}, {"steps": [{"completions": [{}]}]}, {"problem": "p"}, [{"0": "a"}]),
)


@pytest.mark.parametrize("name", sorted({layout.name for layout in LAYOUTS}))
def test_whatever_stands_in_a_column_is_read_or_refused(name: str) -> None:
    layout = next(one for one in LAYOUTS if one.name == name)
    base: dict[str, Any] = {needed[0]: "some text here" for needed in layout.needs}
    base |= {f"x{ending}": "y" for ending in layout.endings[:1]}
    others = ("system", "history", "margin", "votes", "generated", "id", "reward_model", "score_chosen", "guerdon_text")
    for column in (*base, *others):
        for value in ODD:
            with contextlib.suppress(GuerdonError):
                read_record(base | {column: value})
