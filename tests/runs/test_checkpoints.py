"""A checkpoint is whole or absent; the last and the best stay."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from guerdon.errors import OutputError
from guerdon.runs.checkpoints import checkpoint_steps, new_checkpoint


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
