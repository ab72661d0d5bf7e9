"""Prompts with candidates, from every layout; several rows to a prompt."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from guerdon.data.candidates import CandidateRecord, all_candidates, read_candidates, read_prompts, record_candidates
from guerdon.errors import DataError
from guerdon.types import Message, Origin
from json_lines import write_lines


def single(record: dict[str, Any]) -> CandidateRecord:
    (found,) = record_candidates(record)
    return found


# --- one record


def test_votes_do_not_make_chosen_and_rejected_change_places() -> None:
    found = single({"prompt": "p", "chosen": "c", "rejected": "r", "votes": [0, 5, 0], "preference": 0.1, "id": 7})
    assert (found.candidates.responses, found.columns) == (("c", "r"), ("chosen", "rejected"))
    assert found.candidates.id == "7"


def test_known_layouts_are_read() -> None:
    user, good, bad = (
        {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "a"), ("assistant", "b"))
    )
    implicit = single({"chosen": [user, good], "rejected": [user, bad]}).candidates
    assert (implicit.prompt, implicit.responses) == ((Message("user", "q"),), ("a", "b"))
    alpaca = single({"instruction": "do", "input": "this", "output": "done"}).candidates
    assert (alpaca.prompt, alpaca.responses) == ("do\n\nthis", ("done",))
    verdict = single({"prompt": "p", "response_1": "x", "response_2": "y", "preference": "2"})
    assert verdict.record["chosen"] == "y"
    assert verdict.columns == ("chosen", "rejected")


def test_what_the_data_says_of_the_responses() -> None:
    found = single({
        "prompt": "p", "responses": ["a", "b"], "scores": [1, 2.5], "systems": ["x", "y"], "bm25": [3, 4], "own": 5,
    }).candidates  # fmt: skip
    assert (found.scores, found.systems) == ((1.0, 2.5), ("x", "y"))
    assert (found.other_scores, found.extra) == ({"bm25": (3.0, 4.0)}, {"own": 5})
    rated = single({"prompt": "p", "response": "a", "scores": {"help": 3}}).candidates
    assert (rated.scores, rated.extra) == (None, {"scores": {"help": 3}})


def test_a_reference_that_is_scored_is_not_shown_as_the_reference() -> None:
    found = single({"prompt": "p", "reference": "r", "generated": ["g", "h"]})
    assert found.candidates.responses == ("r", "g", "h")
    assert (found.columns, found.candidates.reference) == (("reference", "generated", "generated"), None)


@pytest.mark.parametrize(
    "record",
    [{"prompt": "p"}, {"response": "r"}, {"prompt": "p", "response": ""}, {"prompt": "p", "responses": []}, {"x": 1}],
)
def test_what_has_no_response_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(DataError):
        record_candidates(record)


# --- a source


def test_responses_of_one_prompt_are_joined(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "in.jsonl",
        {"prompt": "p", "responses": ["a", "b"], "scores": [1, 2]},
        {"prompt": "p", "response": "c", "score": 3, "reference": "r"},
        {"prompt": "p", "response": "b", "score": 5},
        {"prompt": "p", "response": "d", "score": 4, "reference": "r", "group": "g"},
        {"prompt": "alone", "response": "x"},
        {"prompt": "q", "chosen": "x", "rejected": "y"},
    )
    plain, referenced, alone, pair = read_candidates(source)
    assert (plain.responses, plain.scores, plain.reference) == (("a", "b", "b"), (1.0, 2.0, 5.0), None)
    assert (referenced.responses, referenced.scores, referenced.reference) == (("c", "d"), (3.0, 4.0), "r")
    assert (alone.responses, alone.scores) == (("x",), None)
    assert (pair.responses, pair.scores) == (("x", "y"), None)


def test_equal_responses_are_samples_but_comparisons_name_one_several_times(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "in.jsonl",
        {"prompt": "sampled", "responses": ["aa", "aa", "aa", "bbbb"]},
        {"prompt": "compared", "chosen": "a", "rejected": "b"},
        {"prompt": "compared", "chosen": "a", "rejected": "c"},
        {"prompt": "compared", "chosen": "b", "rejected": "c"},
    )
    sampled, compared = read_candidates(source)
    assert sampled.responses == ("aa", "aa", "aa", "bbbb")
    assert compared.responses == ("a", "b", "c")


def test_ids_subsets_and_own_columns_are_kept(tmp_path: Path) -> None:
    source = write_lines(
        tmp_path / "in.jsonl",
        {"prompt": "p", "responses": ["a", "b"], "id": "7", "subset": "geo", "source": "mine"},
        {"prompt": "q", "response": "a", "id": 1, "subset": "geo", "source": "x", "split": "new", "score": 2},
        {"prompt": "q", "responses": ["b", "c"], "id": 2, "subset": "geo", "split": "new"},
    )
    whole, joined = read_candidates(source)
    assert (whole.id, whole.subset, whole.extra) == ("7", "geo", {"source": "mine"})
    assert (joined.id, joined.subset) == ("", "geo")
    assert joined.extra == {"source": ["x", None, None], "split": "new", "ids": ["1", "2", "2"]}
    assert joined.scores is not None
    assert joined.scores[0] == 2.0
    assert all(map(math.isnan, joined.scores[1:])), "no score is not lost and not made up"


def test_faults_of_a_source_are_listed(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "a"}, {"prompt": "p"}, 3)
    with pytest.raises(DataError, match=r"2 of 3 rows cannot be scored") as caught:
        list(all_candidates(source))
    assert f"{source}:2: there is nothing to score" in str(caught.value)


# --- prompts alone


def test_prompts_are_read_from_whatever_has_them(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "q"}
    source = write_lines(
        tmp_path / "in.jsonl",
        {"prompt": "p", "reference": "r", "group": "g"},
        {"prompt": "p", "chosen": "a", "rejected": "b"},
        {
            "chosen": [turn, {"role": "assistant", "content": "a"}],
            "rejected": [turn, {"role": "assistant", "content": "b"}],
        },
        {"instruction": "do", "input": "this"},
    )
    found = read_prompts(source)
    assert [one.prompt for one in found] == ["p", (Message("user", "q"),), "do\n\nthis"]
    assert (found[0].reference, found[0].group, found[0].origin) == ("r", "g", Origin(source, 1))
    assert [one.demonstration for one in found] == ["r", "a", None]
    assert len(read_prompts("starter:test")) == len({str(one.prompt) for one in read_prompts("starter:test")}) > 20
    code = next(one for one in read_prompts("starter:test:en") if one.reference)
    assert "assert" in code.reference, "unit tests are for scorers, and no answer to learn"
    assert "assert" not in code.demonstration


def test_rows_without_a_prompt_are_listed(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "in.jsonl", {"prompt": "p"}, {"x": 1}, 3)
    with pytest.raises(DataError, match=r"2 of 3 rows cannot be used") as caught:
        read_prompts(source)
    assert f"{source}:2:" in str(caught.value)
    assert f"{source}:3:" in str(caught.value)


USER = {"role": "user", "content": "q"}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    "record",
    [
        {"query": "q", "response": "good", "rejected_response": "bad", "history": [["a", "b"]], "system": "Be brief."},
        {"messages": [USER, assistant("good")], "rejected_response": "bad"},
        {"messages": [USER, assistant("good")], "rejected_messages": [USER, assistant("bad")]},
    ],
)
def test_both_responses_of_a_comparison_are_candidates_and_the_record_is_kept(record: dict[str, Any]) -> None:
    found = single(record)
    assert (found.candidates.responses, found.columns) == (("good", "bad"), ("chosen", "rejected"))
    assert found.record == record
    if "history" in record:
        assert [turn.role for turn in found.candidates.prompt] == ["system", "user", "assistant", "user"]


def test_messages_are_a_prompt_and_its_response(tmp_path: Path) -> None:
    found = single({"messages": [USER, assistant("good")], "note": "n"})
    assert (found.candidates.responses, found.columns) == (("good",), ("response",))
    rows = ({"messages": [USER]}, {"messages": [USER | {"content": "r"}, assistant("good")]})
    first, second = read_prompts(write_lines(tmp_path / "a.jsonl", *rows))
    assert (first.prompt, first.demonstration) == ((Message("user", "q"),), None)
    assert (second.prompt, second.demonstration) == ((Message("user", "r"),), "good")


def test_the_name_of_a_system_stays_one_and_a_system_message_is_read() -> None:
    named = single({"prompt": "q", "response": "a", "system": "BART"})
    assert (named.candidates.prompt, named.candidates.systems) == ("q", ("BART",))
    stated = single({"prompt": "q", "response": "a", "system": "Answer in one word."})
    assert stated.candidates.prompt == (Message("system", "Answer in one word."), Message("user", "q"))


def test_a_question_of_an_export_says_what_is_preferred(tmp_path: Path) -> None:
    judged = {name: [{"value": value, "status": "submitted"}] for name, value in (("long", "text2"), ("best", "text1"))}
    fields = {"prompt": "q", "text1": "a", "text2": "b"}
    source = write_lines(tmp_path / "in.jsonl", {"fields": fields, "responses": judged})
    for read in (read_candidates, read_prompts):
        with pytest.raises(DataError, match="--question NAME"):
            read(source)
    assert [read_candidates(source, question=name)[0].responses for name in ("best", "long")] == [
        ("a", "b"),
        ("b", "a"),
    ]
    assert [read_prompts(source, question=name)[0].demonstration for name in ("best", "long")] == ["a", "b"]
