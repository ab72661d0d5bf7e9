"""A scorer that fails on one text of a batch: every stage counts it, goes on, and says why."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from guerdon.cli.main import main
from json_lines import write_lines

SCORER = """
import numpy as np
from guerdon.errors import ConfigError

class Fails:
    '''The length of a response; fails on those whose length leaves no rest when divided by a number.'''

    def __init__(self, number=4):
        self.number = number

    def score(self, prompts, responses, *, references=None):
        if any(len(text) % self.number == 0 for text in responses):
            raise RuntimeError("the service was away")
        return np.array([len(text) for text in responses], dtype=np.float32)

class NotSetUp:
    def score(self, prompts, responses, *, references=None):
        raise ConfigError("there is no sandbox here")

fourth = Fails()
every = Fails(1)
not_set_up = NotSetUp()
"""
REASON = "RuntimeError: the service was away"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module that has scorers."""
    (tmp_path / "failing_scorers.py").write_text(SCORER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "failing_scorers", raising=False)
    return tmp_path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_score(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(
        here / "in.jsonl",
        {"prompt": "p", "response": "abc"},
        {"prompt": "p", "response": "abcd"},
        {"prompt": "p", "responses": ["ab", "abcd"]},
    )
    assert main(["score", "failing_scorers:fourth", data, "--as", "length", "--out", "out.jsonl"]) == 0
    first, second, third = read(here / "out.jsonl")
    assert first == {"prompt": "p", "response": "abc", "length": 3.0}
    assert second == {"prompt": "p", "response": "abcd", "length": None, "length_reason": REASON}
    assert (third["length"], third["length_reason"]) == ([2.0, None], [None, REASON])
    assert f"2 of them have no reward, most often because: {REASON}" in capsys.readouterr().err


def test_evaluate(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": f"p{i}", "chosen": "abc" if i else "abcd", "rejected": "b"} for i in range(12)]
    data = write_lines(here / "in.jsonl", *rows)
    assert main(["evaluate", "failing_scorers:fourth", data, "--resamples", "20", "--json", "found.json"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "no reward to 1 responses" in printed
    assert REASON in printed
    assert REASON in (here / "found.json").read_text(encoding="utf-8")


def test_best_of_n(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(here / "in.jsonl", *({"prompt": f"p{i}", "responses": ["abcd", "abc", "b"]} for i in range(3)))
    assert main(["optimize", "best-of-n", "failing_scorers:fourth", data, "--out", "out"]) == 0
    assert f"3 of 9 responses have no reward; 3 of them: {REASON}" in capsys.readouterr().err
    (first, *_) = read(here / "out" / "candidates.jsonl")
    assert first["fourth"] == [None, 3.0, 1.0]
    assert first["fourth_reason"] == [REASON, None, None]
    assert {row["completion"] for row in read(here / "out" / "sft.jsonl")} == {"abc"}


def training(verb: str, scorer: str, here: Path, policy: str) -> list[str]:
    data = write_lines(
        here / "prompts.jsonl", *({"prompt": text} for text in ("How do I boil an egg?", "planet?", "add"))
    )
    options = ["--num-generations", "8", "--max-new-tokens", "5", "--prompts-per-step", "3", "--epochs", "4"]
    return ["optimize", verb, f"failing_scorers:{scorer}", data, "--policy", policy, "--out", "out", *options]


@pytest.mark.parametrize("verb", ["weighted", "rl"])
def test_training_a_policy(verb: str, here: Path, tiny_llama: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(training(verb, "fourth", here, tiny_llama)) == 0
    steps = read(here / "out" / "run" / "metrics.jsonl")
    missing = [step["responses_without_reward"] for step in steps if "responses_without_reward" in step]
    assert len(missing) == 4
    assert 0 < sum(missing) < 4 * 24
    assert any(REASON in step.get("reward_missing_reason", "") for step in steps) or verb == "rl"
    said = capsys.readouterr().err
    assert said.count(REASON) == 1, "the reason is said once"


@pytest.mark.parametrize("verb", ["weighted", "rl"])
def test_training_without_any_reward(
    verb: str, here: Path, tiny_llama: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(training(verb, "every", here, tiny_llama)) == 2
    said = capsys.readouterr().err
    assert REASON in said[said.index("error:") :]


@pytest.mark.parametrize("verb", ["weighted", "rl"])
def test_a_scorer_that_is_not_set_up_ends_training_with_its_own_message(
    verb: str, here: Path, tiny_llama: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(training(verb, "not_set_up", here, tiny_llama)) == 2
    assert "error: there is no sandbox here" in capsys.readouterr().err
