"""How a policy changed while it was optimised: proxy and gold over the distance gone, and its responses on the way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guerdon.files import atomic_write
from guerdon.metrics import Interval, mean_interval
from guerdon.optimize.monitor import GaoFit, PolicyEvaluation, best_evaluation, fit_gao
from guerdon.report.charts import Chart, Line, line_chart
from guerdon.report.drawing import AGAINST
from guerdon.report.templating import environment

TEMPLATE = "drift.html.j2"
NUM_SHOWN = 6
"""Evaluations whose samples are shown, from the first to the last."""


@dataclass(frozen=True, slots=True)
class Gains:
    """What the policy gained from one evaluation to another."""

    proxy: Interval
    gold: Interval | None


def gains(before: PolicyEvaluation, after: PolicyEvaluation) -> Gains:
    """Mean gains over the held-out prompts, with 95% intervals by the bootstrap over prompts."""
    proxy, gold = np.subtract(after.proxy_by_prompt, before.proxy_by_prompt), None
    if after.gold_by_prompt:
        gold = mean_interval(np.subtract(after.gold_by_prompt, before.gold_by_prompt))
    return Gains(mean_interval(proxy), gold)


def _courses(evaluations: Sequence[PolicyEvaluation]) -> dict[str, list[float]]:
    """Name of a reward -> its gain over the start at every evaluation."""
    start = evaluations[0]
    names = ("proxy", "gold") if start.gold_by_prompt else ("proxy",)
    return {name: [getattr(one, name) - getattr(start, name) for one in evaluations] for name in names}


def charts(evaluations: Sequence[PolicyEvaluation]) -> list[Chart]:
    """Rewards over sqrt(KL), as gains over the start; then length, repetition and diversity over steps."""
    distance = [math.sqrt(max(one.kl, 0.0)) for one in evaluations]
    titles = {"proxy": ("proxy, which trains", AGAINST), "gold": ("gold, which only watches",)}
    rewards = [
        Line(titles[name][0], tuple(sorted(zip(distance, gained, strict=True))), *titles[name][1:])
        for name, gained in _courses(evaluations).items()
    ]
    found = [line_chart("Reward gained", "square root of the KL from the start (nats)", rewards)]
    for title, name in (
        ("Length of a response (tokens)", "response_tokens"),
        ("Repeated 4-grams", "repetition"),
        ("Distinct bigrams", "distinct"),
    ):
        points = tuple((float(one.step), float(getattr(one, name))) for one in evaluations)
        found.append(line_chart(title, "step", [Line(title, points)]))
    return found


def fits(evaluations: Sequence[PolicyEvaluation]) -> list[tuple[str, GaoFit]]:
    """The curves of Gao et al. through proxy and gold, where there are enough evaluations."""
    kls = [one.kl for one in evaluations]
    named = [(name, fit_gao(kls, gained, "rl")) for name, gained in _courses(evaluations).items()]
    return [(name, fit) for name, fit in named if fit is not None]


PAGE = "monitor.html"


def write_page(out: Path, evaluations: Sequence[PolicyEvaluation], title: str) -> None:
    """Writes the page into the folder of the policy."""
    with atomic_write(out / PAGE) as file:
        file.write(render(evaluations, title))


def render(evaluations: Sequence[PolicyEvaluation], title: str) -> str:
    """The page as HTML text, which needs nothing else."""
    best = best_evaluation(evaluations)
    chosen = sorted(
        {round(place) for place in np.linspace(0, len(evaluations) - 1, NUM_SHOWN)} | {evaluations.index(best)}
    )
    prompts = [
        (prompt, [(evaluations[i], evaluations[i].samples[place][1]) for i in chosen])
        for place, (prompt, _) in enumerate(evaluations[0].samples)
    ]
    template = environment().get_template(TEMPLATE)
    return template.render(
        title=title,
        evaluations=evaluations,
        best=best,
        last=evaluations[-1],
        gained=gains(evaluations[0], best),
        charts=charts(evaluations),
        fits=fits(evaluations),
        prompts=prompts,
    )
