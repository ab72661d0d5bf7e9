"""The learning curve of a run, from its log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from guerdon.runs.log import read_log

Points: TypeAlias = tuple[tuple[float, float], ...]
"""(step, value), by step."""

_COLUMNS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "validation_loss": "eval_loss",
    "validation_accuracy": "eval_accuracy",
}
"""Series -> its name in the log."""


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

    return LearningCurve(**{name: series(column) for name, column in _COLUMNS.items()})
