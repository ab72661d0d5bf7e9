"""What is written down while a run trains: `metrics.jsonl`, TensorBoard files, and progress for whoever asked."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

METRICS_FILE = "metrics.jsonl"

OnStep = Callable[[dict[str, float]], None]
"""Called with `step`, `steps`, and as far as known `loss`, `accuracy`, `examples_per_second`, `seconds_left`."""

Points: TypeAlias = tuple[tuple[float, float], ...]
"""(step, value), by step."""


class RunLog:
    """Appends metrics to `metrics.jsonl` and to TensorBoard files; forgets what came after the step it goes on from.

    Each step is also reported to a function, with the speed and the time left, so that a bar can be drawn.
    """

    def __init__(
        self, run: Path, step: int = 0, *, steps: int = 0, examples_per_step: int = 0, on_step: OnStep | None = None
    ) -> None:
        """Opens the log of a run that has done `step` of `steps` steps."""
        from torch.utils.tensorboard import SummaryWriter

        self.path = run / METRICS_FILE
        kept = [json.dumps(record) for record in read_log(run) if step and record["step"] <= step]
        run.mkdir(parents=True, exist_ok=True)
        self.path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self._board = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1)
        self._first, self._steps, self._examples_per_step, self._on_step = step, steps, examples_per_step, on_step
        self._start, self._latest = time.monotonic(), dict[str, float]()
        self.write(step, {})

    def write(self, step: int, metrics: Mapping[str, float | str]) -> None:
        """Appends a line where there are metrics; texts (why rewards are missing) go into `metrics.jsonl` alone."""
        if metrics:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **metrics}, ensure_ascii=False) + "\n")
        numbers = {name: value for name, value in metrics.items() if not isinstance(value, str)}
        for name, value in numbers.items():
            self._board.add_scalar(name, value, step)
        if self._on_step:
            self._latest |= numbers  # what a step lacks is reported with the value that it had last
            self._on_step({"step": float(step), "steps": float(self._steps), **self._latest, **self._speed(step)})

    def _speed(self, step: int) -> dict[str, float]:
        if step == self._first:
            return {}
        rate = (step - self._first) / (time.monotonic() - self._start)
        return {"examples_per_second": rate * self._examples_per_step, "seconds_left": (self._steps - step) / rate}

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


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What was logged while a model was trained; a series that was not logged is empty."""

    loss: Points = ()
    accuracy: Points = ()
    validation_loss: Points = ()
    validation_accuracy: Points = ()

    @property
    def kept(self) -> tuple[float, float] | None:
        """Step and validation accuracy of the checkpoint that training keeps: that of the lowest validation loss.

        None where there are no validation rows, or nothing in it has an order.
        """
        if not self.validation_loss:
            return None
        best = min(self.validation_loss, key=lambda point: point[1])[0]
        return next((point for point in self.validation_accuracy if point[0] == best), None)


def read_curve(run: str | Path) -> LearningCurve:
    """Reads the run folder that training leaves beside a model; empty where there is none."""
    records = list(read_log(Path(run)))

    def series(column: str) -> Points:
        points = {float(record["step"]): float(record[column]) for record in records if column in record}
        return tuple(sorted(points.items()))

    return LearningCurve(series("loss"), series("accuracy"), series("eval_loss"), series("eval_accuracy"))
