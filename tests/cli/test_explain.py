"""`guerdon explain`: the function's result as text, and the same files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guerdon import ExplainConfig, explain_reward
from guerdon.cli.main import main
from json_lines import write_lines


def test_a_pair_is_explained_on_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page, file = tmp_path / "page.html", tmp_path / "values.json"
    given = ["--prompt", "Hello?", "--response", "Hi. I am here.", "--versus", "Hi there."]
    assert main(["explain", "longest", *given, "--page", str(page), "--json", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "The difference is +5.00" in shown
    assert "For it: 'here.' +5.00" in shown
    assert "By leaving out 1 of 4 words (25%) of this response, the other response would win" in shown
    assert str(page) in shown
    found = explain_reward("longest", prompt="Hello?", response="Hi. I am here.", versus="Hi there.").to_dict()
    written = json.loads(file.read_text(encoding="utf-8"))
    for one in (found, written):
        one["cases"][0].pop("seconds")
    assert written == found


def test_rows_of_a_file_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_lines(
        tmp_path / "r.jsonl", *({"prompt": f"p{i}", "response": "so " * i + "end"} for i in range(1, 12))
    )
    assert main(["explain", "longest", data, "--json", "-", "--rows", "1"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["importance"]["movers"][0]["kind"] in ("word", "feature")
    assert len(values["cases"]) == 1
    assert main(["explain", "longest", data, "--rows", "1", "--faithfulness", "--faithfulness-rows", "3"]) == 0
    shown = capsys.readouterr().out
    assert "share of the" in shown
    assert "faithfulness, words left out" in shown
    assert ExplainConfig().sample == 200


def test_faults_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "longest"]) == 2
    assert "give a response to explain" in capsys.readouterr().err
    assert main(["explain", "longest", "--response", "a", "--method", "integrated-gradients"]) == 2
    assert "does not fit a LengthReward" in capsys.readouterr().err
