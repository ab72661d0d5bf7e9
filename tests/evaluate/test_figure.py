from __future__ import annotations

import numpy as np

from guerdon.evaluate import figure as figures
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.results import Evaluation
from guerdon.report import drawing
from guerdon.rewards.rules import LengthReward
from guerdon.types import Comparison, Rating


def evaluation(subsets: int = 3, name: str = "我的模型") -> Evaluation:
    rng = np.random.default_rng(0)
    rows = [
        Comparison(
            prompt=f"p{i}",
            chosen="x" * rng.integers(5, 10),
            rejected="y" * rng.integers(1, 9),
            subset=f"子集 {i % subsets}",
        )
        for i in range(60)
    ]
    baselines = {"longest wins": LengthReward(), "shortest wins": LengthReward(-1)}
    return evaluate_reward({name: LengthReward()}, rows, baselines=baselines, resamples=20)


def test_the_reliability_diagram_has_what_was_said_and_what_happened():
    found = evaluation(name="model")
    (axis,) = figures.reliability_figure(found).axes
    (one,) = found.sections[0].details.probabilities
    diagonal, stated, fitted = axis.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert stated.get_xydata().tolist() == [[point.said, point.happened] for point in one.reliability["as it is"]]
    assert fitted.get_label() == one.best


def labels(figure) -> list[str]:
    return [tick.get_text() for tick in figure.axes[0].get_xticklabels()]


def heights_of(axis) -> list[float]:
    return [bar.get_height() for bars in axis.containers if hasattr(bars, "patches") for bar in bars.patches]


def test_bars_are_the_figures_with_their_intervals():
    found = evaluation(name="model")
    axis = figures.accuracy_figure(found).axes[0]
    heights = heights_of(axis)
    overall = found.sections[0].overall
    assert len(heights) == 3 * (2 + 3)
    assert heights[0] == overall.models[0].metrics["accuracy"].point
    assert heights[1] == overall.models[0].metrics["length_balanced"].point
    assert heights[5] == overall.baselines[0].metrics["accuracy"].point


def test_many_subsets_are_left_to_the_table():
    assert len(labels(figures.accuracy_figure(evaluation(subsets=12)))) == 14
    assert len(labels(figures.accuracy_figure(evaluation(subsets=13)))) == 2


def test_every_kind_of_row_has_a_panel_and_gaps_stay_empty():
    rows = [
        *(Comparison(prompt="p", chosen="xx", rejected="y") for _ in range(2)),
        *(Rating(prompt=f"p{i}", response="x" * (9 - i), scores={"score": float(i)}) for i in range(6)),
    ]
    figure = figures.accuracy_figure(evaluate_reward({"model": LengthReward()}, rows, baselines={}, resamples=10))
    assert len(figure.axes) == 2
    assert figure.axes[1].get_ylim()[0] <= -1


def test_names_that_no_font_can_draw_are_numbered(monkeypatch):
    for module in (drawing, figures):
        monkeypatch.setattr(module, "font_families", lambda: ["DejaVu Sans"])
    figure = figures.accuracy_figure(evaluation())
    assert labels(figure)[2:] == ["subset 1", "subset 2", "subset 3"]
    assert figure.legends[0].get_texts()[0].get_text() == "system 1"
    assert drawing.readable_label("naïve", "other") == "naïve"


def test_what_a_system_does_not_have_stays_empty():
    class Longer:
        def compare(self, prompts, a, b, *, references=None):
            return np.array([(np.sign(len(x) - len(y)) + 1) / 2 for x, y in zip(a, b, strict=True)])

    rows = [Rating(prompt=f"p{i}", response="x" * (9 - i), scores={"score": float(i)}) for i in range(6)]
    found = evaluate_reward({"length": LengthReward(), "longer": Longer()}, rows, baselines={}, resamples=10)
    assert found.sections[0].primary == "spearman"
    axis = figures.accuracy_figure(found).axes[0]
    assert heights_of(axis) == [-1, 0, 0, 0]
