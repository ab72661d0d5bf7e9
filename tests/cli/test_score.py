from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import guerdon
from guerdon.cli.main import main
from json_lines import write_lines


def scored(data: str, out: Path, model: str = "longest") -> list[dict]:
    assert main(["score", model, data, "--out", str(out)]) == 0
    return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]


def test_command_and_function_write_the_same(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "response": "abc", "own": 1}, {"prompt": "p", "responses": ["a", "bb"]}]
    data = write_lines(tmp_path / "in.jsonl", *rows)
    for options, arguments in (([], {}), (["--as", "quality"], {"column": "quality"})):
        assert main(["score", "longest", data, "--out", str(tmp_path / "c.jsonl"), *options]) == 0
        guerdon.score_rows("longest", data, tmp_path / "f.jsonl", **arguments)
        assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "f.jsonl").read_bytes()
    assert scored(data, tmp_path / "o.jsonl")[0] == {"prompt": "p", "response": "abc", "own": 1, "reward_longest": 3.0}


def test_an_existing_column_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "abc"})
    once = tmp_path / "once.jsonl"
    scored(data, once)
    assert main(["score", "longest", str(once)]) == 2
    assert "--as NAME" in capsys.readouterr().err
    assert main(["score", "longest", str(once), "--overwrite"]) == 0


def test_faults_are_listed_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(tmp_path / "in.jsonl", {"prompt": "p", "response": "abc"}, {"prompt": "p"}, 3)
    for out in (str(tmp_path / "out.jsonl"), "-"):
        assert main(["score", "longest", data, "--out", out]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert "2 of 3 rows cannot be scored" in captured.err
        assert f"{data}:2: there is nothing to score" in captured.err
        assert f"{data}:3: a row must be a JSON object" in captured.err
    assert list(tmp_path.iterdir()) == [tmp_path / "in.jsonl"]


def test_standard_input_to_standard_output() -> None:
    command = [sys.executable, "-m", "guerdon", "score", "longest", "-"]
    line = '{"prompt": "问", "response": "答案"}\n'
    run = subprocess.run(command, input=line * 3, capture_output=True, text=True, encoding="utf-8")
    assert run.returncode == 0, run.stderr
    assert [json.loads(text)["reward_longest"] for text in run.stdout.splitlines()] == [2.0] * 3
    assert "3 responses of 3 rows scored" in run.stderr


def test_no_reward_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(
        tmp_path / "in.jsonl", {"prompt": "p", "response": "3", "reference": "3"}, {"prompt": "p", "response": "3"}
    )
    assert main(["score", "exact", data]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out.splitlines()[1])["reward_exact"] is None
    assert "1 of them have no reward, most often because: " in captured.err


def test_transformer_scores_as_python_does(tiny_bert: str, tmp_path: Path) -> None:
    from guerdon.rewards.load import load_scorer

    rows = [{"prompt": "How do I boil an egg?", "response": text} for text in ("eight minutes", "I do not know", "水")]
    data = write_lines(tmp_path / "in.jsonl", *rows)
    records = scored(data, tmp_path / "out.jsonl", tiny_bert)
    (name,) = records[0].keys() - {"prompt", "response"}
    found = [record[name] for record in records]
    expected = load_scorer(tiny_bert).score([row["prompt"] for row in rows], [row["response"] for row in rows])
    np.testing.assert_allclose(found, expected, atol=1e-5)
