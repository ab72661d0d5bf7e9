from __future__ import annotations

from typing import Any

import pytest

from guerdon.data.formats import LAYOUTS, known_layouts, read_record
from guerdon.data.layouts import LayoutError
from guerdon.data.source import Source
from guerdon.errors import DataError
from guerdon.types import AnyRow, Comparison, Message, Origin, Ranking, Rating, Reference

USER = {"role": "user", "content": "Q?"}
CHAT = (Message("user", "Q?"),)
LONG = (Message("user", "Q?"), Message("assistant", "Hm."), Message("user", "And?"))


def said(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def read(record: dict[str, Any], reading: Source | None = None) -> AnyRow:
    (row,) = read_record(record, None, reading)
    return row


def comparison(prompt: Any = "Q?", chosen: str = "good", rejected: str = "bad", **more: Any) -> Comparison:
    return Comparison(prompt=prompt, chosen=chosen, rejected=rejected, **more)


PAIR: dict[str, Any] = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}

OWN: dict[str, tuple[dict[str, Any], AnyRow]] = {
    "comparison": (PAIR, comparison()),
    "with everything": (
        PAIR
        | {"margin": 2, "preference": 0.75, "subset": "s", "id": 7}
        | {"group": "g", "reference": "r", "source": "x", "nothing": None},
        comparison(margin=2.0, preference=0.75, subset="s", id="7", group="g", reference="r", extra={"source": "x"}),
    ),
    "chat": ({"prompt": [USER], "chosen": "good", "rejected": "bad"}, comparison(CHAT)),
    "tie": (PAIR | {"preference": 0.5}, comparison(preference=0.5)),
    "preference turned round": (
        {"prompt": "Q?", "chosen": "bad", "rejected": "good", "preference": 0.25},
        comparison(preference=0.75),
    ),
    "votes": (PAIR | {"votes": [2, 1, 1]}, comparison(preference=0.625, extra={"votes": [2, 1, 1]})),
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
    "TRL implicit prompt": ({"chosen": [USER, said("good")], "rejected": [USER, said("bad")]}, comparison(CHAT)),
    "TRL explicit prompt": ({"prompt": [USER], "chosen": [said("good")], "rejected": [said("bad")]}, comparison(CHAT)),
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
    "AlpacaEval": ({"instruction": "Q?", "output_1": "bad", "output_2": "good", "preference": 2.0}, comparison()),
    "Chatbot Arena": (
        {"conversation_a": [USER, said("bad")], "conversation_b": [USER, said("good")], "winner": "model_b"},
        comparison(CHAT),
    ),
    "Chatbot Arena tie": (
        {"conversation_a": [USER, said("good")], "conversation_b": [USER, said("bad")], "winner": "tie (bothbad)"},
        comparison(CHAT, preference=0.5, extra={"both_bad": True}),
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
    (PAIR | {"prompt": [{"role": "user"}]}, r"column 'prompt\[0\].content' is empty"),
    (PAIR | {"prompt": [USER, said("x")]}, "column 'prompt' ends with the assistant's turn"),
    ({"chosen": "good", "rejected": "bad", "q": "Why so?"}, "there is no prompt, but text in the column 'q'"),
    ({"chosen": [USER, said("good")], "rejected": [USER | {"content": "R?"}, said("bad")]}, "no turns in common"),
    ({"chosen": [USER], "rejected": [USER]}, "no turns in common before the assistant answers"),
    (PAIR | {"prompt": "else", "chosen": [USER, said("a")], "rejected": [USER, said("b")]}, "nothing in common"),
    (RATED | {"score": float("nan")}, "column 'score' is nan; a score must be a finite number"),
    (RATED | {"score": 1e300}, "column 'score' is 1e.300; a score beyond 1e.18 cannot be computed with"),
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
    (
        {"instruction": "Q?", "completions": [{"response": "a"}, {"response": "b"}]},
        "no score, rank or rated annotation",
    ),
]


@pytest.mark.parametrize(("record", "message"), FAULTS)
def test_faults_name_the_column_and_what_was_got(record: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(record)


def test_unknown_columns_name_what_was_found_and_the_nearest_layout() -> None:
    with pytest.raises(LayoutError, match="no known layout has these columns: question_text, sweet, sour$"):
        read({"question_text": "Q?", "sweet": "a", "sour": "b"})
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


def test_a_question_of_other_layouts_is_an_error() -> None:
    with pytest.raises(DataError, match="no question 'better' here: it is a comparison"):
        read(PAIR, Source("better"))


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
    with pytest.raises(DataError, match="messages and rejected_messages have no turns in common"):
        read(record)


def test_tool_calls_are_part_of_prompt_and_response() -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 3}}}
    asks = {"role": "assistant", "content": "One moment.", "tool_calls": [call]}
    row = read({"prompt": [USER, asks, {"role": "tool", "content": "3"}], "chosen": [asks], "rejected": "no"})
    assert row.prompt[1].tool_calls[0].name == "add"
    assert row.chosen == 'One moment.\n<tool_call>\n{"name": "add", "arguments": {"a": 3}}\n</tool_call>'
