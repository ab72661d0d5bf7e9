"""Steps labelled by how a policy goes on behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.data.read import load_rows
from guerdon.errors import DataError
from guerdon.optimize.optimize_config import LabelConfig
from guerdon.optimize.rollout_labels import label_steps
from guerdon.policy.model import Policy
from guerdon.types import Steps
from json_lines import write_lines

RECORDS = [
    {"prompt": "boil egg", "response": "eight minutes\nso the answer is 8", "reference": "8", "id": "a"},
    {"prompt": "boil egg", "response": "nine\nminutes\n\nso 9", "reference": "8", "id": "b"},
]


class Half:
    """Right is about two thirds of all texts."""

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        return np.array([float(len(text) % 3 > 0) for text in responses], dtype=np.float32)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return write_lines(tmp_path / "data.jsonl", *RECORDS)


def test_labels_are_shares_of_right_continuations(
    tiny_llama: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "steps.jsonl"
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    config = LabelConfig(policy=tiny_llama, checker="test_rollout_labels:Half", samples=4, max_new_tokens=6)
    done = label_steps(data, out, config)
    rows = [row for row in load_rows(str(out)) if isinstance(row, Steps)]
    assert [row.steps for row in rows] == [("eight minutes", "so the answer is 8"), ("nine\nminutes", "so 9")]
    assert (done.solutions, done.steps, done.unlabelled) == (2, 4, 0)
    kept = [json.loads(line) for line in next(tmp_path.glob("steps.jsonl.rollouts-*")).read_text().splitlines()]
    for one in kept:
        row = rows[one["index"]]
        begun = row.steps[0] + ("\n\n" if row.id == "b" else "\n")
        ends = [len(begun + text) % 3 > 0 for text in one["responses"]]
        assert (len(ends), row.labels[0]) == (4, np.mean(ends))
    assert [row.labels[1] for row in rows] == [float(len(str(record["response"])) % 3 > 0) for record in RECORDS]
    assert [row.reference for row in rows] == ["8", "8"]

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("sampled again")

    monkeypatch.setattr(Policy, "sample_tokens", refuse)  # what was sampled is kept
    hard = LabelConfig(policy=tiny_llama, checker="test_rollout_labels:Half", samples=4, max_new_tokens=6, hard=True)
    label_steps(data, out, hard)
    again = [row for row in load_rows(str(out)) if isinstance(row, Steps)]
    for soft, own in zip(rows, again, strict=True):
        assert own.labels == tuple(float(label > 0) for label in soft.labels if label is not None)


def test_a_policy_goes_on_as_if_it_had_begun_itself(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama, device="cpu")
    (plain,), (begun,) = (
        policy.encode_prompts(["boil egg"], max_new_tokens=4, **options) for options in ({}, {"begun": ["eight\n\n"]})
    )
    assert begun[: len(plain)] == plain
    assert policy.tokenizer.decode(begun[len(plain) :]) == "eight\n\n"


def test_the_verb_says_what_it_did(tiny_llama: str, data: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "steps.jsonl"
    assert (
        main(["data", "label-steps", data, str(out), "--policy", tiny_llama, "--samples", "2", "--max-new-tokens", "4"])
        == 0
    )
    said = capsys.readouterr().out
    assert "4 steps of 2 solutions" in said
    assert load_rows(str(out))[0].labels[-1] == 1.0  # type: ignore[union-attr]  # its own answer is 8


def test_without_references_nothing_can_be_checked(tiny_llama: str, tmp_path: Path) -> None:
    bare = write_lines(tmp_path / "bare.jsonl", {"prompt": "p", "response": "a\nb"})
    with pytest.raises(DataError, match="reference"):
        label_steps(bare, tmp_path / "steps.jsonl", LabelConfig(policy=tiny_llama))
