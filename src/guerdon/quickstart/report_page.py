"""The report page: plain results in, one HTML text out that needs nothing else, no network and no script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guerdon.evaluate.results import Evaluation, PartResult, Section
from guerdon.explain.occlusion import Occlusion
from guerdon.metrics import METRICS, Floats, Interval, format_bounds, format_value
from guerdon.quickstart.policy_gain import PolicyGain, gain_view
from guerdon.quickstart.worked_examples import WorkedExample
from guerdon.report.charts import distribution_chart, learning_charts
from guerdon.report.templating import environment
from guerdon.runs.curve import LearningCurve
from guerdon.text.vocabulary import UNREADABLE_SHARE
from guerdon.types import prompt_text

TEMPLATE = "report.html.j2"
UNSEEN = " that the model has not learned from"
MANY_SUBSETS = 40
"""Largest number of subsets that are listed; all are in evaluation.json."""


@dataclass(frozen=True, slots=True)
class TokenCoverage:
    """How much of some texts the model reads."""

    texts: int
    unknown: float
    """Share of the tokens that are unknown to its vocabulary."""
    prompts_cut: int = 0
    responses_cut: int = 0


@dataclass(frozen=True, slots=True)
class ExplainedExample:
    """Why the reward puts one response of an example above another."""

    example: WorkedExample
    parts: tuple[tuple[str, Occlusion], ...]
    """What the response is ("the preferred response"), and its sentences with their effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that the report shows. Its texts may come from anyone: all are escaped."""

    data: str
    """What the data is called."""
    evaluation: Evaluation
    by_coverage: Mapping[str, Evaluation] | None = None
    """What rows are ("rows that it reads") -> their evaluation, where the model cannot read all."""
    notes: Sequence[str] = ()
    """What a reader must know first."""
    coverage: Mapping[str, TokenCoverage] | None = None
    """Subset -> how much of it the model reads; the whole under the empty name."""
    curve: LearningCurve = LearningCurve()  # noqa: RUF009  # frozen
    rewards: tuple[Floats, Floats] | None = None
    """Rewards of preferred responses and of those they stand above, each shape (m,)."""
    examples: Sequence[WorkedExample] = ()
    explanations: Sequence[ExplainedExample] = ()
    policy_gain: PolicyGain | None = None
    """What picking responses of a language model by the reward gained."""
    facts: Mapping[str, Mapping[str, str]] | None = None
    """Heading -> name -> value."""
    commands: Sequence[tuple[str, str]] = ()
    """What a command is for, and the command."""


def render(page: ReportData) -> str:
    """The page as HTML text."""
    templates = environment()
    templates.filters["percent"] = _percent
    charts = learning_charts(page.curve)
    seen = bool(page.evaluation.seen)
    distribution = None if page.rewards is None else distribution_chart(*page.rewards)
    return templates.get_template(TEMPLATE).render(
        page=page,
        by_coverage=[
            {
                "what": f"{part.sections[0].overall.rows:,} {name}",
                "value": format_value(part.sections[0].overall.models[0].metrics[part.sections[0].primary].point),
                "verdict": section_verdict(part.sections[0]),
            }
            for name, part in (page.by_coverage or {}).items()
        ],
        sections=[section_view(section, page.coverage or {}, seen) for section in page.evaluation.sections],
        charts=charts,
        distribution=distribution,
        examples=[example_view(example, (page.coverage or {}).get(example.subset)) for example in page.examples],
        explanations=[explanation_view(explanation) for explanation in page.explanations],
        gain=None if page.policy_gain is None else gain_view(page.policy_gain),
        coverage=(page.coverage or {}).get(""),
        unreadable=UNREADABLE_SHARE,
    )


def _percent(share: float) -> str:
    return f"{share:.0%}"


# --- the metrics


def section_view(section: Section, coverage: Mapping[str, TokenCoverage], seen: bool) -> dict[str, Any]:
    """What the template shows of one kind of rows; `seen` says whether the model was trained on some prompts."""
    overall, metric, model = section.overall, section.primary, section.overall.models[0]
    values = [system.metrics[metric] for part in (overall, *section.subsets) for system in part.systems]
    axis = Axis.around(METRICS[metric].chance, values)
    verdict, best = section.verdict(model.name), overall.best_baseline(metric)
    return {
        "kind": section.kind,
        "metric": METRICS[metric].heading,
        "explanation": METRICS[metric].explanation,
        "model": format_value(model.metrics[metric].point),
        "interval": format_bounds(model.metrics[metric]),
        "baseline": None if best is None else (best.name, format_value(best.metrics[metric].point)),
        "outcome": verdict.outcome if verdict else "unclear",
        "verdict": section_verdict(section),
        "tested": f"{overall.rows:,} {section.kind}{'' if seen else UNSEEN}, {clusters(overall)}",
        "balanced": length_sentence(overall),
        "axis": axis.view(),
        "systems": [
            {
                "name": system.name,
                "is_model": not system.is_baseline,
                "mark": axis.mark(system.metrics[metric]),
                "value": format_value(system.metrics[metric].point),
                "interval": format_bounds(system.metrics[metric]),
                "balanced": format_value(system.metrics["length_balanced"].point),
            }
            for system in overall.systems
        ],
        "subsets": [subset_view(part, metric, axis, coverage.get(part.subset)) for part in section.subsets][
            :MANY_SUBSETS
        ],
        "hidden": max(0, len(section.subsets) - MANY_SUBSETS),
        "notes": section.notes,
    }


def subset_view(part: PartResult, metric: str, axis: Axis, coverage: TokenCoverage | None) -> dict[str, Any]:
    """One line of the table of subsets: the model with its interval, the baselines as ticks."""
    model, best = part.models[0], part.best_baseline(metric)
    return {
        "name": part.subset,
        "pairs": f"{part.pairs:,}",
        "mark": axis.mark(model.metrics[metric]),
        "value": format_value(model.metrics[metric].point),
        "interval": format_bounds(model.metrics[metric]),
        "baselines": [{"name": system.name, "mark": axis.mark(system.metrics[metric])} for system in part.baselines],
        "best": format_value(best.metrics[metric].point if best else math.nan),
        "coverage": coverage,
    }


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values as a strip 100 wide."""

    low: float
    high: float
    chance: float | None

    @classmethod
    def around(cls, chance: float | None, values: Sequence[Interval]) -> Axis:
        """A range in tenths that holds all points, their intervals, and what guessing gets."""
        known = [v for value in values for v in (value.point, value.low, value.high) if not math.isnan(v)]
        known += [] if chance is None else [chance]
        low = math.floor(10 * min(known, default=0.0)) / 10
        high = math.ceil(10 * max(known, default=1.0)) / 10
        return cls(low, high if high > low else low + 0.1, chance)

    def place(self, value: float) -> float:
        """Percent of the strip, within it."""
        return round(min(100.0, max(0.0, 100 * (value - self.low) / (self.high - self.low))), 2)

    def mark(self, value: Interval) -> dict[str, float] | None:
        """Places of the point and of the ends of its interval; None where there is no value."""
        if math.isnan(value.point):
            return None
        low, high = (value.point if math.isnan(end) else end for end in (value.low, value.high))
        start = self.place(low)
        return {"at": self.place(value.point), "from": start, "span": round(self.place(high) - start, 2)}

    def view(self) -> dict[str, Any]:
        """Ends of the strip and what guessing gets, labelled."""
        return {
            "low": format_value(self.low, decimals=1),
            "high": format_value(self.high, decimals=1),
            "chance": None if self.chance is None else self.place(self.chance),
            "chance_label": None if self.chance is None else format_value(self.chance, decimals=1),
        }


