from __future__ import annotations

import io
import json
import logging
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from rich.console import Console

from guerdon.cli.main import main
from guerdon.cli.progress import clock, metrics_line, terminal, text_progress, training_progress
from guerdon.cli.train import default_folder, summary
from guerdon.data.write import write_rows
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import Comparison


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Twelve prompts whose preferred answers are polite."""
    rows = [
        Comparison(prompt=f"How do I boil egg {i}?", chosen="Put it into boiling water.", rejected="I do not know.")
        for i in range(12)
    ]
    write_rows(rows, tmp_path / "polite.jsonl")
    return str(tmp_path / "polite.jsonl")


def train(data: str, backbone: str, *options: str) -> int:
    return main(["train", data, "--backbone", backbone, "--batch-size", "4", *options])


def test_model_is_saved_and_next_commands_are_named(
    data: str, tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train(data, tiny_bert, "--epochs", "1", "--validation", "0.2", "--learning-rate", "1e-3") == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[0] == "reward model: runs/polite"
    assert "accuracy on the validation rows: " in captured.out
    assert "guerdon evaluate runs/polite TEST" in captured.out
    assert f"guerdon score runs/polite {data} --out scores.jsonl" in captured.out
    assert "step 3/3  loss 0." in captured.err
    assert "examples/s" in captured.err
    card = json.loads((tmp_path / "runs" / "polite" / "guerdon.json").read_text(encoding="utf-8"))
    assert card["training"]["learning_rate"] == 1e-3
    assert main(["score", "runs/polite", data, "--out", "scores.jsonl"]) == 0

    assert train(data, tiny_bert) == 2
    assert "--resume goes on with it" in capsys.readouterr().err


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but TensorBoard's, whose names and content hold the time."""
    files = [path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_function_and_command_write_the_same_files(data: str, tiny_bert: str, tmp_path: Path) -> None:
    command, function = tmp_path / "command", tmp_path / "function"
    assert train(data, tiny_bert, "--out", str(command), "--epochs", "1", "--ensemble-size", "2") == 0
    config = TrainConfig(backbone=tiny_bert, batch_size=4, epochs=1.0, ensemble_size=2)
    train_reward_model(data, function, config)
    assert contents(command) == contents(function)
    assert {"guerdon.json", "run/run.json", "member-1/model.safetensors"} < contents(command).keys()


def test_rows_of_its_own_for_validation(data: str, tiny_bert: str, tmp_path: Path) -> None:
    out = tmp_path / "model"
    assert train(data, tiny_bert, "--out", str(out), "--validation-data", data, "--epochs", "1") == 0
    assert '"eval_accuracy"' in (out / "run" / "metrics.jsonl").read_text(encoding="utf-8")


def test_help_has_every_option_with_its_words() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "guerdon", "train", "--help"],
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "100"},
    )
    assert run.returncode == 0
    options = [f"--{field.name.replace('_', '-')}" for field in fields(TrainConfig)]
    found = [re.search(rf"^│ {option}[ ,]", run.stdout, re.MULTILINE) for option in options]
    assert [option for option, match in zip(options, found, strict=True) if match is None] == []
    places = [match.start() for match in found if match]
    assert places == sorted(places)
    assert "Number of passes over the judgements." in run.stdout


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("a/b/pairs.jsonl.gz", "pairs"),
        ("x.parquet", "x"),
        ("starter", "starter"),
        ("-", "stdin"),
        ("owner/name:train", "name-train"),
        ("v1.2", "v1.2"),
    ],
)
def test_default_folder(data: str, name: str) -> None:
    assert default_folder(data) == Path("runs") / name


def test_summary_of_an_ensemble_names_its_members(tmp_path: Path) -> None:
    for i in range(2):
        run = tmp_path / f"member-{i}" / "run"
        run.mkdir(parents=True)
        (run / "metrics.jsonl").write_text('{"step": 4, "eval_loss": 0.5, "eval_accuracy": 0.75}\n')
    text = summary(tmp_path, "my data.jsonl", 2)
    assert "of member-1: 0.750 (step 4" in text
    assert "'my data.jsonl'" in text


# --- progress


def console(is_terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=is_terminal, width=160, markup=False)


def said(on: Console) -> str:
    return on.file.getvalue()  # type: ignore[attr-defined]


def test_about_ten_lines_where_there_is_no_terminal() -> None:
    on = console(False)
    with training_progress(on) as report:
        for member in range(2):
            for step in range(101):
                report({"step": step, "steps": 100, "loss": 0.5 + member})
    lines = said(on).splitlines()
    assert 20 <= len(lines) <= 22
    assert lines[0].startswith("step 1") or lines[0].startswith("step 9")
    assert lines[-1] == "step 100/100  loss 1.500"


def test_bar_on_a_terminal_shows_the_metrics() -> None:
    on = console(True)
    with training_progress(on) as report:
        report({"step": 5, "steps": 10, "loss": 0.5, "accuracy": 0.75, "examples_per_second": 6.25, "seconds_left": 65})
    assert "5/10" in said(on)
    assert "loss 0.500  accuracy 0.750  6.2 examples/s  1:05 left" in said(on)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_texts_are_counted(is_terminal: bool) -> None:
    with text_progress(console(is_terminal), "scoring", 10) as advance:
        advance(4)
        advance(6)


def test_metrics_that_are_not_known_are_left_out() -> None:
    assert metrics_line({"step": 1, "steps": 9}) == ""
    assert metrics_line({"eval_accuracy": 0.5, "seconds_left": 0.0}) == "validation 0.500"
    assert [clock(seconds) for seconds in (0, 59.6, 3661)] == ["0:00", "1:00", "1:01:01"]


def test_warnings_appear_once_and_cleanly(capsys: pytest.CaptureFixture[str]) -> None:
    before = logging.getLogger().handlers[:]
    with terminal():
        for share in (31, 42):
            logging.getLogger("guerdon.x").warning("cannot read %d%% of [red]it[/red]", share)
        logging.getLogger("guerdon.x").info("quiet")
    assert capsys.readouterr().err == "warning: cannot read 31% of [red]it[/red]\n"
    assert logging.getLogger().handlers == before
