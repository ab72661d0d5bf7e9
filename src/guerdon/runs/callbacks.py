"""What is written down while training runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback

METRICS_FILE = "metrics.jsonl"

OnStep = Callable[[dict[str, float]], None]
"""Called with `step`, `steps`, and as far as known `loss`, `accuracy`, `pairs_per_second`, `seconds_left`."""


class MetricsLog(TrainerCallback):
    """Appends every logged figure to `metrics.jsonl`; on resume, forgets what came after the checkpoint."""

    def __init__(self, run: Path) -> None:
        self.path = run / METRICS_FILE

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keeps the lines up to the step that training goes on from."""
        if not state.is_world_process_zero:
            return
        forget_after(self.path, state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Appends one line."""
        if state.is_world_process_zero and logs:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step, **logs}) + "\n")


def forget_after(log: Path, step: int) -> None:
    """Keeps the lines of a log up to a step; makes it, empty, where there is none."""
    lines = log.read_text(encoding="utf-8").splitlines() if step and log.exists() else []
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("".join(f"{line}\n" for line in lines if _step_of(line) <= step), encoding="utf-8")


def run_callbacks(run: Path, on_step: OnStep | None, judgements_per_step: int, *, main: bool) -> list[TrainerCallback]:
    """What every run writes down: `metrics.jsonl`, TensorBoard files, and progress for whoever asked.

    Args:
        run: the run folder.
        on_step: told after every step.
        judgements_per_step: what an optimiser step holds.
        main: whether this is the first process of the run.
    """
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    callbacks: list[TrainerCallback] = [MetricsLog(run)]
    if main:
        callbacks.append(TensorBoardCallback(SummaryWriter(str(run / "tensorboard"))))
    if on_step:
        callbacks.append(Progress(on_step, judgements_per_step))
    return callbacks


def _step_of(line: str) -> float:
    """The step of a line; infinite for one that a crash cut short."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class Progress(TrainerCallback):
    """Reports each step to a function, so that a bar can be drawn without this module knowing how."""

    def __init__(self, on_step: OnStep, judgements_per_step: int) -> None:
        self._on_step = on_step
        self._per_step = judgements_per_step
        self._start = time.monotonic()
        self._first = 0
        self._latest: dict[str, float] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Starts the clock."""
        self._start = time.monotonic()
        self._first = state.global_step
        self._report(state)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Reports a step."""
        self._report(state)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """Remembers the newest figures for the next report."""
        for name in ("loss", "accuracy", "eval_loss", "eval_accuracy"):
            if logs and name in logs:
                self._latest[name] = float(logs[name])

    def _report(self, state: Any) -> None:
        figures = {"step": float(state.global_step), "steps": float(state.max_steps), **self._latest}
        done = state.global_step - self._first
        if done:
            rate = done / (time.monotonic() - self._start)
            figures["pairs_per_second"] = rate * self._per_step
            figures["seconds_left"] = (state.max_steps - state.global_step) / rate
        if state.is_world_process_zero:
            self._on_step(figures)


class EarlyStopping(EarlyStoppingCallback):
    """Transformers' early stopping, without its advice to load the best model by itself: `train.run` does."""

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Nothing to prepare."""