def section_verdict(section: Section) -> str:
    """Whether the model beats its best baseline, in plain words."""
    return section.sentence(section.overall.models[0].name, called="The reward model")


def length_sentence(part: PartResult) -> str:
    """What the length-balanced accuracy says, in one line; empty where it cannot be had."""
    metrics = part.models[0].metrics
    balanced, longer, shorter = (
        format_value(metrics[name].point) for name in ("length_balanced", "longer_won", "shorter_won")
    )
    if math.isnan(metrics["length_balanced"].point):
        return ""
    return (
        f"Length-balanced it is right in {balanced}: the mean of {longer} where people preferred the longer response "
        f"({part.longer_won:,} pairs) and {shorter} where they preferred the shorter ({part.shorter_won:,}). "
        "A reward that only reads length gets 0.5."
    )


def clusters(part: PartResult) -> str:
    """How many independent pieces the metrics are computed from."""
    return f"from {part.clusters:,} {part.unit}{'s' * (part.clusters != 1)}"


# --- the examples


def example_view(example: WorkedExample, coverage: TokenCoverage | None = None) -> dict[str, Any]:
    """Responses with bars: the lowest reward of the example is an empty bar, the highest a full one."""
    scores = [one.score for one in example.responses]
    low, spread = min(scores), (max(scores) - min(scores)) or 1.0
    return {
        "prompt": prompt_text(example.prompt),
        "subset": example.subset,
        "lang": "zh-Hans" if example.chinese else None,
        "right": example.right,
        "unknown": coverage.unknown if coverage and coverage.unknown > UNREADABLE_SHARE else None,
        "responses": [
            {
                "text": one.text,
                "score": format_value(one.score, decimals=2),
                "bar": round(4 + 96 * (one.score - low) / spread, 1),
                "preferred": one.preferred,
                "human_score": None if one.human_score is None else f"{one.human_score:g}",
                "p_beaten": f"{one.p_beaten:.0%}",
            }
            for one in example.responses
        ],
    }


def explanation_view(explanation: ExplainedExample) -> dict[str, Any]:
    """Sentences with the strength of their shading; the strongest effect of both responses is shaded fully."""
    effects = [abs(float(e)) for _, part in explanation.parts for e in part.effects if not math.isnan(e)]
    strongest = max(effects, default=0.0) or 1.0
    return {
        "prompt": prompt_text(explanation.example.prompt),
        "lang": "zh-Hans" if explanation.example.chinese else None,
        "parts": [
            {
                "label": label,
                "score": format_value(part.score, decimals=2),
                "segments": [
                    {
                        "text": text.rstrip(),
                        "space": text[len(text.rstrip()) :],
                        "effect": float(effect),
                        "sign": "lowers" if effect < 0 else "raises",
                        "weight": 0 if math.isnan(effect) else round(abs(float(effect)) / strongest, 3),
                    }
                    for text, effect in zip(part.segments, part.effects, strict=True)
                ],
            }
            for label, part in explanation.parts
        ],
    }
