from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guerdon.collect.kinds.asking import AnswerError, Question, Task
from guerdon.collect.kinds.spans import SpansQuestion
from guerdon.collect.kinds.step_labels import StepsQuestion
from guerdon.collect.questions import KINDS, LANGUAGES, parse_question, read_project
from guerdon.collect.web.site import texts
from guerdon.errors import ConfigError
from guerdon.types import Comparison, Ranking, Rating, Reference, Steps

TASK = Task("How long?", ("Eight minutes.", "It depends."))


def asked(kind: str, **options: Any) -> Question:
    return parse_question({"kind": kind, "name": "q", **options})


@pytest.mark.parametrize(
    ("choice", "answer"),
    [
        ("0-1", {"choice": 0, "strength": 1}),
        ("1-3", {"choice": 1, "strength": 3}),
        ("tie", {"choice": "tie"}),
        ("bad", {"choice": "bad"}),
    ],
)
def test_a_choice_is_read(choice: str, answer: Any) -> None:
    assert asked("pairwise").answer({"q.choice": choice}, TASK) == answer


@pytest.mark.parametrize("choice", ["", "0", "0-0", "0-4", "2-1", "0-1-1", "tie-1", "0-²", "-1"])
def test_what_is_no_choice(choice: str) -> None:
    with pytest.raises(AnswerError):
        asked("pairwise").answer({"q.choice": choice}, TASK)
    with pytest.raises(AnswerError):
        asked("pairwise", ties=False).answer({"q.choice": "tie"}, TASK)


@pytest.mark.parametrize(
    ("answers", "chosen", "preference", "margin", "extra"),
    [
        ([(0, 2)], 0, 1.0, 2.0, {}),
        ([(1, 3)], 1, 1.0, 3.0, {}),
        ([("tie", 0)], 0, 0.5, None, {}),
        ([("bad", 0)], 0, 0.5, None, {"both_bad": True}),
        ([(1, 1), (1, 3), (0, 1), ("tie", 0)], 1, 0.625, 0.75, {"votes": [2, 1, 1]}),
        ([(0, 3), (1, 3)], 0, 0.5, None, {"votes": [1, 1, 0]}),
        ([("bad", 0), ("tie", 0)], 0, 0.5, None, {"votes": [0, 0, 2]}),
    ],
)
def test_choices_become_comparisons(answers: Any, chosen: int, preference: float, margin: Any, extra: Any) -> None:
    given = [{"choice": choice} | ({"strength": strength} if strength else {}) for choice, strength in answers]
    (row,) = asked("pairwise").rows(TASK, given, {"subset": "eggs", "extra": {"own": 1}})
    assert isinstance(row, Comparison)
    assert (row.chosen, row.preference, row.margin) == (TASK.responses[chosen], preference, margin)
    assert row.subset == "eggs"
    assert row.extra == {"own": 1} | extra


def test_ratings() -> None:
    question = asked("rating", attributes=["helpful", "brief"], scale=7)
    form = {"q.0.0": "7", "q.0.1": "1", "q.1.0": "2", "q.1.1": "3"}
    answer = question.answer(form, TASK)
    assert answer == [{"helpful": 7, "brief": 1}, {"helpful": 2, "brief": 3}]
    assert question.moved(answer, [1, 0]) == answer[::-1]
    other = [{"helpful": 5, "brief": 2}, {"helpful": 2, "brief": 3}]
    rows = question.rows(TASK, [answer, other], {})
    assert [row.scores for row in rows if isinstance(row, Rating)] == [
        {"helpful": 6, "brief": 1.5},
        {"helpful": 2, "brief": 3},
    ]
    for wrong in ({}, form | {"q.1.1": ""}, form | {"q.1.1": "8"}, form | {"q.1.1": "0"}, form | {"q.1.1": "٣"}):
        with pytest.raises(AnswerError, match=r"q: \w+ is not rated"):
            question.answer(wrong, TASK)


@pytest.mark.parametrize("kind", KINDS)
def test_options_make_the_same_question_again(kind: str) -> None:
    question = asked(kind, text={"zh": "哪个好？"})
    assert parse_question(question.options()) == question
    assert question.asked("en") == question.asked("zh") == "哪个好？"


def test_a_question_file(tmp_path: Path) -> None:
    path = tmp_path / "q.toml"
    path.write_text(
        'title = "Eggs"\nguidelines = "Be *fair*."\n'
        '[[questions]]\nkind = "pairwise"\nname = "truth"\ntext = "Which is truer?"\nstrengths = 1\n'
        '[[questions]]\nkind = "pairwise"\nname = "style"\n'
        '[[questions]]\nkind = "rating"\nattributes = ["brief"]\n'
    )
    project = read_project(path)
    assert (project.title, project.guidelines, project.takes) == ("Eggs", "Be *fair*.", "pair")
    assert [question.name for question in project.questions] == ["truth", "style", "quality"]
    assert project.questions[0].asked("zh") == "Which is truer?"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", r"no \[\[questions\]\]"),
        ("a = 1\n[[questions]]\nkind = 'rating'", "it has a"),
        ("[[questions]]\nkind = 'guess'", "a question needs a kind"),
        ("[[questions]]\nkind = 'rating'\nscale = 99", "scale must be a whole number from 2 to 9"),
        ("[[questions]]\nkind = 'rating'\nattributes = []", "attributes must be different names"),
        ("[[questions]]\nkind = 'rating'\nname = 'a.b'", "the name of a question"),
        ("[[questions]]\nkind = 'rating'\ncolour = 'red'", "colour is not known"),
        ("[[questions]]\nkind = 'rating'\n[[questions]]\nkind = 'rating'", "two questions have the name quality"),
        ("[[questions]]\nkind = 'pairwise'\nstrengths = true", "whole number"),
        ("not toml", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, fault: str, tmp_path: Path) -> None:
    path = tmp_path / "q.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        read_project(path)


