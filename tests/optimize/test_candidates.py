"""Candidates: from a policy, kept as they come; from files of several layouts."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from guerdon.data.requests import read_prompts
from guerdon.errors import DataError, OutputError, TextError
from guerdon.optimize.candidates import read_candidates, sample_candidates
from guerdon.types import Candidates, Message, Origin, Prompt

REQUESTS = [Candidates(prompt=f"p{i}", reference="r" if i else None, origin=Origin("x.jsonl", i + 1)) for i in range(3)]


def lines(path: Path, *records: Any) -> str:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return str(path)


class Talker:
    """Answers the last prompt first; `stop` after so many."""

    def __init__(self, stop: int = 99) -> None:
        self.stop = stop
        self.asked: list[Prompt] = []

    def __call__(self, prompts: Sequence[Prompt], done: Collection[int]) -> Iterator[tuple[int, list[str]]]:
        for index in reversed(range(len(prompts))):
            if index not in done:
                if len(self.asked) == self.stop:
                    raise KeyboardInterrupt
                self.asked.append(prompts[index])
                yield index, [f"{prompts[index]} a", ""]


def test_answers_come_in_the_order_of_the_prompts(tmp_path: Path) -> None:
    counts: list[int] = []
    found = sample_candidates(REQUESTS, Talker(), tmp_path / "kept.jsonl", counts.append)
    assert [one.responses for one in found] == [("p0 a", ""), ("p1 a", ""), ("p2 a", "")]
    assert [one.reference for one in found] == [None, "r", "r"]
    assert sum(counts) == 3


def test_a_run_cut_short_asks_for_the_rest_only(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    with pytest.raises(KeyboardInterrupt):
        sample_candidates(REQUESTS, Talker(stop=2), kept)
    kept.write_bytes(kept.read_bytes()[:-4])  # and the last line was not written to its end
    talker = Talker()
    found = sample_candidates(REQUESTS, talker, kept)
    assert talker.asked == ["p1", "p0"]
    assert found == sample_candidates(REQUESTS, Talker(stop=0), kept)
    assert len(kept.read_text().splitlines()) == 3


def test_kept_answers_of_something_else_are_refused(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"index": 7, "responses": ["a"]}\n')
    with pytest.raises(OutputError, match="belongs to other prompts"):
        sample_candidates(REQUESTS, Talker(), kept)
    kept.write_text('{"index": 0, "responses": ["a"]}\n{"answer": 3}\n')
    with pytest.raises(OutputError, match=r"kept.jsonl:2 cannot be read"):
        sample_candidates(REQUESTS, Talker(), kept)


def test_a_prompt_that_is_too_long_is_named_by_its_line(tmp_path: Path) -> None:
    def refuse(prompts: Sequence[Prompt], done: Collection[int]) -> Iterator[tuple[int, list[str]]]:
        raise TextError(1, "too long")
        yield

    with pytest.raises(DataError, match=r"^x\.jsonl:2: too long$"):
        sample_candidates(REQUESTS, refuse, tmp_path / "kept.jsonl")


def test_responses_of_one_prompt_are_joined(tmp_path: Path) -> None:
    source = lines(
        tmp_path / "in.jsonl",
        {"prompt": "p", "responses": ["a", "b"], "scores": [1, 2]},
        {"prompt": "p", "response": "c", "score": 3, "reference": "r"},
        {"prompt": "p", "response": "b", "score": 5},
        {"prompt": "p", "response": "d", "score": 4, "reference": "r", "group": "g"},
        {"prompt": "alone", "response": "x"},
        {"prompt": "q", "chosen": "x", "rejected": "y"},
    )
    plain, referenced, pair = read_candidates(source)
    assert (plain.responses, plain.scores, plain.reference) == (("a", "b"), (1.0, 2.0), None)
    assert (referenced.responses, referenced.scores, referenced.reference) == (("c", "d"), (3.0, 4.0), "r")
    assert (pair.responses, pair.scores) == (("x", "y"), None)


def test_a_file_with_nothing_to_pick_from_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no prompt has two responses to pick from"):
        read_candidates(lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "a"}))


def test_prompts_are_read_from_whatever_has_them(tmp_path: Path) -> None:
    turn = {"role": "user", "content": "q"}
    source = lines(
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
    assert [request.prompt for request in found] == ["p", (Message("user", "q"),), "do\n\nthis"]
    assert (found[0].reference, found[0].group, found[0].origin) == ("r", "g", Origin(source, 1))
    assert [request.demonstration for request in found] == ["r", "a", None]
    assert (
        len(read_prompts("starter:test")) == len({str(request.prompt) for request in read_prompts("starter:test")}) > 20
    )
    code = next(request for request in read_prompts("starter:test:en") if request.reference)
    assert "assert" in code.reference, "unit tests are for scorers, and no answer to learn"
    assert "assert" not in code.demonstration


def test_rows_without_a_prompt_are_listed(tmp_path: Path) -> None:
    source = lines(tmp_path / "in.jsonl", {"prompt": "p"}, {"x": 1}, 3)
    with pytest.raises(DataError, match=r"2 of 3 rows cannot be used") as caught:
        read_prompts(source)
    assert f"{source}:2:" in str(caught.value)
    assert f"{source}:3:" in str(caught.value)
