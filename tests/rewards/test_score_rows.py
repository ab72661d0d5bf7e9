"""Rewards beside the rows: columns of their own, what is there stays, and why there is no reward."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError, DataError
from guerdon.rewards import score_rows as module
from guerdon.rewards.load import ScorerConfig
from guerdon.rewards.score_rows import reward_label, score_rows
from guerdon.types import Prompt, References
from json_lines import write_lines


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


class Fussy:
    """Rewards the number that a response is, and fails on everything else."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        self.calls.append(len(responses))
        return np.array([float(response) for response in responses], dtype=np.float32)


def test_rows_keep_columns_and_order_and_get_rewards(tmp_path: Path) -> None:
    rows = [
        {"prompt": "p", "response": "abc", "mine": [1, None], "score": 4, "reward": 0.77, "reason": "right"},
        {"prompt": "p", "responses": ["a", "bb"]},
        {"prompt": "p", "chosen": "好的", "rejected": "b", "margin": 2},
        {"prompt": "p", "reference": "ref", "generated": ["g"]},
        {"prompt": "p", "reference": "ref"},
    ]
    done = score_rows("longest", write_lines(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl")
    rewards = [
        {"reward_longest": 3.0},
        {"reward_longest": [1.0, 2.0]},
        {"reward_longest_chosen": 2.0, "reward_longest_rejected": 1.0},
        {"reward_longest_reference": 3.0, "reward_longest": [1.0]},
        {"reward_longest_reference": 3.0},
    ]
    assert read(tmp_path / "out.jsonl") == [row | new for row, new in zip(rows, rewards, strict=True)]
    assert (done.rows, done.responses, done.without_reward, done.reason) == (5, 8, 0, "")
    names = ("reward_longest", "reward_longest_chosen", "reward_longest_rejected", "reward_longest_reference")
    assert done.columns == names


def test_three_models_in_turn_give_three_columns(tmp_path: Path) -> None:
    data = write_lines(tmp_path / "0.jsonl", {"prompt": "p", "chosen": "1000000000", "rejected": "12"})
    for turn, scorer in enumerate(["longest", "shortest", Fussy()]):
        score_rows(scorer, data, tmp_path / f"{turn + 1}.jsonl")
        data = str(tmp_path / f"{turn + 1}.jsonl")
    (row,) = read(tmp_path / "3.jsonl")
    assert [name for name in row if name.endswith("_chosen")] == [
        "reward_longest_chosen", "reward_shortest_chosen", "reward_Fussy_chosen",
    ]  # fmt: skip
    assert (row["reward_longest_chosen"], row["reward_shortest_chosen"]) == (10.0, -10.0)


def test_a_column_that_is_there_is_an_error_unless_it_may_be_replaced(tmp_path: Path) -> None:
    old = {"prompt": "p", "response": "abc", "quality": "good", "quality_reason": "old"}
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "a"}, old)
    with pytest.raises(ConfigError, match=r"in\.jsonl:2: there is a column 'quality' already.*--as NAME.*--overwrite"):
        score_rows("longest", data, tmp_path / "out.jsonl", column="quality")
    assert not (tmp_path / "out.jsonl").exists()
    score_rows("longest", data, tmp_path / "out.jsonl", column="quality", overwrite=True)
    assert read(tmp_path / "out.jsonl")[1] == {"prompt": "p", "response": "abc", "quality": 3.0}


def test_no_reward_is_null_with_its_reason_and_fails_nothing_else(tmp_path: Path) -> None:
    data = write_lines(
        tmp_path / "in.jsonl",
        {"prompt": "p", "response": "four"},
        {"prompt": "p", "responses": ["1", "two"]},
        {"prompt": "p", "chosen": "3", "rejected": "x"},
        {"prompt": "p", "response": "5"},
    )
    done = score_rows(Fussy(), data, tmp_path / "out.jsonl", column="r")
    first, second, third, fourth = read(tmp_path / "out.jsonl")
    assert first["r"] is None
    assert first["r_reason"] == "ValueError: could not convert string to float: 'four'"
    assert (second["r"], second["r_reason"][0]) == ([1.0, None], None)
    assert "'two'" in second["r_reason"][1]
    assert (third["r_chosen"], third["r_rejected"]) == (3.0, None)
    assert "r_chosen_reason" not in third
    assert "'x'" in third["r_rejected_reason"]
    assert fourth == {"prompt": "p", "response": "5", "r": 5.0}
    assert (done.responses, done.without_reward) == (6, 3)
    assert done.reason.startswith("ValueError")


def test_faulty_rows_are_found_before_anything_is_scored(tmp_path: Path) -> None:
    scorer = Fussy()
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "1"}, {"prompt": "p"})
    with pytest.raises(DataError, match="1 of 2 rows cannot be scored"):
        score_rows(scorer, data, tmp_path / "out.jsonl")
    assert (scorer.calls, list(tmp_path.iterdir())) == ([], [tmp_path / "in.jsonl"])


def test_chunks_are_whole_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_TEXTS", 3)
    rows = [{"prompt": "p", "responses": ["1"] * count} for count in (1, 5, 1, 1)]
    scorer = Fussy()
    score_rows(scorer, write_lines(tmp_path / "in.jsonl", *rows), tmp_path / "out.jsonl")
    assert scorer.calls == [6, 2]


def test_references_are_handed_over_and_numbers_are_short(tmp_path: Path) -> None:
    class Echo:
        def score(
            self, prompts: Sequence[Prompt], responses: Sequence[str], *,
            references: References = None
        ) -> np.ndarray:  # fmt: skip
            rewards = [0.1] * len(responses) if references is None else [len(text or "") for text in references]
            return np.array(rewards, dtype=np.float32)

    plain = write_lines(tmp_path / "a.jsonl", {"prompt": "p", "response": "r"})
    given = write_lines(tmp_path / "b.jsonl", {"prompt": "p", "response": "r", "reference": "the reference"})
    for data, expected in ((plain, 0.1), (given, 13.0)):
        score_rows(Echo(), data, tmp_path / "o.jsonl", column="r")
        assert read(tmp_path / "o.jsonl")[0]["r"] == expected


def test_a_scorer_is_named_by_what_tells_it_apart(tmp_path: Path) -> None:
    names = ["longest", "runs/helpful/", "quickstart/model", "a/b/checkpoint-50", "owner/Name-7B", "mine:make"]
    labels = ["longest", "helpful", "quickstart_model", "b_checkpoint-50", "Name-7B", "make"]
    assert [reward_label(name) for name in names] == labels
    assert reward_label("tfidf:data/some rows.jsonl") == "tfidf_some_rows"
    assert reward_label("bm25:passages.jsonl") == "bm25_passages"
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "r"})
    assert score_rows(ScorerConfig(name="shortest"), data, tmp_path / "o").columns == ("reward_shortest",)
