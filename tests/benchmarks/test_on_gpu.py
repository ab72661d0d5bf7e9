"""The measurements of a GPU: in their order, kept when they are there, begun again when they are not."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import on_gpu

SCRIPT = """
import sys, json, pathlib
path = pathlib.Path(sys.argv[sys.argv.index("--json") + 1])
path.write_text(json.dumps({"options": sys.argv[1:]}))
if "--fail" in sys.argv:
    raise SystemExit("a peer is missing")
"""


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[on_gpu.Measurement]:
    """Three measurements, the second of which fails."""
    (tmp_path / "speed.py").write_text(SCRIPT)
    found = [
        on_gpu.Measurement("one", ["speed.py"], 1, ["--small"]),
        on_gpu.Measurement("two", ["speed.py", "--fail"], 1),
        on_gpu.Measurement("three", ["speed.py"], 1),
    ]
    monkeypatch.setattr(on_gpu, "HERE", tmp_path)
    monkeypatch.setattr(on_gpu, "measurements", lambda *_: found)
    return found


def started(out: Path, *options: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setattr(sys, "argv", ["on_gpu.py", "--out", str(out), *options])
    on_gpu.main()
    return capsys.readouterr().out.splitlines()


@pytest.mark.usefixtures("listed")
def test_what_is_missing_is_measured_and_what_failed_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    first = started(out, "--tiny", monkeypatch=monkeypatch, capsys=capsys)
    assert [line.split(":")[0] for line in first] == ["one", "two", "three", "2 of 3 are there"]
    assert "--small" in json.loads((out / "one.json").read_text())["options"]
    assert "a peer is missing" in (out / "two.log").read_text()
    assert (out / "two.partial.json").exists()
    (out / "three.json").unlink()
    (out / "three.log").unlink()
    again = started(out, monkeypatch=monkeypatch, capsys=capsys)
    assert [line.split(":")[0] for line in again] == ["three", "two", "2 of 3 are there"]


@pytest.mark.usefixtures("listed")
def test_none_is_begun_without_a_chance_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = started(tmp_path / "out", "--minutes", "0.1", monkeypatch=monkeypatch, capsys=capsys)
    assert [line for line in lines if "takes about" in line] == lines[:3]
    assert lines[3] == "0 of 3 are there"


def test_every_script_is_there_and_names_differ() -> None:
    found = on_gpu.measurements("pairs.jsonl", "arguments.jsonl", Path("out"))
    assert len({one.name for one in found}) == len(found)
    assert "precision" in {one.name for one in found}
    marked = next(one.words for one in found if one.name == "tests-gpu")
    assert {"test_sampling_on_a_gpu.py", "test_training_on_a_gpu.py"} <= {Path(word).name for word in marked}
    scripts = {one.words[0] for one in found} - {"pytest"}
    assert all((on_gpu.HERE / script).is_file() for script in scripts)
    assert {"train_decoder.py", "score_encoder.py", "generate.py", "rl_step.py"} <= scripts
    assert "precision" not in {one.name for one in on_gpu.measurements("pairs.jsonl", "", Path("out"))}


def test_what_pytest_says_is_a_result(tmp_path: Path) -> None:
    (tmp_path / "tests.log").write_text(
        "..F\nFAILED tests/test_it.py::test_it - assert 1\n1 failed, 2 passed in 1.00s\n"
    )
    on_gpu.write_tests(tmp_path / "tests.log", tmp_path / "tests.json")
    found = json.loads((tmp_path / "tests.json").read_text())["results"]
    assert found["end"] == "1 failed, 2 passed in 1.00s"
    assert found["faults"] == ["FAILED tests/test_it.py::test_it - assert 1"]
