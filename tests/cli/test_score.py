from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.cli.score import chunks, with_rewards
from guerdon.data.requests import Request


def write(path: Path, *records: object) -> str:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return str(path)


def scored(data: str, out: Path, model: str = "longest") -> list[dict]:
    assert main(["score", model, data, "--out", str(out)]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_rows_keep_columns_and_order_and_get_rewards(tmp_path: Path) -> None:
    data = write(
        tmp_path / "in.jsonl",
        {"prompt": "p", "response": "abc", "mine": [1, None]},
        {"prompt": "p", "responses": ["a", "bb"]},
        {"prompt": "p", "chosen": "好的", "rejected": "b", "margin": 2},
        {"prompt": "p", "reference": "ref", "generated": ["g"]},
        {"prompt": "p", "reference": "ref"},
    )
    assert scored(data, tmp_path / "out.jsonl") == [
        {"prompt": "p", "response": "abc", "mine": [1, None], "score": 3.0},
        {"prompt": "p", "responses": ["a", "bb"], "scores": [1.0, 2.0]},
        {"prompt": "p", "chosen": "好的", "rejected": "b", "margin": 2, "score_chosen": 2.0, "score_rejected": 1.0},
        {"prompt": "p", "reference": "ref", "generated": ["g"], "score_reference": 3.0, "scores": [1.0]},
        {"prompt": "p", "reference": "ref", "score_reference": 3.0},
    ]


def test_a_judgement_in_the_data_is_not_overwritten(tmp_path: Path) -> None:
    data = write(
        tmp_path / "in.jsonl",
        {"prompt": "p", "response": "abc", "score": 0.5},
        {"prompt": "p", "responses": ["a", "bb"], "scores": [4, 5]},
        {"prompt": "p", "chosen": "aa", "rejected": "b", "score_chosen": 9, "score_rejected": 8},
    )
    first, second, third = scored(data, tmp_path / "out.jsonl")
    assert (first["score"], first["reward"]) == (0.5, 3.0)
    assert (second["scores"], second["rewards"]) == ([4, 5], [1.0, 2.0])
    assert (third["score_chosen"], third["reward_chosen"], third["reward_rejected"]) == (9, 2.0, 1.0)


def test_faults_are_listed_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write(tmp_path / "in.jsonl", {"prompt": "p", "response": "abc"}, {"prompt": "p"}, 3)
    for out in (str(tmp_path / "out.jsonl"), "-"):
        assert main(["score", "longest", data, "--out", out]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "2 of 3 rows cannot be scored" in captured.err
        assert f"{data}:2: there is nothing to score" in captured.err
        assert f"{data}:3: a row must be a JSON object" in captured.err
    assert list(tmp_path.iterdir()) == [tmp_path / "in.jsonl"]


def test_empty_file_and_unknown_model_are_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty.jsonl").touch()
    assert main(["score", "longest", str(tmp_path / "empty.jsonl")]) == 2
    assert "there is no row in it" in capsys.readouterr().err
    assert main(["score", "no such model", "starter"]) == 2
    assert "no model" in capsys.readouterr().err


def test_standard_input_to_standard_output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    line = '{"prompt": "问", "response": "答案"}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(line.encode() * 3))))
    assert main(["score", "longest", "-"]) == 0
    captured = capsys.readouterr()
    assert [json.loads(text)["score"] for text in captured.out.splitlines()] == [2.0] * 3
    assert "3 responses of 3 rows scored" in captured.err


def test_pipe_by_subprocess() -> None:
    command = [sys.executable, "-m", "guerdon", "score", "shortest", "-"]
    run = subprocess.run(command, input='{"prompt": "p", "response": "ab"}\n', capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"prompt": "p", "response": "ab", "score": -2.0}


def test_no_reward_is_null_with_a_reason() -> None:
    request = Request({"prompt": "p"}, "p", ("a", "b"), {"score_chosen": 0, "score_rejected": 1})
    record = with_rewards(request, [1.0, float("nan")])
    assert (record["score_chosen"], record["score_rejected"]) == (1.0, None)
    assert "nan" in record["reason"]
    assert "reason" not in with_rewards(request, [1.0, 2.0])


def test_chunks_hold_whole_rows() -> None:
    requests = [Request({}, "p", ("x",) * count, {}) for count in (1, 5, 1, 1)]
    assert [len(chunk) for chunk in chunks(iter(requests), 3)] == [2, 2]


def test_references_are_handed_over_and_numbers_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "echo_scorer.py").write_text(
        "import numpy as np\n"
        "class Echo:\n"
        "    def score(self, prompts, responses, *, references=None):\n"
        "        rewards = [0.1] * len(responses) if references is None else map(len, references)\n"
        "        return np.array(list(rewards), dtype=np.float32)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    plain = write(tmp_path / "a.jsonl", {"prompt": "p", "response": "r"})
    assert scored(plain, tmp_path / "o.jsonl", "echo_scorer:Echo")[0]["score"] == 0.1
    given = write(tmp_path / "b.jsonl", {"prompt": "p", "response": "r", "reference": "the reference"})
    assert scored(given, tmp_path / "o.jsonl", "echo_scorer:Echo")[0]["score"] == 13.0


def test_transformer_scores_as_python_does(tiny_bert: str, tmp_path: Path) -> None:
    from guerdon.rewards.load import load_scorer

    rows = [{"prompt": "How do I boil an egg?", "response": text} for text in ("eight minutes", "I do not know", "水")]
    data = write(tmp_path / "in.jsonl", *rows)
    found = [record["score"] for record in scored(data, tmp_path / "out.jsonl", tiny_bert)]
    expected = load_scorer(tiny_bert).score([row["prompt"] for row in rows], [row["response"] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-5)
