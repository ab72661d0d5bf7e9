"""The shortest edit that flips a preference: right where it is known, within its budget, honest where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.explain.flips import shortest_flip
from guerdon.explain.target import Target
from guerdon.explain.units import Case
from scorers_to_explain import FirstPlace, Words

FILL = " ".join(["so"] * 20)


def test_the_fewest_words_are_found() -> None:
    scorer = Words(good=2.0, fine=1.0, kind=1.0, bad=-1.0)
    case = Case("?", f"good {FILL} fine kind bad", "fine")
    found = shortest_flip(Target(scorer), case)
    assert found is not None
    assert found.found
    assert found.winner == "response"
    edited = [case.response[unit.start : unit.stop].strip() for unit in found.edited]
    assert edited[0] == "good"  # of 3 against 1, its loss makes 1 against 1; one more word flips it
    assert found.edited_words == {"response": 2, "other": 0}  # the other has one word, and 30% of it is none
    assert found.in_place == {"response": "", "other": ""}
    assert (found.before, found.after) == (2, -1)
    assert "good" not in found.texts["response"]
    assert found.texts["response"].split().count("so") == 20
    assert found.texts["other"] == "fine"
    assert found.passes <= 200
    assert found.words == {"response": 24, "other": 1}
    assert "leaving out 2 of 24 words (8%) of this response, the other response would win" in found.sentence


def test_a_word_of_the_other_response_stands_in_where_leaving_out_is_not_enough() -> None:
    case = Case("?", f"good good {FILL} so", f"{FILL} bad bad bad")  # 2 against -6, and at most 0 against 0
    found = shortest_flip(Target(Words(good=1.0, bad=-2.0)), case, most_share=0.2)
    assert found is not None
    assert (found.found, found.in_place) == (True, {"response": "", "other": "good"})
    assert found.texts == {"response": case.response, "other": f"{FILL} good good good"}
    assert (found.edited_words, found.before, found.after) == ({"response": 0, "other": 3}, 8, -1)
    assert 'putting "good" in place of 3 of 23 words (13%) of the other response' in found.sentence


def test_chinese_words_stand_in_too() -> None:
    class Marked:
        def score(self, prompts: list[str], responses: list[str], **_: object) -> np.ndarray:
            return np.float32([text.count("好") - 2 * text.count("坏") for text in responses])

    found = shortest_flip(Target(Marked()), Case("?", "好好今天天气很晴朗", "坏今天天气也很晴朗"))
    assert found is not None
    assert (found.found, found.in_place["response"]) == (True, "坏")
    assert found.after < 0


def test_words_are_taken_from_the_winner_whichever_it_is() -> None:
    found = shortest_flip(Target(Words(good=1.0)), Case("?", "x", "y good z w"), most_share=0.5)
    assert found is not None
    assert (found.found, found.winner, found.after) == (False, "other", 0)  # equal is no win
    judged = shortest_flip(Target(FirstPlace()), Case("?", "a bb ccc dddd eeee", "fffffffffffffff"))
    assert judged is not None
    assert judged.found
    assert judged.passes <= 200


@pytest.mark.parametrize("swapped", [False, True])
def test_words_that_speak_against_the_loser_are_left_out_too(swapped: bool) -> None:
    case = Case("?", f"good {FILL}", f"good bad {FILL}")  # 1 against -2
    found = shortest_flip(Target(Words(good=1.0, bad=-3.0)), case.swapped() if swapped else case)
    assert found is not None
    assert (found.found, found.before) == (True, 3)
    loser, winner = ("response", "other") if swapped else ("other", "response")
    assert (found.winner, found.after) == (winner, -1)
    assert found.edited_words == {loser: 1, winner: 0}
    assert found.in_place[loser] == "good"
    assert found.texts == {loser: f"good good {FILL}", winner: f"good {FILL}"}
    assert {unit.part for unit in found.edited} == {loser}
    assert "1 of 22 words (5%) of" in found.sentence


def test_words_that_only_count_together_are_found() -> None:
    class Both:
        """Either of two words is enough."""

        def score(self, prompts: list[str], responses: list[str], **_: object) -> np.ndarray:
            return np.float32([("cat" in text or "dog" in text) + 0.01 * text.count("so") for text in responses])

    found = shortest_flip(Target(Both()), Case("?", f"a cat, a dog {FILL}", f"none of it {FILL}"))
    assert found is not None
    assert found.found


def test_a_search_that_fails_says_so_and_keeps_its_limits() -> None:
    target = Target(Words(so=1.0))
    found = shortest_flip(target, Case("?", " ".join(["so"] * 300), ""), budget=120)
    assert found is not None
    assert not found.found
    assert target.passes <= found.passes <= 120
    assert found.edited_words["response"] <= 90
    assert "No edit was found" in found.sentence


@pytest.mark.parametrize("budget", [3, 10, 200])
def test_the_budget_is_kept(budget: int) -> None:
    for target in (Target(Words(so=0.1, yes=5.0)), Target(FirstPlace())):
        found = shortest_flip(target, Case("?", f"{FILL} yes", "so so so so"), budget=budget)
        assert found is not None
        assert target.passes <= found.passes <= budget


def test_without_a_preference_there_is_none() -> None:
    assert shortest_flip(Target(Words()), Case("?", "a", "b")) is None

    class Nothing:
        def score(self, prompts: list[str], responses: list[str], **_: object) -> np.ndarray:
            return np.full(len(responses), np.nan, dtype=np.float32)

    assert shortest_flip(Target(Nothing()), Case("?", "a", "b")) is None
