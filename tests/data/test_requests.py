"""What a row asks to have scored."""

from __future__ import annotations

import pytest

from guerdon.data.requests import requests_of
from guerdon.errors import DataError
from guerdon.types import Message


def test_votes_do_not_make_chosen_and_rejected_change_places() -> None:
    (request,) = requests_of({"prompt": "p", "chosen": "c", "rejected": "r", "votes": [0, 5, 0], "preference": 0.1})
    assert request.texts == ("c", "r")


def test_known_layouts_are_read() -> None:
    user, good, bad = (
        {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "a"), ("assistant", "b"))
    )
    (implicit,) = requests_of({"chosen": [user, good], "rejected": [user, bad]})
    assert (implicit.prompt, implicit.texts) == ((Message("user", "q"),), ("a", "b"))
    (alpaca,) = requests_of({"instruction": "do", "input": "this", "output": "done"})
    assert (alpaca.prompt, alpaca.texts) == ("do\n\nthis", ("done",))
    (verdict,) = requests_of({"prompt": "p", "response_1": "x", "response_2": "y", "preference": "2"})
    assert verdict.record["chosen"] == "y"
    assert verdict.columns.keys() == {"score_chosen", "score_rejected"}


@pytest.mark.parametrize(
    "record",
    [{"prompt": "p"}, {"response": "r"}, {"prompt": "p", "response": ""}, {"prompt": "p", "responses": []}, {"x": 1}],
)
def test_what_cannot_be_scored_is_refused(record: dict) -> None:
    with pytest.raises(DataError):
        requests_of(record)
