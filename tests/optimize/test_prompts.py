"""Candidates from a policy, kept as they come."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import DataError, ModelError, OutputError, TextError
from guerdon.optimize.best_of_n import training_records
from guerdon.optimize.prompts import NO_RESPONSE, check_references, sample_candidates, too_long, without
from guerdon.policy.endpoint import NoResponse
from guerdon.policy.model import Policy
from guerdon.rewards.compose import WeightedSum
from guerdon.rewards.load import RULES
from guerdon.types import Candidates, Origin, Prompt

REQUESTS = [Candidates(prompt=f"p{i}", reference="r" if i else None, origin=Origin("x.jsonl", i + 1)) for i in range(3)]


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


def test_a_missing_response_is_counted_with_its_reason_and_never_learnt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def sampler(prompts: Sequence[Prompt], done: Collection[int]) -> Iterator[tuple[int, list[str | NoResponse]]]:
        yield 0, ["a", NoResponse("no content")]
        yield 1, [NoResponse("no content"), NoResponse("refused")]
        yield 2, ["a", "b"]

    kept = tmp_path / "kept.jsonl"
    found = sample_candidates(REQUESTS, sampler, kept)
    assert [one.responses for one in found] == [("a",), (), ("a", "b")]
    assert [one.extra.get(NO_RESPONSE) for one in found] == [["no content"], ["no content", "refused"], None]
    assert caplog.messages == ["3 responses are missing; 2 of them: no content"]
    assert found == sample_candidates(REQUESTS, Talker(stop=0), kept)
    rows, _ = training_records(found, [np.arange(len(one.responses), dtype=float) for one in found])
    assert [row["completion"] for row in rows] == ["a", "b"]


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


def test_a_prompt_that_the_server_refuses_is_counted_named_and_asked_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = NoResponse("status 400: too long", final=False)

    def sampler(prompts: Sequence[Prompt], done: Collection[int]) -> Iterator[tuple[int, list[str | NoResponse]]]:
        yield from ((index, [refusal, refusal] if index == 1 else ["a", "b"]) for index in range(3))

    kept = tmp_path / "kept.jsonl"
    found = sample_candidates(REQUESTS, sampler, kept)
    assert [one.responses for one in found] == [("a", "b"), (), ("a", "b")]
    assert "1 of 3 prompts are refused: x.jsonl:2" in caplog.messages
    talker = Talker()
    assert [one.responses for one in sample_candidates(REQUESTS, talker, kept)][1] == ("p1 a", "")
    assert talker.asked == ["p1"]

    def refuse(prompts: Sequence[Prompt], done: Collection[int]) -> Iterator[tuple[int, list[NoResponse]]]:
        yield from ((index, [refusal]) for index in range(3))

    with pytest.raises(ModelError, match="every prompt: status 400: too long"):
        sample_candidates(REQUESTS, refuse, tmp_path / "other.jsonl")


def test_a_prompt_above_the_context_of_the_policy_is_left_out_and_named(
    tiny_llama: str, caplog: pytest.LogCaptureFixture
) -> None:
    policy = Policy.load(tiny_llama)
    long = Candidates(prompt="word " * 2000, origin=Origin("x.jsonl", 7))
    requests = [REQUESTS[0], long, REQUESTS[1]]
    faults = too_long(policy, requests, max_new_tokens=8)
    assert list(faults) == [1]
    assert without(requests, faults) == REQUESTS[:2]
    assert caplog.messages[0].startswith("1 of 3 prompts are left out: x.jsonl:7. The first: x.jsonl:7: too long: the")
    assert without(requests, {}) == requests
    with pytest.raises(DataError, match=r"^x\.jsonl:7: too long"):
        without([long], too_long(policy, [long], max_new_tokens=8))


def test_references_are_looked_for_before_anything_is_sampled(caplog: pytest.LogCaptureFixture) -> None:
    numeric = {"numeric": RULES["numeric"]}
    bare = [Candidates(prompt="p", extra={"topic": "sums", "final_answer": 4})]
    with pytest.raises(
        DataError, match=r"^d: 1 of 1 prompts lack the reference answer that numeric needs; the column "
    ):
        check_references(numeric, bare, "d")
    with pytest.raises(DataError, match=r"'final_answer' looks like it. Fix: --map reference=final_answer$"):
        check_references(
            {"sum": WeightedSum({"a": RULES["longest"], "b": RULES["exact"]}, {"a": 1, "b": 1})}, bare, "d"
        )
    with pytest.raises(DataError, match="give it in a column `reference`, or name the column by --map"):
        check_references(numeric, [Candidates(prompt="p")], "d")
    check_references({"longest": RULES["longest"]}, bare, "d")
    check_references(numeric, [Candidates(prompt="p", reference="4")], "d")
    assert not caplog.messages
    check_references(numeric, [*bare, Candidates(prompt="p", reference="4")], "d")
    assert caplog.messages[0].startswith("d: 1 of 2 prompts lack the reference answer")
