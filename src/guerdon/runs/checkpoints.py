"""Checkpoints that are whole or absent: written under another name, then renamed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from guerdon.files import disk_errors, output_error

_PREFIX = "checkpoint-"
_STAGE = "saving"


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run / f"{_PREFIX}{step}"


def checkpoint_steps(run: Path) -> list[int]:
    """Steps of the complete checkpoints of a run folder, ascending."""
    names = [entry.name.removeprefix(_PREFIX) for entry in run.glob(f"{_PREFIX}*")]
    return sorted(int(name) for name in names if name.isdigit())


def _alone() -> None:
    """There is no other process to wait for."""


@contextlib.contextmanager
def new_checkpoint(
    run: Path, step: int, *, best: int = 0, main: bool = True, barrier: Callable[[], None] = _alone
) -> Iterator[Path]:
    """Gives a folder that becomes the checkpoint of a step when the block ends well; the older ones then go.

    Args:
        run: the run folder.
        step: the step after which the state is saved.
        best: the step of an older checkpoint that stays as well; 0 for none.
        main: whether this is the first of the processes that write together.
        barrier: waits for all of them.

    Raises:
        OutputError: it cannot be written; the last checkpoint stays.
    """
    stage, place = run / _STAGE, checkpoint_path(run, step)
    try:
        if main:
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir(parents=True)
        barrier()
        with disk_errors():
            yield stage
        barrier()
        if main:
            shutil.rmtree(place, ignore_errors=True)
            stage.replace(place)
            for older in checkpoint_steps(run):
                if older not in (step, best):
                    shutil.rmtree(checkpoint_path(run, older), ignore_errors=True)
    except OSError as error:
        shutil.rmtree(stage, ignore_errors=True)
        raise output_error(place, error) from error
