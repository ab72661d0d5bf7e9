"""What is written down while a run trains: `metrics.jsonl`, TensorBoard files, and progress for whoever asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

METRICS_FILE = "metrics.jsonl"

OnStep = Callable[[dict[str, float]], None]
"""Called with `step`, `steps`, and as far as known `loss`, `accuracy`, `examples_per_second`, `seconds_left`."""


class RunLog:
    """Appends metrics to `metrics.jsonl` and to TensorBoard files; forgets what came after the step it goes on from."""

    def __init__(self, run: Path, step: int = 0) -> None:
        """Opens the log of a run that has done `step` steps."""
        from torch.utils.tensorboard import SummaryWriter

        self.path = run / METRICS_FILE
        kept = [json.dumps(record) for record in read_log(run) if step and record["step"] <= step]
        run.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)

    def write(self, step: int, metrics: Mapping[str, float | str]) -> None:
        """Appends a line; texts (why rewards are missing) go into `metrics.jsonl` alone."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **metrics}, ensure_ascii=False) + "\n")
        for name, value in metrics.items():
            if not isinstance(value, str):
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        """Closes the TensorBoard file."""
        self._board.close()


def read_log(run: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's `metrics.jsonl`; passes over one that a crash cut short."""
    path = run / METRICS_FILE
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int | float):
            yield record


class Progress:
    """Reports each step to a function, with the speed and the time left, so that a bar can be drawn."""

    def __init__(self, on_step: OnStep, step: int, steps: int, examples_per_step: int) -> None:
        """Starts the clock of a run that has done `step` of `steps` steps."""
        self._on_step = on_step
        self._first, self._steps = step, steps
        self._examples_per_step = examples_per_step
        self._start = time.monotonic()
        self._latest: dict[str, float] = {}

    def report(self, step: int, metrics: Mapping[str, float | str]) -> None:
        """Reports a step; metrics that it lacks are reported with the value that they had last."""
        self._latest |= {name: value for name, value in metrics.items() if not isinstance(value, str)}
        found = {"step": float(step), "steps": float(self._steps), **self._latest}
        if step > self._first:
            rate = (step - self._first) / (time.monotonic() - self._start)
            found["examples_per_second"] = rate * self._examples_per_step
            found["seconds_left"] = (self._steps - step) / rate
        self._on_step(found)
