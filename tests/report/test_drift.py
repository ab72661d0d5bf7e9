"""The page of a monitored run."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from guerdon.optimize.monitor import Look
from guerdon.report.drift import charts, fits, gains, render


def looks(gold: bool = True) -> list[Look]:
    """Eleven looks; the proxy rises, gold turns at step 6."""
    found = []
    for step in range(0, 22, 2):
        proxy = tuple(0.1 * step + 0.01 * i for i in range(20))
        worth = tuple(0.1 * (step if step < 7 else 12 - step) + 0.02 * i * (step > 0) for i in range(20))
        found.append(
            Look(
                step, sum(proxy) / 20, sum(worth) / 20 if gold else math.nan, proxy, worth if gold else (), 0.5 * step,
                30.0 + step, 0.1, 0.02 * step, 0.9, (("Why <b>?", f"Because & {step}."), ("行星?", "")),
            )
        )  # fmt: skip
    return found


def test_what_was_gained() -> None:
    found = gains(looks()[0], looks()[3])
    assert found.proxy.point == pytest.approx(0.6)
    assert found.proxy.low == pytest.approx(0.6), "every prompt gained the same"
    assert found.gold is not None
    assert found.gold.point == pytest.approx(0.6 + 0.19)
    assert found.gold.low < found.gold.point < found.gold.high
    unknown = replace(looks()[3], proxy_by_prompt=(math.nan, *looks()[3].proxy_by_prompt[1:]))
    assert gains(looks()[0], unknown).proxy.point == pytest.approx(0.6), "a prompt without a reward does not count"


def test_the_page() -> None:
    page = render(looks(), "smollm2 by grpo")
    assert "The policy of step 6 is kept" in page
    assert "Why &lt;b&gt;?" in page
    assert "Because &amp; 6." in page
    assert "(nothing)" in page
    assert "log d" in page
    without = render(looks(gold=False), "x")
    assert "There is no gold reward" in without
    falling = [
        replace(look, gold_by_prompt=tuple(-float(look.step) for _ in range(20)), gold=-float(look.step))
        for look in looks()
    ]
    assert "never rose above the start" in render(falling, "x")
    assert len(charts(looks())) == 4
    assert [name for name, _ in fits(looks())] == ["proxy", "gold"]
    assert render(looks()[:1], "only the start")
