"""The run folder: whose run it is, how far it has come, and its checkpoints, which are whole or absent."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from guerdon.data.write import prompt_value
from guerdon.errors import ConfigError, OutputError
from guerdon.files import atomic_write, disk_errors, output_error
from guerdon.runs.lock import locked
from guerdon.runs.ranks import main_process_first
from guerdon.types import AnyRow, Candidates

RUN_FOLDER = "run"
RUN_FILE = "run.json"
_PREFIX = "checkpoint-"
_STAGE = "saving"

MAY_CHANGE = {"tokens_per_batch", "gradient_checkpointing", "save_steps", "trust_remote_code", "map", "question"}
"""Options that do not change what comes out, so that a run may go on with other values; that the data is the same, it
says itself, however its columns were named."""
PLACES = {"backbone", "policy", "negatives_policy", "model", "data"}
"""Options that may name a place on disk: it is the same place however it is written."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """`out/run` of one run. `run.json` there says whose it is, once the run has begun."""

    out: Path
    config: dict[str, Any]
    """The options of the run."""
    data: dict[str, Any]
    """What tells the data from other data (`rows` and `sha256`)."""

    @property
    def path(self) -> Path:
        """Where checkpoints, metrics and TensorBoard files go."""
        return self.out / RUN_FOLDER

    @property
    def begun(self) -> bool:
        """Whether the run, or another one, has begun here."""
        return (self.path / RUN_FILE).exists()

    @property
    def finished(self) -> bool:
        """Whether the run has come to its end, and what it made is saved."""
        return self.begun and bool(self._record().get("finished"))

    @property
    def last_checkpoint(self) -> Path | None:
        """The checkpoint to go on from; None before the first."""
        steps = checkpoint_steps(self.path)
        return checkpoint_path(self.path, steps[-1]) if steps else None

    def begin(self) -> None:
        """Writes `run.json`, now that it is sure that there is something to run; sweeps away half-written results."""
        for left in self.out.glob(".*.tmp"):  # by a run that was killed while it saved
            shutil.rmtree(left, ignore_errors=True)
        self._write(finished=False)

    def finish(self) -> None:
        """Notes that what the run made is saved; its checkpoints have done their work."""
        self._write(finished=True)
        for step in checkpoint_steps(self.path):
            shutil.rmtree(checkpoint_path(self.path, step), ignore_errors=True)

    def check(self, *, resume: bool) -> None:
        """Checks that the folder is free, or holds this very run and is to be resumed.

        Raises:
            OutputError: the folder holds a run and `resume` was not asked for.
            ConfigError: it holds another run than the one to resume.
        """
        if not self.begun:
            return
        if not resume:
            raise OutputError(f"{self.out} holds a run already. Fix: --resume goes on with it; or choose another --out")
        theirs, mine = self._record(), _resolved(self.config)
        differing = sorted(
            f"{name} was {theirs['config'].get(name)!r}, now {value!r}"
            for name, value in mine.items()
            if name not in MAY_CHANGE and theirs["config"].get(name) != value
        )
        if theirs["data"]["sha256"] != self.data["sha256"]:
            differing.append(f"the data differs ({theirs['data']['rows']} rows then, {self.data['rows']} now)")
        if differing:
            raise ConfigError(f"cannot resume {self.out}: " + "; ".join(differing))

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.path / RUN_FILE).read_text(encoding="utf-8"))
        return record

    def _write(self, *, finished: bool) -> None:
        with atomic_write(self.path / RUN_FILE) as file:
            record = {"config": _resolved(self.config), "data": self.data, "finished": finished}
            json.dump(record, file, indent=2, ensure_ascii=False)


def _resolved(config: dict[str, Any]) -> dict[str, Any]:
    """The options as `run.json` gives them back (a tuple as a list), with places on disk in full."""
    config = json.loads(json.dumps(config))
    named = {name: config[name] for name in PLACES & config.keys() if config[name] and os.path.exists(config[name])}
    return config | {name: str(Path(place).resolve()) for name, place in named.items()}


@contextlib.contextmanager
def open_run(out: Path, config: dict[str, Any], data: dict[str, Any], *, resume: bool) -> Iterator[RunFolder]:
    """Takes a folder for one run: locks it against other processes and checks that it is free, or to be resumed.

    Nothing is written before both have succeeded. Of the processes of one launch the first holds the lock. `data` is
    what tells the data from other data (`fingerprint_of`).

    Raises:
        OutputError: another process runs there, or a run is there and `resume` is False.
        ConfigError: the run to resume had other options or other data.
    """
    folder = RunFolder(out, config, data)
    with contextlib.ExitStack() as held:
        with main_process_first() as main:
            if main:
                held.enter_context(locked(folder.path))
                folder.check(resume=resume)
        yield folder


_TELLING = ("prompt", "reference", "demonstration", "responses")
"""Of candidates, what a run reads."""


def fingerprint_of(rows: Sequence[AnyRow | Candidates]) -> dict[str, Any]:
    """What tells one data set, or one set of prompts, from another."""
    digest = hashlib.sha256()
    for row in rows:
        told = _TELLING if isinstance(row, Candidates) else [one.name for one in fields(row) if one.name != "origin"]
        values = {name: getattr(row, name) for name in told} | {"prompt": prompt_value(row.prompt)}
        if "extra" in values:
            values["extra"] = {str(name): value for name, value in row.extra.items()}
        digest.update(json.dumps(values, sort_keys=True, ensure_ascii=False, default=str).encode())
    sources = sorted({row.origin.source for row in rows if row.origin})
    return {"sources": [Path(source).name for source in sources], "rows": len(rows), "sha256": digest.hexdigest()}


def checkpoint_path(run: Path, step: int) -> Path:
    """Where the checkpoint of a step is."""
    return run / f"{_PREFIX}{step}"


def checkpoint_steps(run: Path) -> list[int]:
    """Steps of the complete checkpoints of a run folder, ascending."""
    names = [entry.name.removeprefix(_PREFIX) for entry in run.glob(f"{_PREFIX}*")]
    return sorted(int(name) for name in names if name.isdigit())


@contextlib.contextmanager
def new_checkpoint(
    run: Path, step: int, *, best: int = 0, main: bool = True, barrier: Callable[[], None] = lambda: None
) -> Iterator[Path]:
    """Gives a folder that becomes the checkpoint of a step when the block ends well; older ones but the best then go.

    Of processes that write together `main` is the first; `barrier` waits for all of them.

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
