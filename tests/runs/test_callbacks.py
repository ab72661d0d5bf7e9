"""The log forgets what a resumed run does again, and survives a line that a crash cut short."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from guerdon.runs.callbacks import METRICS_FILE, MetricsLog, Progress


def state(step: int, *, first: bool = True) -> Any:
    return SimpleNamespace(global_step=step, max_steps=10, is_world_process_zero=first)


def test_a_resumed_log_goes_on_at_the_checkpoint(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path)
    log.on_train_begin(None, state(0), None)
    for step in (1, 2, 3):
        log.on_log(None, state(step), None, {"loss": 1.0 / step})
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 2, "lo')
    log.on_train_begin(None, state(2), None)
    log.on_log(None, state(3), None, {"loss": 9.0})
    log.on_log(None, state(4, first=False), None, {"loss": 9.0})
    lines = [json.loads(line) for line in (tmp_path / METRICS_FILE).read_text().splitlines()]
    assert lines == [{"step": 1, "loss": 1.0}, {"step": 2, "loss": 0.5}, {"step": 3, "loss": 9.0}]


def test_a_new_run_begins_a_new_log(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).write_text('{"step": 1}\n')
    MetricsLog(tmp_path).on_train_begin(None, state(0), None)
    assert (tmp_path / METRICS_FILE).read_text() == ""


def test_progress_counts_from_where_the_run_goes_on() -> None:
    seen: list[dict[str, float]] = []
    progress = Progress(seen.append, 8)
    progress.on_train_begin(None, state(4), None)
    progress.on_log(None, state(5), None, {"loss": 0.5, "learning_rate": 1.0})
    progress.on_step_end(None, state(5), None)
    progress.on_step_end(None, state(6, first=False), None)
    assert seen[0] == {"step": 4, "steps": 10}
    assert {"step", "steps", "loss", "pairs_per_second", "seconds_left"} == seen[1].keys()
    assert len(seen) == 2
    per_second = seen[1]["pairs_per_second"]
    assert abs(seen[1]["seconds_left"] * per_second - 5 * 8) < 1e-6 * per_second + 1e-6
