"""Exports of annotation tools: several annotators and questions to a record."""

from __future__ import annotations

from typing import Any

import pytest

from guerdon.data.formats import read_record
from guerdon.data.source import Source
from guerdon.errors import DataError
from guerdon.types import AnyRow, Comparison, Ranking, Rating


def read(record: dict[str, Any], reading: Source | None = None) -> AnyRow:
    (row,) = read_record(record, None, reading)
    return row


def comparison(chosen: str = "good", rejected: str = "bad", **more: Any) -> Comparison:
    return Comparison(prompt="Q?", chosen=chosen, rejected=rejected, **more)


def pairwise(*selected: Any, cancelled: int = 0) -> dict[str, Any]:
    annotations = [
        {"was_cancelled": at < cancelled, "result": [{"type": "pairwise", "value": {"selected": value}}]}
        for at, value in enumerate(selected)
    ]
    return {"id": 3, "data": {"prompt": "Q?", "answer1": "good", "answer2": "bad"}, "annotations": annotations}


def test_label_studio_pools_its_annotators() -> None:
    assert read(pairwise("left")) == comparison(id="3")
    assert read(pairwise("right")) == comparison(chosen="bad", rejected="good", id="3")
    assert read(pairwise("left", "left", "right", "left")) == comparison(
        preference=0.75, id="3", extra={"votes": [3, 1, 0]}
    )
    assert read(pairwise("left", "right", "right")) == comparison(
        "bad", "good", preference=pytest.approx(2 / 3), id="3", extra={"votes": [2, 1, 0]}
    )
    assert read(pairwise("right", "left", cancelled=1)) == comparison(id="3")
    choice = pairwise()
    choice["annotations"] = [{"result": [{"type": "choices", "value": {"choices": ["answer2"]}}]}]
    assert read(choice) == comparison(chosen="bad", rejected="good", id="3")
    with pytest.raises(DataError, match="no finished judgement"):
        read(pairwise())
    with pytest.raises(DataError, match="the verdict 'perhaps'; known: left/right"):
        read(pairwise("perhaps"))


def test_label_studio_ratings_and_flat_exports() -> None:
    record = {
        "data": {"prompt": "Q?", "response": "a", "topic": "t"},
        "annotations": [{"result": [{"value": {"rating": 4}}]}, {"result": [{"value": {"rating": 5}}]}],
    }
    assert read(record) == Rating(prompt="Q?", response="a", scores={"score": 4.5}, extra={"topic": "t"})
    flat = {"prompt": "Q?", "answer1": "bad", "answer2": "good", "comparison": "right"}
    assert read(flat) == comparison()


def answers(*values: Any, status: str = "submitted") -> list[dict[str, Any]]:
    return [{"user_id": str(at), "value": value, "status": status} for at, value in enumerate(values)]


def test_argilla_rankings() -> None:
    first = [{"value": "response-1", "rank": 1}, {"value": "response-2", "rank": 2}]
    second = {"value": ["response-2", "response-1"], "rank": [1, 2]}
    table = {"prompt": "Q?", "response-1": "a", "response-2": "b", "order": answers(first, first, second)}
    row = read(table | {"order-suggestion": None, "order-suggestion-metadata": {"type": None}, "metadata": "{}"})
    assert isinstance(row, Ranking)
    assert row.responses == ("a", "b")
    assert row.scores == pytest.approx((-4 / 3, -5 / 3))
    assert dict(row.extra) == {"metadata": "{}"}


def test_argilla_labels_and_ratings() -> None:
    shown = {"instruction": "Q?", "response_a": "good", "response_b": "bad"}
    record = {
        "id": "x",
        "fields": shown,
        "responses": {"best": answers("response_a", "response_b", "response_a", "tie")},
    }
    assert read(record) == comparison(preference=0.625, id="x", extra={"votes": [2, 1, 1]})
    table = {"prompt": "Q?", "response": "a", "helpful.responses": [4, 2, 1], "clear.responses": [5, 5, 5]}
    table |= {
        "helpful.responses.status": ["submitted", "submitted", "draft"],
        "helpful.responses.users": ["1", "2", "3"],
    }
    assert read(table) == Rating(prompt="Q?", response="a", scores={"helpful": 3.0, "clear": 5.0})
    old = {"prompt": "Q?", "response": "a", "helpful": {"user_id": ["1"], "value": [4], "status": ["submitted"]}}
    assert read(old | {"helpful-suggestion": 3}) == Rating(prompt="Q?", response="a", scores={"helpful": 4.0})


