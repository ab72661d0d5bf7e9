"""The learning curve of a run, from its `metrics.jsonl`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

METRICS_FILE = "metrics.jsonl"

Points = tuple[tuple[float, float], ...]
"""(step, value), by step."""


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What was logged while a model was trained; a series that was not logged is empty."""

    loss: Points = ()
    accuracy: Points = ()
    held_out_loss: Points = ()
    held_out_accuracy: Points = ()

    @property
    def kept(self) -> tuple[float, float] | None:
        """Step and accuracy on the held-out rows of the checkpoint that training keeps: that of the lowest loss there.

        None where nothing was held out, or nothing in it has an order.
        """
        if not self.held_out_loss:
            return None
        best = min(self.held_out_loss, key=lambda point: point[1])[0]
        return next((point for point in self.held_out_accuracy if point[0] == best), None)


def read_curve(run: str | Path) -> LearningCurve:
    """Reads the run folder that training leaves beside a model; empty where there is none.

    A last line that a crash cut short is passed over.
    """
    path = Path(run) / METRICS_FILE
    records = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            records.append(json.loads(line))
        except ValueError:
            continue
    names = {
        "loss": "loss",
        "accuracy": "accuracy",
        "held_out_loss": "eval_loss",
        "held_out_accuracy": "eval_accuracy",
    }
    return LearningCurve(**{name: _series(records, column) for name, column in names.items()})


def _series(records: list[dict[str, float]], column: str) -> Points:
    points = {float(record["step"]): float(record[column]) for record in records if column in record}
    return tuple(sorted(points.items()))