def test_both_languages_have_the_same_words() -> None:
    words = texts()
    assert set(words) == set(LANGUAGES)
    assert words["en"].keys() == words["zh"].keys()
    for name, text in words["en"].items():
        assert text.count("{") == words["zh"][name].count("{"), name
    for kind in KINDS:
        assert f"ask_{kind}" in words["en"]


def test_rankings() -> None:
    question, task = asked("ranking"), Task("p", ("a", "b", "c", "d"))
    assert question.answer({"q.0": "2", "q.1": "", "q.2": "1", "q.3": "4"}, task) == [2, None, 1, 3]
    assert question.answer({"q.0": "2", "q.1": "2", "q.2": "2"}, task) == [1, 1, 1, None]
    for wrong in ({}, {"q.0": "1"}, {"q.0": "1", "q.1": "5"}, {"q.0": "0", "q.1": "1"}, {"q.0": "x", "q.1": "1"}):
        with pytest.raises(AnswerError):
            question.answer(wrong, task)
    (row,) = question.rows(task, [[2, None, 1, 3]], {})
    assert isinstance(row, Ranking)
    assert (row.responses, row.scores) == (("a", "c", "d"), (1, 2, 0))
    (row,) = question.rows(task, [[1, 2, 3, None], [2, 1, 3, 4]], {})
    assert isinstance(row, Ranking)
    assert (row.responses, row.scores) == (("a", "b", "c"), (1.5, 1.5, 0))
    assert question.rows(task, [[1, 2, None, None], [None, None, 1, 2]], {}) == []
    assert question.moved([1, 2, None, 3], [3, 2, 1, 0]) == [3, None, 2, 1]


def test_steps() -> None:
    question = asked("steps")
    assert isinstance(question, StepsQuestion)
    parts = question.parts
    task = Task("2 + 3 * 4?", ("2 + 3 = 5\n\n\n5 * 4 = 20\n\n \n\nSo 20.",))
    assert parts(task) == ("2 + 3 = 5", "5 * 4 = 20", "So 20.")
    assert question.answer({"q.0": "right", "q.1": "wrong"}, task) == [1, 0, None]
    assert question.answer({"q.0": "right", "q.1": "right", "q.2": "wrong"}, task) == [1, 1, 0]
    for wrong in ({}, {"q.0": "right"}, {"q.0": "right", "q.2": "wrong"}, {"q.0": "maybe"}):
        with pytest.raises(AnswerError):
            question.answer(wrong, task)
    (row,) = question.rows(task, [[1, 0, None], [1, 1, 0]], {"id": "7"})
    assert row == Steps(prompt=task.prompt, steps=parts(task), labels=(1, 0.5, 0), id="7")
    apart = Task("p", ("a\n\nb\n\nc",), steps=("a\n\nb", "c"))
    assert parts(apart) == ("a\n\nb", "c")


def test_rewriting_makes_a_reference() -> None:
    question, task = asked("rewrite"), Task("How long?", ("It depends.",), {"reference": "8"})
    assert question.answer({"q.text": " Eight minutes. \n"}, task) == "Eight minutes."
    with pytest.raises(AnswerError, match="1 to"):
        question.answer({"q.text": " \n"}, task)
    rows = question.rows(task, ["Eight minutes.", "It depends."], dict(task.about))
    assert rows == [
        Reference(prompt="How long?", reference="Eight minutes.", generated=("It depends.",)),
        Reference(prompt="How long?", reference="It depends."),
    ]
    assert question.equal("a  b", "a b\n")


def test_spans_count_characters() -> None:
    question, task = asked("spans"), Task("p", ("🦊🦊 is\r\nwrong 狐",))
    text = task.responses[0]
    browser = [{"start": 2, "end": 4, "label": "minor"}, {"start": 8, "end": 15, "label": "major"}]
    answer = question.answer({"q.marks": json.dumps(browser)}, task)
    assert [text[one["start"] : one["end"]] for one in answer] == ["🦊", "wrong 狐"]
    assert isinstance(question, SpansQuestion)
    assert json.loads(question.marks(task, answer)) == browser
    (row,) = question.rows(task, [answer], {})
    assert isinstance(row, Rating)
    assert row.scores == {"score": -6}
    assert row.extra["spans"] == answer
    assert question.answer({}, task) == []
    wrong = [{"start": 3, "end": 4}, {"start": 0, "end": 0}, {"start": 0, "end": 99}, {"end": 2, "label": "other"}]
    marks = [json.dumps([{"start": 0, "label": "minor"} | one]) for one in wrong]
    for text in (*marks, "{", "[1]", "[" * 9999):
        with pytest.raises(AnswerError):
            question.answer({"q.marks": text}, task)


@pytest.mark.parametrize("kind", KINDS)
def test_moving_there_and_back_changes_nothing(kind: str) -> None:
    answers: dict[str, list[Any]] = {
        "pairwise": [{"choice": 0, "strength": 1}, {"choice": "tie"}],
        "rating": [[{"score": 1}, {"score": 2}]],
        "ranking": [[1, None], [2, 1]],
        "steps": [[1, 0]],
        "rewrite": ["x"],
        "spans": [[]],
    }
    for answer in answers[kind]:
        for places in ((0, 1), (1, 0)):
            back = [places.index(place) for place in range(2)]
            assert asked(kind).moved(asked(kind).moved(answer, places), back) == answer
