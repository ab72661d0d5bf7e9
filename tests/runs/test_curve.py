from __future__ import annotations

from guerdon.runs.curve import LearningCurve, read_curve


def test_curve_is_read_and_a_torn_line_is_passed_over(tmp_path) -> None:
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "loss": 0.7, "accuracy": 0.5}\n{"step": 2, "eval_loss": 0.6, "eval_accuracy": 0.8}\n'
        '{"step": 4, "eval_loss": 0.65, "eval_accuracy": 0.9}\n{"step": 5, "lo'
    )
    curve = read_curve(tmp_path)
    assert curve.loss == ((1.0, 0.7),)
    assert curve.kept == (2.0, 0.8)
    assert read_curve(tmp_path / "none") == LearningCurve()
    assert LearningCurve().kept is None
