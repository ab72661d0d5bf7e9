"""The log forgets what a resumed run does again, and survives a line that a crash cut short."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from guerdon.runs.log import METRICS_FILE, LearningCurve, RunLog, read_curve, read_log


def test_a_resumed_log_goes_on_at_the_checkpoint(tmp_path: Path) -> None:
    log = RunLog(tmp_path)
    for step in (1, 2, 3):
        log.write(step, {"loss": 1.0 / step})
    log.close()
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 2, "lo')
    log = RunLog(tmp_path, 2)
    log.write(3, {"loss": 9.0, "why": "no answer"})
    log.close()
    assert list(read_log(tmp_path)) == [
        {"step": 1, "loss": 1.0},
        {"step": 2, "loss": 0.5},
        {"step": 3, "loss": 9.0, "why": "no answer"},
    ]


def test_tensorboard_shows_the_resumed_run_only(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for start, value in ((0, 1.0), (2, 9.0)):
        log = RunLog(tmp_path, start)
        for step in range(start + 1, 5):
            log.write(step, {"loss": value})
        log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 1.0), (2, 1.0), (3, 9.0), (4, 9.0)]


def test_a_new_run_begins_a_new_log(tmp_path: Path) -> None:
    (tmp_path / METRICS_FILE).write_text('{"step": 1}\n')
    RunLog(tmp_path).close()
    assert (tmp_path / METRICS_FILE).read_text() == ""
    assert list(read_log(tmp_path / "none")) == []


def test_lines_that_are_not_of_a_run_are_passed_over(tmp_path: Path) -> None:
    lines = [json.dumps(line) for line in ({"step": 1}, [1], {"loss": 2}, {"step": "x"})]
    (tmp_path / METRICS_FILE).write_text("\n".join(lines))
    assert list(read_log(tmp_path)) == [{"step": 1}]


def test_progress_counts_from_where_the_run_goes_on(tmp_path: Path) -> None:
    seen: list[dict[str, float]] = []
    with closing(RunLog(tmp_path, 4, steps=10, examples_per_step=8, on_step=seen.append)) as log:
        log.write(5, {"loss": 0.5, "why": "none"})
        log.write(6, {})
    assert [line["step"] for line in read_log(tmp_path)] == [5]
    assert seen[0] == {"step": 4, "steps": 10}
    assert seen[2].keys() == {"step", "steps", "loss", "examples_per_second", "seconds_left"}
    assert seen[2]["loss"] == 0.5
    per_second = seen[2]["examples_per_second"]
    assert seen[2]["seconds_left"] * per_second == pytest.approx(4 * 8)


def test_curve_is_read_and_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 0.7, "accuracy": 0.5}\n{"step": 2, "eval_loss": 0.6, "eval_accuracy": 0.8}\n'
        '{"step": 4, "eval_loss": 0.65, "eval_accuracy": 0.9}\n{"step": 5, "lo'
    )
    curve = read_curve(tmp_path)
    assert curve.loss == ((1.0, 0.7),)
    assert curve.kept == (2.0, 0.8)
    assert read_curve(tmp_path / "none") == LearningCurve()
    assert LearningCurve().kept is None
