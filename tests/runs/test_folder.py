"""A run folder belongs to one run, and says how far it has come."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from guerdon.errors import ConfigError, OutputError
from guerdon.runs.folder import RUN_FILE, checkpoint_path, checkpoint_steps, new_checkpoint, open_run

OPTIONS: dict[str, Any] = {"seed": 0, "learning_rate": 1e-3, "tokens_per_batch": 0}
DATA: dict[str, Any] = {"rows": 3, "sha256": "abc"}


def begin(out: Path, options: dict[str, Any] = OPTIONS) -> None:
    with open_run(out, options, DATA, resume=False) as run:
        run.begin()


def test_a_folder_is_untouched_until_the_run_begins(tmp_path: Path) -> None:
    with open_run(tmp_path / "out", OPTIONS, DATA, resume=True) as run:
        assert not run.begun
        assert run.last_checkpoint is None
    assert not (tmp_path / "out").exists()


def test_another_run_is_not_gone_on_with(tmp_path: Path) -> None:
    begin(tmp_path)
    changed = OPTIONS | {"seed": 3, "learning_rate": 1e-4}
    with (
        pytest.raises(ConfigError, match=r"learning_rate was 0.001, now 0.0001; seed was 0, now 3; the data differs"),
        open_run(tmp_path, changed, {"rows": 2, "sha256": "x"}, resume=True),
    ):
        pass


def test_options_that_change_nothing_may_change(tmp_path: Path) -> None:
    begin(tmp_path, OPTIONS | {"map": "prompt=frage", "save_steps": 0})
    with open_run(
        tmp_path, OPTIONS | {"tokens_per_batch": 512, "map": None, "save_steps": 5}, DATA, resume=True
    ) as run:
        run.begin()
    assert json.loads((tmp_path / "run" / RUN_FILE).read_text())["config"]["tokens_per_batch"] == 512


def test_a_place_is_the_same_however_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "base").mkdir()
    monkeypatch.chdir(tmp_path)
    begin(tmp_path / "out", OPTIONS | {"policy": "base"})
    monkeypatch.chdir(tmp_path / "base")
    with open_run(tmp_path / "out", OPTIONS | {"policy": str(tmp_path / "base")}, DATA, resume=True) as run:
        assert run.begun
    with (
        pytest.raises(ConfigError, match="policy was"),
        open_run(tmp_path / "out", OPTIONS | {"policy": "other"}, DATA, resume=True),
    ):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_in_use_is_refused_and_nothing_is_written(resume: bool, tmp_path: Path) -> None:
    with open_run(tmp_path, OPTIONS, DATA, resume=False) as run:
        run.begin()
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        with (
            pytest.raises(OutputError, match=r"is in use: process \d+ on"),
            open_run(tmp_path, OPTIONS, DATA, resume=resume),
        ):
            pass
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_finished_run_has_no_checkpoints_and_knows_it(tmp_path: Path) -> None:
    with open_run(tmp_path, OPTIONS, DATA, resume=False) as run:
        run.begin()
        for step in (3, 20):
            checkpoint_path(run.path, step).mkdir()
        assert run.last_checkpoint == run.path / "checkpoint-20"
        run.finish()
        assert run.finished
        assert run.last_checkpoint is None
    with open_run(tmp_path, OPTIONS, DATA, resume=True) as run:
        assert run.finished


def test_beginning_sweeps_away_what_a_killed_run_left(tmp_path: Path) -> None:
    (tmp_path / ".1.ab.tmp").mkdir(parents=True)
    begin(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]


# --- checkpoints


def write(run: Path, step: int, *, best: int = 0) -> None:
    with new_checkpoint(run, step, best=best) as stage:
        (stage / "weights").write_text(str(step))


def test_steps_of_whole_checkpoints_only(tmp_path: Path) -> None:
    for name in ("checkpoint-20", "checkpoint-3", "checkpoint-", "checkpoint-x", "saving"):
        (tmp_path / name).mkdir()
    assert checkpoint_steps(tmp_path) == [3, 20]
    assert checkpoint_steps(tmp_path / "none") == []


def test_the_last_and_the_best_stay(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2, best=1)
    write(tmp_path, 3, best=1)
    assert checkpoint_steps(tmp_path) == [1, 3]
    write(tmp_path, 4, best=4)
    assert checkpoint_steps(tmp_path) == [4]
    assert (tmp_path / "checkpoint-4" / "weights").read_text() == "4"


def test_one_that_fails_leaves_the_last(tmp_path: Path) -> None:
    write(tmp_path, 1)
    with (
        pytest.raises(OutputError, match=r"cannot write .*checkpoint-2: the disk is full"),
        new_checkpoint(tmp_path, 2) as stage,
    ):
        (stage / "weights").write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device", str(stage))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-1"]


def test_what_a_killed_process_left_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "saving").mkdir()
    (tmp_path / "saving" / "old").write_text("old")
    write(tmp_path, 1)
    assert [path.name for path in (tmp_path / "checkpoint-1").iterdir()] == ["weights"]
