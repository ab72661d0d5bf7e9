from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import guerdon
from guerdon.cli.main import main
from guerdon.data.read import load_rows
from json_lines import write_lines


def pairs(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"prompt": f"Q{at}?", "chosen": f"good {at}", "rejected": "bad", **more} for at in range(count)]


@pytest.fixture
def good(tmp_path: Path) -> str:
    return write_lines(tmp_path / "good.jsonl", *pairs(50, subset="[x] :smile:_1"))


@pytest.fixture
def faulty(tmp_path: Path) -> str:
    return write_lines(tmp_path / "faulty.jsonl", *pairs(3), {"prompt": "Q?", "chosen": "a", "rejected": "a"}, {"a": 1})


def test_check_of_a_good_file(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", good]) == 0
    out = capsys.readouterr().out
    assert good in out
    assert "usable: Comparison" in out


def test_check_of_a_faulty_file_ends_with_2(faulty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", faulty]) == 2
    out, err = capsys.readouterr()
    assert out.startswith(f"{faulty}:4: chosen and rejected are the same text")
    assert f"\n{faulty}:5: no known layout has these columns: a\n" in out
    assert "  comparison (chosen, rejected)" in out
    assert err.startswith(f"guerdon data check: error: {faulty}: 2 of 5 rows cannot be used.")


def test_reports_as_json(good: str, faulty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", faulty, "--json", "-"]) == 2
    assert json.loads(capsys.readouterr().out)["faults"] == 2
    assert main(["data", "info", good, "--json", str(tmp_path / "info.json")]) == 0
    assert json.loads((tmp_path / "info.json").read_text())["prompts"] == 50
    assert "distinct prompts" in capsys.readouterr().out


def test_info_shows_names_as_they_are(good: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", good, "--group", "subset", "--group-regex", "(.*)_"]) == 0
    out = capsys.readouterr().out
    assert "[x] :smile:_1" in out
    assert "longer response chosen" in out


def test_info_shows_how_the_file_was_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_lines(
        tmp_path / "a.jsonl", {"q": "Who?", "good": "I. " * 300, "bad": "You.", "note": "x", "own": "[b]"}
    )
    assert main(["data", "info", file, "--map", "prompt=q,chosen=good,rejected=bad"]) == 0
    out = capsys.readouterr().out
    for shown in (
        ("layout", "comparison"),
        ("columns of other names", "prompt = q, chosen = good, rejected = bad"),
        ("columns read", "prompt, chosen, rejected"),
        ("columns not read, kept beside the rows", "note, own"),
    ):
        assert any(all(part in line for part in shown) for line in out.splitlines())
    assert "example 1, as a scorer is given it" in out
    assert "(400 characters more)" in out


def test_info_says_how_many_rows_were_left_out(faulty: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", faulty]) == 0
    assert "2 rows cannot be used and are left out" in capsys.readouterr().err


def test_split_by_prompt(good: str, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    assert main(["data", "split", good, str(out), "--test", "0.2", "--validation", "0.1", "--ending", ".jsonl.gz"]) == 0
    sizes = {path.name: len(load_rows(str(path))) for path in out.iterdir()}
    assert sizes == {"train.jsonl.gz": 35, "validation.jsonl.gz": 5, "test.jsonl.gz": 10}


def test_split_by_dialogue_and_by_column(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes?"}]
    later = {"prompt": [*turns, {"role": "user", "content": "And?"}], "chosen": "a", "rejected": "b"}
    source = write_lines(tmp_path / "a.jsonl", later, {"prompt": "Hi", "chosen": "a", "rejected": "b"}, *pairs(4))
    assert main(["data", "split", source, str(tmp_path / "dialogue"), "--group", "dialogue"]) == 0
    found = [path.stem for path in (tmp_path / "dialogue").iterdir() if "And?" in path.read_text()]
    assert [path.stem for path in (tmp_path / "dialogue").iterdir() if '"Hi"' in path.read_text()] == found
    source = write_lines(
        tmp_path / "b.jsonl", *pairs(4, topic="x_1"), *[row | {"prompt": "R"} for row in pairs(4, topic="y_1")]
    )
    assert main(["data", "split", source, str(tmp_path / "topic"), "--group", "topic", "--group-regex", "(.)_"]) == 0
    assert {row.group for row in load_rows(str(tmp_path / "topic" / "test.jsonl"))} in ({"x"}, {"y"})


def test_split_refuses_leaks_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"prompt": "Q?", "chosen": f"good {at}", "rejected": "bad", "topic": at} for at in range(9)]
    source, out = write_lines(tmp_path / "a.jsonl", *rows), tmp_path / "parts"
    assert main(["data", "split", source, str(out), "--group", "topic"]) == 2
    assert "the prompt 'Q?'" in capsys.readouterr().err
    assert not out.exists()
    assert main(["data", "split", source, str(out), "--group", "topic", "--allow-leaks"]) == 0
    assert "warning: prompts stand in two parts" in capsys.readouterr().err
    assert main(["data", "split", source, str(out), "--group", "topic", "--allow-leaks"]) == 2
    assert "it is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--group-regex", "x"], "needs the group column"),
        (["--test", "1.5"], "shares of the rows"),
        (["--ending", ".xlsx"], "unknown ending"),
        (["--group", "nothing"], "the group column 'nothing' has no single value here"),
    ],
)
def test_split_mistakes(
    good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["data", "split", good, str(tmp_path / "parts"), *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("ending", [".jsonl", ".json.gz", ".csv", ".tsv.zst", ".parquet"])
def test_convert(good: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], ending: str) -> None:
    out = tmp_path / f"new{ending}"
    assert main(["data", "convert", good, str(out), "--group", "prompt"]) == 0
    assert capsys.readouterr().err == f"50 rows written to {out}\n"
    assert [row.group for row in load_rows(str(out))][:2] == ["Q0?", "Q1?"]


def test_convert_writes_nothing_if_a_row_is_faulty_unless_told(
    faulty: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new.jsonl"
    assert main(["data", "convert", faulty, str(out)]) == 2
    err = capsys.readouterr().err
    assert "2 of 5 rows cannot be used" in err
    assert f"{faulty}:5: no known layout" in err
    assert not out.exists()
    assert main(["data", "convert", faulty, str(out), "--skip-faulty"]) == 0
    err = capsys.readouterr().err
    assert f"left out: {faulty}:4: " in err
    assert err.endswith(f"3 rows written to {out}, 2 left out\n")
    assert len(load_rows(str(out))) == 3


def test_convert_from_standard_input_to_standard_output() -> None:
    lines = "".join(json.dumps(row) + "\n" for row in pairs(2, note="好"))
    result = subprocess.run(
        [sys.executable, "-m", "guerdon", "data", "convert", "-", "-"],
        input=lines.encode(),
        capture_output=True,
        check=True,
    )
    assert [json.loads(line) for line in result.stdout.splitlines()] == pairs(2, note="好")
    assert result.stderr == b""


def test_functions_and_commands_write_the_same_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "in.csv"
    rows = [f"Q{i}?,good {i},bad {i},t{i % 3}" for i in range(9)]
    data.write_text("\n".join(["prompt,chosen,rejected,topic", *rows, rows[0]]) + "\n", encoding="utf-8")
    command, function = tmp_path / "command", tmp_path / "function"
    for folder in (command, function):
        folder.mkdir()
    assert main(["data", "info", str(data), "--group", "topic", "--json", str(command / "info.json")]) == 0
    assert main(["data", "check", str(data), "--json", str(command / "check.json")]) == 0
    assert main(["data", "split", str(data), str(command / "parts"), "--group", "topic", "--test", "0.4"]) == 0
    assert main(["data", "convert", str(data), str(command / "rows.jsonl"), "--group", "topic"]) == 0
    told = capsys.readouterr()
    described = guerdon.describe_data(str(data), group="topic")
    described.save(function / "info.json")
    assert (described.rows, described.groups) == (10, 3)
    checked = guerdon.check_data(str(data))
    checked.save(function / "check.json")
    assert checked.repeats == 1
    parts = guerdon.split_data(str(data), function / "parts", guerdon.SplitConfig(test=0.4), group="topic")
    assert list(parts) == ["train.jsonl", "test.jsonl"]
    assert guerdon.convert_data(str(data), function / "rows.jsonl", group="topic").rows == 10
    assert capsys.readouterr() == ("", "")
    assert "10 rows written" in told.err
    made = sorted(path.relative_to(command) for path in command.rglob("*.json*"))
    assert len(made) == 5
    for path in made:
        assert (command / path).read_bytes() == (function / path).read_bytes()
