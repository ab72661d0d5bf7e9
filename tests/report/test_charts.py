from __future__ import annotations

import re

import numpy as np

from guerdon.report.charts import distribution_chart, learning_charts
from guerdon.runs.log import LearningCurve


def test_charts_of_little_are_left_out() -> None:
    assert learning_charts(LearningCurve(loss=((1, 0.5),))) == []
    assert distribution_chart(np.arange(9.0), np.arange(9.0)) is None
    assert distribution_chart(np.ones(20), np.ones(20)) is None
    (chart,) = learning_charts(LearningCurve(loss=((1, 0.5), (2, 0.5))))
    assert "optimiser step" in chart.svg


def test_one_wild_reward_does_not_squeeze_the_chart() -> None:
    rng = np.random.default_rng(0)
    preferred, others = rng.normal(1, 1, 400), rng.normal(0, 1, 400)
    preferred[0] = 1e6
    chart = distribution_chart(preferred, others)
    assert chart is not None
    labels = re.findall(r">\u2212?([\d.]+)</text>", chart.svg)
    assert max(map(float, labels)) < 10
