"""Answers of a policy become generated texts once; a resumed run reads them back."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from guerdon.errors import ConfigError
from guerdon.train import negatives
from guerdon.train.negatives import with_policy_negatives
from guerdon.train.train_config import TrainConfig
from guerdon.types import Comparison, Reference

CONFIG = TrainConfig(negatives_policy="a policy", policy_negatives=3, seed=5)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """A policy that gives good, repeated, empty and perfect responses, one with a NUL; keeps the calls."""
    calls: list[dict[str, Any]] = []

    class Scripted:
        def sample_texts(self, prompts: list[str], **options: Any) -> Iterator[tuple[int, list[str]]]:
            calls.append({"prompts": prompts} | options)
            yield len(prompts) - 1, ["right", "answer", "another", "no\0text"]
            for index, prompt in enumerate(prompts[:-1]):
                yield index, [f"answer to {prompt}", f"answer to {prompt}", ""]

    def load(name: str, **options: Any) -> Scripted:
        calls.append({"policy": name} | options)
        return Scripted()

    monkeypatch.setattr(negatives.Policy, "load", load)
    return calls


ROWS = [
    Reference(prompt="p", reference="right", generated=("old",), group="g"),
    Reference(prompt="q", reference="right"),
]


def test_usable_answers_join_the_generated_texts(
    asked: list[dict[str, Any]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = with_policy_negatives(ROWS, CONFIG, tmp_path / "kept.jsonl")
    assert [row.generated for row in found if isinstance(row, Reference)] == [
        ("old", "answer to p"),
        ("answer", "another", "notext"),
    ]
    assert asked == [
        {"policy": "a policy", "trust_remote_code": False},
        {"prompts": ["p", "q"], "num_generations": 3, "seed": 5},
    ]
    assert "3 responses of the policy were empty, repeated, or the reference itself: left out" in caplog.text


def test_they_are_read_back_and_not_asked_for_again(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    first = with_policy_negatives(ROWS, CONFIG, tmp_path / "kept.jsonl")
    again = with_policy_negatives(ROWS, CONFIG, tmp_path / "kept.jsonl")
    assert list(again) == list(first)
    assert len(asked) == 2


def test_other_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rows with a prompt and a reference"):
        with_policy_negatives([Comparison(prompt="p", chosen="a", rejected="b")], CONFIG, tmp_path / "kept.jsonl")
