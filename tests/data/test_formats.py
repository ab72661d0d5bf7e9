from __future__ import annotations

from typing import Any

import pytest

from guerdon.data.formats import LAYOUTS, LayoutError, known_layouts, read_record
from guerdon.data.values import Question
from guerdon.errors import DataError
from guerdon.types import AnyRow, Comparison, Message, Origin, Ranking, Rating, Reference

USER = {"role": "user", "content": "Q?"}
CHAT = (Message("user", "Q?"),)
LONG = (Message("user", "Q?"), Message("assistant", "Hm."), Message("user", "And?"))


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(record: dict[str, Any], question: Question | None = None) -> AnyRow:
    (row,) = read_record(record, None, question)
    return row


def comparison(prompt: Any = "Q?", chosen: str = "good", rejected: str = "bad", **more: Any) -> Comparison:
    return Comparison(prompt=prompt, chosen=chosen, rejected=rejected, **more)


OWN: dict[str, tuple[dict[str, Any], AnyRow]] = {
    "comparison": ({"prompt": "Q?", "chosen": "good", "rejected": "bad"}, comparison()),
    "with everything": (
        {"prompt": "Q?", "chosen": "good", "rejected": "bad", "margin": 2, "preference": 0.75, "subset": "s", "id": 7}
        | {"group": "g", "reference": "r", "source": "x", "nothing": None},
        comparison(margin=2.0, preference=0.75, subset="s", id="7", group="g", reference="r", extra={"source": "x"}),
    ),
    "chat": ({"prompt": [USER], "chosen": "good", "rejected": "bad"}, comparison(CHAT)),
    "tie": ({"prompt": "Q?", "chosen": "good", "rejected": "bad", "preference": 0.5}, comparison(preference=0.5)),
    "preference turned round": (
        {"prompt": "Q?", "chosen": "bad", "rejected": "good", "preference": 0.25},
        comparison(preference=0.75),
    ),
    "votes": (
        {"prompt": "Q?", "chosen": "good", "rejected": "bad", "votes": [2, 1, 1]},
        comparison(preference=0.625, extra={"votes": [2, 1, 1]}),
    ),
    "votes against the label soften it": (
        {"prompt": "Q?", "chosen": "bad", "rejected": "good", "votes": [1, 4, 0]},
        comparison(chosen="bad", rejected="good", preference=0.5 + 0.5 / 6, extra={"votes": [1, 4, 0]}),
    ),
    "rating": (
        {"prompt": "Q?", "response": "a", "score": "1.5"},
        Rating(prompt="Q?", response="a", scores={"score": 1.5}),
    ),
    "attributes": (
        {"prompt": "Q?", "response": "a", "score": 1, "scores": {"fluent": 2, "true": None}, "reference": "r"},
        Rating(prompt="Q?", response="a", scores={"score": 1.0, "fluent": 2.0}, reference="r"),
    ),
    "ranking": (
        {"prompt": "Q?", "responses": ["a", "b"], "scores": [1, 0]},
        Ranking(prompt="Q?", responses=("a", "b"), scores=(1.0, 0.0)),
    ),
    "ranking in cells": (
        {"prompt": "Q?", "responses": '["a", "b"]', "scores": "[1, 0.5]"},
        Ranking(prompt="Q?", responses=("a", "b"), scores=(1.0, 0.5)),
    ),
    "reference": (
        {"prompt": "Q?", "reference": "r", "generated": ["a", "b"]},
        Reference(prompt="Q?", reference="r", generated=("a", "b")),
    ),
    "reference alone": ({"prompt": "Q?", "reference": "r"}, Reference(prompt="Q?", reference="r")),
    "one generated": (
        {"prompt": "Q?", "reference": "r", "generated": "[a] b"},
        Reference(prompt="Q?", reference="r", generated=("[a] b",)),
    ),
}

COMPLETIONS = [
    {"response": "a", "model": "m", "overall_score": 8.5},
    {"response": "b", "fine-grained_score": 4.0},
    {"response": "c", "annotations": {"honesty": {"Rating": "3"}, "truth": {"Rating": "N/A"}, "help": {"Rating": "4"}}},
]

