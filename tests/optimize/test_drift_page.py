"""The page of a monitored run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from guerdon.optimize.drift_page import charts, fits, gains, render
from guerdon.optimize.monitor import PolicyEvaluation


def evaluations(gold: bool = True) -> list[PolicyEvaluation]:
    """Eleven evaluations; the proxy rises, gold turns at step 6."""
    found = []
    for step in range(0, 22, 2):
        proxy = tuple(0.1 * step + 0.01 * i for i in range(20))
        worth = tuple(0.1 * (step if step < 7 else 12 - step) + 0.02 * i * (step > 0) for i in range(20))
        found.append(
            PolicyEvaluation(
                step, sum(proxy) / 20, sum(worth) / 20 if gold else math.nan, proxy, worth if gold else (), 0.5 * step,
                30.0 + step, 0.1, 0.02 * step, 0.9, (("Why <b>?", f"Because & {step}."), ("行星?", "")),
            )
        )  # fmt: skip
    return found


def test_what_was_gained() -> None:
    found = gains(evaluations()[0], evaluations()[3])
    assert found.proxy.point == pytest.approx(0.6)
    assert found.proxy.low == pytest.approx(0.6), "every prompt gained the same"
    assert found.gold is not None
    assert found.gold.point == pytest.approx(0.6 + 0.19)
    assert found.gold.low < found.gold.point < found.gold.high
    unknown = replace(evaluations()[3], proxy_by_prompt=(math.nan, *evaluations()[3].proxy_by_prompt[1:]))
    assert gains(evaluations()[0], unknown).proxy.point == pytest.approx(0.6), (
        "a prompt without a reward does not count"
    )


def test_the_page() -> None:
    page = render(evaluations(), "smollm2 by grpo")
    assert "The policy of step 6 is kept" in page
    assert "Why &lt;b&gt;?" in page
    assert "Because &amp; 6." in page
    assert "(empty)" in page
    assert "log d" in page
    without = render(evaluations(gold=False), "x")
    assert "There is no gold reward" in without
    falling = [
        replace(one, gold_by_prompt=tuple(-float(one.step) for _ in range(20)), gold=-float(one.step))
        for one in evaluations()
    ]
    assert "never rose above the start" in render(falling, "x")
    assert len(charts(evaluations())) == 4
    assert [name for name, _ in fits(evaluations())] == ["proxy", "gold"]
    assert render(evaluations()[:1], "only the start")