def test_argilla_without_a_submitted_answer_is_a_fault() -> None:
    fields = {"prompt": "Q?", "response": "a"}
    with pytest.raises(DataError, match=r"no submitted answer to any question \(helpful\)"):
        read({"fields": fields, "responses": {"helpful": answers(4, status="draft")}})
    with pytest.raises(DataError, match="0 response fields"):
        read({"fields": {"prompt": "Q?"}, "responses": {"helpful": answers(4)}})


TWO = {"prompt": "Q?", "response-1": "good", "response-2": "bad"}


def test_of_several_questions_that_could_be_the_preference_none_is_taken() -> None:
    record = {"fields": TWO, "responses": {"wordier": answers("response-2"), "better": answers("response-1")}}
    with pytest.raises(DataError, match="preferred: wordier, better. Fix: choose one, --question NAME"):
        read(record)
    row = read(record, Source("better"))
    assert (row.chosen, dict(row.extra)) == ("good", {"wordier": "response-2"})
    with pytest.raises(DataError, match="nobody finished the question 'nicest'; finished: wordier, better"):
        read(record, Source("nicest"))
    ranking = {"fields": TWO, "responses": {"order": answers([{"value": "response-1"}, {"value": "response-2"}])}}
    ranking["responses"]["better"] = answers("response-2")
    with pytest.raises(DataError, match="order, better"):
        read(ranking)


def test_one_question_in_one_record_and_another_in_the_next_are_not_mixed() -> None:
    question = Source()
    assert read({"fields": TWO, "responses": {"wordier": answers("response-2")}}, question).chosen == "bad"
    with pytest.raises(DataError, match="wordier, better"):
        read({"fields": TWO, "responses": {"better": answers("response-1")}}, question)


def test_ratings_become_attributes_by_name_and_free_text_is_kept() -> None:
    shown = {"prompt": "Q?", "response": "a"}
    responses = {"quality": answers(4, 5), "tone": answers(1), "notes": answers("fine", "good work")}
    row = read({"fields": shown, "responses": responses})
    assert row == Rating(
        prompt="Q?", response="a", scores={"quality": 4.5, "tone": 1.0}, extra={"notes": ["fine", "good work"]}
    )
    row = read({"fields": shown, "responses": responses}, Source("tone"))
    assert row.scores == {"tone": 1.0}
    assert row.extra["quality"] == [4, 5]
    with pytest.raises(DataError, match=r"no question rates the response with a number \(questions: notes\)"):
        read({"fields": shown, "responses": {"notes": answers("fine")}})
    pair = {"fields": TWO, "responses": {"better": answers("response-1"), "sure": answers(2), "why": answers("fair")}}
    assert dict(read(pair).extra) == {"sure": 2, "why": "fair"}


def studio(data: dict[str, Any], *results: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"data": data, "annotations": [{"result": [{"from_name": name, "value": value} for name, value in results]}]}


def test_label_studio_controls_are_not_pooled() -> None:
    rated = studio(
        {"prompt": "Q?", "response": "a"},
        ("helpful", {"rating": 4}),
        ("safe", {"rating": 1}),
        ("why", {"text": ["short"]}),
        ("kind", {"choices": ["essay"]}),
    )
    assert read(rated) == Rating(
        prompt="Q?", response="a", scores={"helpful": 4.0, "safe": 1.0}, extra={"why": "short", "kind": "essay"}
    )
    pair = studio(
        {"prompt": "Q?", "answer1": "good", "answer2": "bad"},
        ("better", {"selected": "left"}),
        ("longer", {"choices": ["answer2"]}),
        ("note", {"text": ["no"]}),
    )
    with pytest.raises(DataError, match="better, longer"):
        read(pair)
    assert read(pair, Source("better")) == comparison(extra={"longer": "answer2", "note": "no"})
