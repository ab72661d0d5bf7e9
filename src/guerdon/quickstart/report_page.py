"""The report page: what a quickstart found, as one HTML text that needs nothing else, no network and no script."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import numpy as np

from guerdon import __version__
from guerdon.evaluate.pages import section_axis
from guerdon.evaluate.result_tables import tables_of
from guerdon.evaluate.results import Evaluation
from guerdon.evaluate.systems import ask_scorer
from guerdon.explain.occlusion import Occlusion, occlude
from guerdon.metrics import METRICS, Floats
from guerdon.quickstart.evidence import Evidence, contributions
from guerdon.quickstart.policy_gain import NUM_GENERATIONS, SAMPLING, PolicyGain
from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.quickstart.worked_examples import WorkedExample
from guerdon.report.charts import distribution_chart
from guerdon.report.templating import environment
from guerdon.rewards.blend import Blend
from guerdon.train.cross_validation import BLEND
from guerdon.train.fit_run import FittedReward
from guerdon.types import AnyRow, Scorer, prompt_text

TEMPLATE = "report.html.j2"
MANY_SUBSETS = 40
"""Largest number of subsets that are listed; all are in evaluation.json."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a reward puts one response of an example above another."""

    example: WorkedExample
    parts: Mapping[str, Occlusion]
    """What a response is -> its sentences with their effects."""
    members: Mapping[str, Sequence[float]]
    """Name of a member -> what it adds to the reward of each of these responses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that the report shows. Its texts may come from anyone: all are escaped."""

    data: str
    """What the data is called."""
    evaluation: Evaluation
    prompts: int = 0
    """How many prompts it was measured on."""
    headline: Sequence[str] = ()
    """How far the reward can be trusted, in plain words."""
    evidence: Evidence | None = None
    """Its candidates, and what it rests on."""
    by_language: Mapping[str, Evaluation] = field(default_factory=dict)
    """Language -> the evaluation of its rows, where there are several."""
    notes: Sequence[str] = ()
    """What a reader must know first."""
    rewards: tuple[Floats, Floats] | None = None
    """Rewards of preferred responses and of those they stand above, each shape (m,)."""
    examples: Sequence[WorkedExample] = ()
    explanations: Sequence[Explanation] = ()
    gain: PolicyGain | None = None
    """What picking responses of a language model by the reward gained."""
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Heading -> name -> value."""
    commands: Sequence[tuple[str, str]] = ()
    """What a command is for, and the command."""


# --- what the report tells besides the evaluation


def paired_rewards(scorer: Scorer, rows: Sequence[AnyRow]) -> tuple[Floats, Floats] | None:
    """Finite rewards of preferred responses and of those they stand above, each shape (m,); None without an order."""
    tables, requests = tables_of(rows)
    table = tables[0]
    rewards = ask_scorer(scorer, requests).scores(table)
    better, worse = rewards[table.better], rewards[table.worse]
    known = np.isfinite(better) & np.isfinite(worse)
    return (better[known], worse[known]) if known.any() else None


def explain(scorer: Scorer, reward: Blend, examples: Sequence[WorkedExample]) -> list[Explanation]:
    """Two responses of one example in Chinese and of one in other languages, right ones first, sentence by sentence.

    `scorer` gives the rewards of `reward`, some of which it may know already.
    """
    found: dict[bool, Explanation] = {}
    for example in sorted(examples, key=lambda example: not example.right):
        if example.chinese not in found:
            shown = {
                "The preferred response": example.best(preferred=True).text,
                "The best of the others": example.best(preferred=False).text,
            }
            parts = {what: occlude(scorer, example.prompt, text) for what, text in shown.items()}
            added = contributions(reward, example.prompt, list(shown.values()))
            found[example.chinese] = Explanation(example, parts, added)
    return [found[chinese] for chinese in sorted(found)]


def run_facts(
    fitted: FittedReward,
    rows: Sequence[AnyRow],
    config: QuickstartConfig,
    *,
    command: str,
    seconds: Mapping[str, float],
) -> dict[str, dict[str, str]]:
    """What the reward is, data, versions, times and the command, as text."""
    reward, judged = fitted.reward, fitted.judged
    members = zip(reward.members, reward.weights / reward.weights.sum(), strict=True)
    return {
        "How a text becomes a score": {
            "kind": "a weighted sum of standardised members",
            "members": ", ".join(f"{name} {share:.0%}" for name, share in members),
            "chosen": "the blend" if fitted.fit.best == BLEND else f"{fitted.fit.best} alone, which did best",
            "frozen encoder": config.encoder,
            "P(a preferred)": "sigmoid(score a − score b)" if judged.objective == "pairs" else "from ratings: none",
        },
        "Learning": {
            "rows": f"{len(rows):,}",
            "judgements": f"{(~judged.mismatched).sum():,} of {len(np.unique(judged.group)):,} prompts or groups",
            "responses": f"{len(judged.responses):,}",
            "seed": str(config.seed),
        },
        "Time": {name: f"{value:.0f} s" for name, value in seconds.items()},
        "Made with": {
            "Guerdon": __version__,
            "Python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "numpy")},
            "command": command,
        },
    }


# --- the page


def render(page: ReportData) -> str:
    """The page as HTML text."""
    templates = environment()
    templates.filters |= {"prompt": prompt_text, "shaded": shaded, "code": is_code}
    distribution = None if page.rewards is None else distribution_chart(*page.rewards)
    return templates.get_template(TEMPLATE).render(
        page=page,
        axes=[section_axis(section) for section in page.evaluation.sections],
        metrics=METRICS,
        many=MANY_SUBSETS,
        charts=[distribution] if distribution else [],
        tokens=SAMPLING.max_new_tokens,
        generations=NUM_GENERATIONS,
        blend=BLEND,
    )


def is_code(text: str) -> bool:
    """Whether a text has lines that are indented as code is; its columns must then stand under each other."""
    return re.search(r"(?m)^(?: {4}|\t)[ \t]*\S", text) is not None


def shaded(part: Occlusion, parts: Mapping[str, Occlusion]) -> list[tuple[str, float, float]]:
    """Segments, their effects, and how strongly to shade them: 1 for the strongest effect of all parts, 0 for none."""
    strongest = max(float(np.nan_to_num(np.abs(one.effects)).max(initial=0.0)) for one in parts.values()) or 1.0
    weights = np.nan_to_num(np.abs(part.effects.astype(np.float64)) / strongest).round(3)
    return list(zip(part.segments, part.effects.tolist(), weights.tolist(), strict=True))
