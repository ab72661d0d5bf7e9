"""How a policy changed while it was optimised: proxy and gold over the distance gone, and what it said on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.metrics import Interval, mean_interval
from guerdon.optimize.monitor import GaoFit, Look, fit_gao, peak
from guerdon.report.charts import Chart, Line, line_chart
from guerdon.report.drawing import AGAINST
from guerdon.report.templating import environment

TEMPLATE = "drift.html.j2"
SHOWN = 6
"""Looks whose samples are shown, from the first to the last."""


@dataclass(frozen=True, slots=True)
class Gains:
    """What two looks differ by, prompt by prompt."""

    proxy: Interval
    gold: Interval | None


def gains(before: Look, after: Look) -> Gains:
    """Mean gains over the held-out prompts, with 95% intervals by the bootstrap over prompts."""
    proxy = _gain(before.proxy_by_prompt, after.proxy_by_prompt)
    gold = _gain(before.gold_by_prompt, after.gold_by_prompt) if after.gold_by_prompt else None
    return Gains(proxy, gold)


def _gain(before: Sequence[float], after: Sequence[float]) -> Interval:
    return mean_interval(np.asarray(after) - np.asarray(before))


def charts(looks: Sequence[Look]) -> list[Chart]:
    """Rewards over sqrt(KL), as gains over the start; then length, repetition and diversity over steps."""
    start = looks[0]
    distance = [math.sqrt(max(look.kl, 0.0)) for look in looks]
    order = sorted(range(len(looks)), key=distance.__getitem__)
    proxy = tuple((distance[i], looks[i].proxy - start.proxy) for i in order)
    rewards = [Line("proxy, which trains", proxy, AGAINST)]
    if start.gold_by_prompt:
        gold = tuple((distance[i], looks[i].gold - start.gold) for i in order)
        rewards.append(Line("gold, which only watches", gold))
    found = [line_chart("Reward gained", "square root of the KL from the start (nats)", rewards)]
    for title, name in (
        ("Length of a response (tokens)", "tokens"),
        ("Repeated 4-grams", "repetition"),
        ("Distinct bigrams", "distinct"),
    ):
        points = tuple((float(look.step), float(getattr(look, name))) for look in looks)
        found.append(line_chart(title, "step", [Line(title, points)]))
    return found


def fits(looks: Sequence[Look]) -> list[tuple[str, GaoFit]]:
    """The curves of Gao et al. through proxy and gold, where there are enough looks."""
    start, kls = looks[0], [look.kl for look in looks]
    named = [("proxy", fit_gao(kls, [look.proxy - start.proxy for look in looks], "rl"))]
    if start.gold_by_prompt:
        named.append(("gold", fit_gao(kls, [look.gold - start.gold for look in looks], "rl")))
    return [(name, fit) for name, fit in named if fit is not None]


def render(looks: Sequence[Look], title: str) -> str:
    """The page as HTML text, which needs nothing else."""
    best = peak(looks)
    chosen = sorted({round(place) for place in np.linspace(0, len(looks) - 1, SHOWN)} | {looks.index(best)})
    prompts = [
        (prompt, [(looks[i], looks[i].samples[place][1]) for i in chosen])
        for place, (prompt, _) in enumerate(looks[0].samples)
    ]
    return (
        environment()
        .get_template(TEMPLATE)
        .render(
            title=title,
            looks=looks,
            best=best,
            last=looks[-1],
            gained=gains(looks[0], best),
            charts=charts(looks),
            fits=fits(looks),
            prompts=prompts,
        )
    )