PUBLISHED: dict[str, tuple[dict[str, Any], AnyRow]] = {
    "TRL implicit prompt": (
        {"chosen": [USER, said("good")], "rejected": [USER, said("bad")]},
        comparison(CHAT),
    ),
    "TRL explicit prompt": (
        {"prompt": [USER], "chosen": [said("good")], "rejected": [said("bad")]},
        comparison(CHAT),
    ),
    "TRL in CSV cells, as pandas writes them": (
        {"chosen": str([USER, said("good")]), "rejected": str([USER, said("bad")])},
        comparison(CHAT),
    ),
    "TRL unpaired": (
        {"prompt": "Q?", "completion": "a", "label": True},
        Rating(prompt="Q?", response="a", scores={"score": 1.0}),
    ),
    "OpenRLHF pair": ({"input": "Q?", "chosen": "good", "rejected": "bad"}, comparison()),
    "OpenRLHF answer": ({"input": "Q?", "label": "42"}, Reference(prompt="Q?", reference="42")),
    "OpenRLHF answer as a number": ({"input": [USER], "label": 42}, Reference(prompt=CHAT, reference="42")),
    "LLaMA-Factory ShareGPT": (
        {
            "conversations": [{"from": "system", "value": ""}, {"from": "human", "value": "Q?"}],
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        comparison(CHAT),
    ),
    "Alpaca pair": (
        {"instruction": "Sum up.", "input": "Text", "chosen": "good", "rejected": "bad"},
        comparison("Sum up.\n\nText"),
    ),
    "HelpSteer": (
        {"prompt": "Q?", "response": "a", "helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 2}
        | {"verbosity": 1},
        Rating(
            prompt="Q?",
            response="a",
            scores={"helpfulness": 3.0, "correctness": 4.0, "coherence": 4.0, "complexity": 2.0, "verbosity": 1.0},
        ),
    ),
    "HelpSteer 2 dialogue": (
        {"prompt": "Q?\n<extra_id_1>Assistant\nHm.\n<extra_id_1>User\nAnd?", "response": "a", "helpfulness": 3},
        Rating(prompt=LONG, response="a", scores={"helpfulness": 3.0}),
    ),
    "HelpSteer 2 preference, first better": (
        {"prompt": "Q?", "response_1": "good", "response_2": "bad", "preference_strength": -2},
        comparison(margin=2.0),
    ),
    "HelpSteer 2 preference, tie": (
        {"prompt": "Q?", "response_1": "good", "response_2": "bad", "preference_strength": 0},
        comparison(margin=0.0, preference=0.5),
    ),
    "HelpSteer 3": (
        {"context": [USER], "response1": "bad", "response2": "good", "overall_preference": 3, "domain": "code"},
        comparison(CHAT, margin=3.0, extra={"domain": "code"}),
    ),
    "AlpacaEval": (
        {"instruction": "Q?", "output_1": "bad", "output_2": "good", "preference": 2.0},
        comparison(),
    ),
    "Chatbot Arena": (
        {"conversation_a": [USER, said("bad")], "conversation_b": [USER, said("good")], "winner": "model_b"},
        comparison(CHAT),
    ),
    "Chatbot Arena tie": (
        {"conversation_a": [USER, said("good")], "conversation_b": [USER, said("bad")], "winner": "tie (bothbad)"},
        comparison(CHAT, preference=0.5),
    ),
    "UltraFeedback": (
        {"instruction": "Q?", "completions": COMPLETIONS, "source": "x"},
        Ranking(prompt="Q?", responses=("a", "b", "c"), scores=(8.5, 4.0, 3.5), extra={"source": "x"}),
    ),
    "UltraFeedback binarized": (
        {"prompt": "Q?", "chosen": [USER, said("good")], "rejected": [USER, said("bad")], "messages": [USER]}
        | {"score_chosen": 8.0, "score_rejected": 6.5},
        comparison(CHAT, margin=1.5, extra={"messages": [USER]}),
    ),
    "UltraFeedback binarized, equal scores": (
        {"prompt": "Q?", "chosen": [USER, said("good")], "rejected": [USER, said("bad")]}
        | {"score_chosen": 8.0, "score_rejected": 8.0},
        comparison(CHAT, margin=0.0, preference=0.5),
    ),
    "HH": (
        {
            "chosen": "\n\nHuman: Q?\n\nAssistant: Hm.\n\nHuman: And?\n\nAssistant: good",
            "rejected": "\n\nHuman: Q?\n\nAssistant: Hm.\n\nHuman: And?\n\nAssistant: bad",
        },
        comparison(LONG),
    ),
    "HH with the prompt apart": (
        {"prompt": "\n\nHuman: Q?\n\nAssistant:", "chosen": "good", "rejected": "bad"},
        comparison(CHAT),
    ),
    "distilabel": (
        {"input": "Q?", "generations": ["a", "b"], "ratings": [4, 2]},
        Ranking(prompt="Q?", responses=("a", "b"), scores=(4.0, 2.0)),
    ),
    "HumanEval": (
        {"task_id": "HumanEval/0", "prompt": "def f():", "canonical_solution": "    return 1", "test": "check(f)"},
        Reference(prompt="def f():", reference="    return 1", extra={"task_id": "HumanEval/0", "test": "check(f)"}),
    ),
    "content parts": (
        {
            "prompt": [{"role": "user", "content": [{"type": "text", "text": "Q?"}]}],
            "chosen": "good",
            "rejected": "bad",
        },
        comparison(CHAT),
    ),
}


@pytest.mark.parametrize("name", OWN | PUBLISHED)
def test_layouts(name: str) -> None:
    record, row = (OWN | PUBLISHED)[name]
    before = repr(record)
    assert read(record) == row
    assert repr(record) == before, "the record itself is not changed"


def pairwise(*selected: Any, cancelled: int = 0) -> dict[str, Any]:
    annotations = [
        {"was_cancelled": at < cancelled, "result": [{"type": "pairwise", "value": {"selected": value}}]}
        for at, value in enumerate(selected)
    ]
    return {"id": 3, "data": {"prompt": "Q?", "answer1": "good", "answer2": "bad"}, "annotations": annotations}


def test_label_studio_pools_its_annotators() -> None:
    assert read(pairwise("left")) == comparison(id="3")
    assert read(pairwise("right")) == comparison(chosen="bad", rejected="good", id="3")
    assert read(pairwise("left", "left", "right", "left")) == comparison(preference=0.75, id="3")
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
    assert read(record) == comparison(preference=0.625, id="x")
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


PAIR: dict[str, Any] = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}
RATED: dict[str, Any] = {"prompt": "Q?", "response": "a", "score": 1}
LISTED: dict[str, Any] = {"prompt": "Q?", "responses": ["a", "b"], "scores": [1, 0]}

FAULTS: list[tuple[dict[str, Any], str]] = [
    (PAIR | {"chosen": ""}, "column 'chosen' is empty"),
    (PAIR | {"rejected": " \n"}, "column 'rejected' is empty"),
    (PAIR | {"prompt": ""}, "column 'prompt' is empty"),
    (PAIR | {"chosen": None}, "column 'chosen' is missing or null"),
    (PAIR | {"chosen": 3}, "column 'chosen' must be text or a list of {role, content}, got a number"),
    (PAIR | {"prompt": 3}, "column 'prompt' must be text or a list"),
    (PAIR | {"rejected": "good "}, "chosen and rejected are the same text"),
    (PAIR | {"chosen": "a\x00b"}, "column 'chosen' holds a NUL character"),
    (PAIR | {"chosen": "a\ud83d"}, "column 'chosen' holds half a surrogate pair"),
    (PAIR | {"margin": -1}, "the margin is -1; it must not be negative"),
    (PAIR | {"margin": float("inf")}, "column 'margin' is inf"),
    (PAIR | {"margin": "much"}, "column 'margin' must be a number, got 'much'"),
    (PAIR | {"preference": 1.5}, "the preference is 1.5; it must lie between 0 and 1"),
    (PAIR | {"votes": [0, 0, 0]}, "column 'votes' must be"),
    (PAIR | {"votes": [1]}, "column 'votes' must be"),
    (PAIR | {"votes": "many"}, "column 'votes' must be a list, got text"),
    (PAIR | {"subset": {"a": 1}}, "column 'subset' must be text or a number, got an object"),
    (PAIR | {"score_chosen": 1, "score_rejected": 2}, "score_chosen is less than score_rejected by 1"),
    (PAIR | {"prompt": []}, "column 'prompt' is an empty list"),
    (PAIR | {"prompt": [{"role": "judge", "content": "x"}]}, "the role 'judge'; known: user, assistant"),
    (PAIR | {"prompt": [{"role": "user"}]}, r"column 'prompt\[0\].content' is empty"),
    (PAIR | {"prompt": ["Q?"]}, r"prompt\[0\] must be an object {role, content}, got text"),
    (PAIR | {"prompt": [USER, said("x")]}, "column 'prompt' ends with the assistant's turn"),
    (PAIR | {"prompt": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a content part that is not text"),
    ({"chosen": "good", "rejected": "bad"}, "there is no prompt"),
    ({"chosen": [USER, said("good")], "rejected": [USER | {"content": "R?"}, said("bad")]}, "differ before their last"),
    ({"chosen": [USER], "rejected": [USER]}, "column 'chosen' must end with the assistant's turn"),
    (PAIR | {"prompt": "else", "chosen": [USER, said("a")], "rejected": [USER, said("b")]}, "nothing in common"),
    (RATED | {"score": float("nan")}, "column 'score' is nan; a score must be a finite number"),
    (RATED | {"score": "good"}, "column 'score' must be a number, got 'good'"),
    (RATED | {"score": [1]}, "column 'score' must be a number, got a list"),
    (RATED | {"score": 10**400}, "column 'score' must be a number"),
    (RATED | {"scores": {"true": "x"}}, "column 'scores.true' must be a number"),
    ({"prompt": "Q?", "response": "a", "scores": {}}, "names no attribute"),
    (RATED | {"response": [USER, said("a")]}, "column 'response' must be one response, got a dialogue of 2 turns"),
    (LISTED | {"scores": [1]}, "column 'responses' has 2 responses but 1 scores"),
    (LISTED | {"responses": ["a"], "scores": [1]}, "has 1 response; a ranking needs two or more"),
    (LISTED | {"responses": [], "scores": []}, "has 0 responses; a ranking needs two or more"),
    (
        LISTED | {"scores": [1, float("nan")]},
        r"column 'the score of responses\[1\]' is nan|the score of responses\[1\]",
    ),
    ({"prompt": "Q?", "reference": ""}, "column 'reference' is empty"),
    ({"prompt": "Q?", "reference": "r", "generated": ["r"]}, "reference and a generated text are the same"),
    ({"instruction": "Q?", "completions": [{"response": "a"}, {"response": "b"}]}, "no overall_score"),
]


@pytest.mark.parametrize(("record", "message"), FAULTS)
def test_faults_name_the_column_and_what_was_got(record: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(record)


def test_unknown_columns_name_what_was_found_and_the_nearest_layout() -> None:
    with pytest.raises(LayoutError, match="no known layout has these columns: question_text, good, bad$"):
        read({"question_text": "Q?", "good": "a", "bad": "b"})
    with pytest.raises(LayoutError, match=r"columns: prompt, chosen; the nearest is comparison .* lacks rejected$"):
        read({"prompt": "Q?", "chosen": "a"})
    with pytest.raises(LayoutError, match="columns: none$"):
        read({})
    with pytest.raises(LayoutError, match="and 5 more"):
        read({f"column{at}": at for at in range(25)})


def test_a_damaged_pair_is_not_read_as_something_else() -> None:
    with pytest.raises(LayoutError):
        read({"prompt": "Q?", "rejected": "bad", "reference": "r"})
    with pytest.raises(DataError, match="column 'chosen' is missing or null"):
        read({"prompt": "Q?", "chosen": None, "rejected": "bad", "reference": "r"})


def test_the_list_of_layouts_names_each_once() -> None:
    lines = known_layouts().splitlines()
    assert len(lines) == len(set(lines))
    assert "  comparison (chosen, rejected)" in lines
    assert {layout.name for layout in LAYOUTS} == {line.strip().split(" (")[0] for line in lines}


def test_rows_know_where_they_stand() -> None:
    (row,) = read_record(PAIR, Origin("a.jsonl", 3))
    assert str(row.origin) == "a.jsonl:3"


TWO = {"prompt": "Q?", "response-1": "good", "response-2": "bad"}


def test_of_several_questions_that_could_be_the_preference_none_is_taken() -> None:
    record = {"fields": TWO, "responses": {"wordier": answers("response-2"), "better": answers("response-1")}}
    with pytest.raises(DataError, match="preferred: wordier, better. Fix: choose one, --question NAME"):
        read(record)
    row = read(record, Question("better"))
    assert (row.chosen, dict(row.extra)) == ("good", {"wordier": "response-2"})
    with pytest.raises(DataError, match="nobody finished the question 'nicest'; finished: wordier, better"):
        read(record, Question("nicest"))
    ranking = {"fields": TWO, "responses": {"order": answers([{"value": "response-1"}, {"value": "response-2"}])}}
    ranking["responses"]["better"] = answers("response-2")
    with pytest.raises(DataError, match="order, better"):
        read(ranking)


def test_one_question_in_one_record_and_another_in_the_next_are_not_mixed() -> None:
    question = Question()
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
    row = read({"fields": shown, "responses": responses}, Question("tone"))
    assert row.scores == {"tone": 1.0}
    assert row.extra["quality"] == [4, 5]
    with pytest.raises(DataError, match=r"no question rates the response with a number \(questions: notes\)"):
        read({"fields": shown, "responses": {"notes": answers("fine")}})
    pair = {
        "fields": TWO,
        "responses": {"better": answers("response-1"), "sure": answers(2), "why": answers("fair")},
    }
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
    assert read(pair, Question("better")) == comparison(extra={"longer": "answer2", "note": "no"})


def test_a_question_of_other_layouts_is_an_error() -> None:
    with pytest.raises(DataError, match="no question 'better' here: it is a comparison"):
        read(PAIR, Question("better"))


SYSTEM = Message("system", "Be brief.")
EARLIER = (Message("user", "Hm?"), Message("assistant", "Hm."))
CONTEXTS: dict[str, tuple[dict[str, Any], AnyRow]] = {
    "Alpaca": (
        {"instruction": "Q?", "input": "", "chosen": "good", "rejected": "bad", "system": "Be brief."}
        | {"history": [["Hm?", "Hm."]]},
        comparison((SYSTEM, *EARLIER, *CHAT)),
    ),
    "Alpaca, nothing before": (
        {"instruction": "Q?", "chosen": "good", "rejected": "bad", "system": "", "history": []},
        comparison(),
    ),
    "ShareGPT": (
        {
            "conversations": [{"from": "human", "value": "Q?"}],
            "system": "Be brief.",
            "chosen": {"from": "gpt", "value": "good"},
            "rejected": {"from": "gpt", "value": "bad"},
        },
        comparison((SYSTEM, *CHAT)),
    ),
    "dialogues and a system column": (
        {"chosen": [USER, said("good")], "rejected": [USER, said("bad")], "system": "Be brief."},
        comparison((SYSTEM, *CHAT)),
    ),
    "ms-swift query": (
        {"query": "Q?", "response": "good", "rejected_response": "bad", "system": "Be brief."}
        | {"history": '[["Hm?", "Hm."]]'},
        comparison((SYSTEM, *EARLIER, *CHAT)),
    ),
    "ms-swift messages": (
        {"messages": [{"role": "system", "content": "Be brief."}, USER, said("good")], "rejected_response": "bad"},
        comparison((SYSTEM, *CHAT)),
    ),
    "ms-swift rejected messages": (
        {"messages": [USER, said("good")], "rejected_messages": [USER, said("bad")]},
        comparison(CHAT),
    ),
    "ms-swift label": (
        {"messages": [USER, said("a")], "label": True},
        Rating(prompt=CHAT, response="a", scores={"score": 1}),
    ),
    "messages and a score": (
        {"messages": [USER, said("a")], "score": 3},
        Rating(prompt=CHAT, response="a", scores={"score": 3}),
    ),
    "the name of a system is no system message": (
        {"prompt": "Q?", "response": "a", "score": 3, "system": "BART large"},
        Rating(prompt="Q?", response="a", scores={"score": 3}, extra={"system": "BART large"}),
    ),
}


@pytest.mark.parametrize("name", CONTEXTS)
def test_what_comes_before_the_prompt_is_read(name: str) -> None:
    record, row = CONTEXTS[name]
    assert read(record) == row


def test_context_that_contradicts_itself_is_a_fault() -> None:
    chat = [{"role": "system", "content": "Be long."}, USER]
    with pytest.raises(DataError, match="column 'system' and the system turn of the prompt differ"):
        read(PAIR | {"prompt": chat, "system": "Be brief."})
    with pytest.raises(DataError, match="column 'history' must be a list of"):
        read(PAIR | {"history": [["only one"]]})
    record = {"messages": [USER, said("good")], "rejected_messages": [{"role": "user", "content": "R?"}, said("bad")]}
    with pytest.raises(DataError, match="messages and rejected_messages differ before their last turn"):
        read(record)


def test_tool_calls_are_part_of_prompt_and_response() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}
    asks = {"role": "assistant", "content": "One moment.", "tool_calls": [call]}
    row = read({"prompt": [USER, asks, {"role": "tool", "content": "3"}], "chosen": [asks], "rejected": "no"})
    assert row.prompt[1].tool_calls[0].name == "add"
    assert row.chosen == 'One moment.\n<tool_call>\n{"name": "add", "arguments": {"a": 3}}\n</tool_call>'
