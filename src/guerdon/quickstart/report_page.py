"""The report page: what a quickstart found, as one HTML text that needs nothing else, no network and no script."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from guerdon import __version__
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.result_tables import tables_of
from guerdon.evaluate.results import Evaluation, Section
from guerdon.evaluate.systems import ask_scorer
from guerdon.explain.occlusion import Occlusion, occlude
from guerdon.metrics import METRICS, Floats, Interval
from guerdon.quickstart.policy_gain import SAMPLING, PolicyGain
from guerdon.quickstart.worked_examples import WorkedExample
from guerdon.quickstart.workload import UNREADABLE_ROW, unknown_share
from guerdon.report.charts import distribution_chart, learning_charts
from guerdon.report.templating import environment
from guerdon.rewards.encode import Reading
from guerdon.runs.log import LearningCurve
from guerdon.text.vocabulary import UNREADABLE_SHARE
from guerdon.types import AnyRow, Prompt, Scorer, prompt_text, response_texts

if TYPE_CHECKING:
    from guerdon.rewards.transformer import TransformerReward
    from guerdon.train.train_config import TrainConfig

TEMPLATE = "report.html.j2"
MANY_SUBSETS = 40
"""Largest number of subsets that are listed; all are in evaluation.json."""
_FEW = 20
"""Rows that a part needs to be measured by itself."""

Explanation = tuple[WorkedExample, Mapping[str, Occlusion]]
"""Why a reward puts one response of an example above another: what a response is, and its sentences with effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportData:
    """Everything that the report shows. Its texts may come from anyone: all are escaped."""

    data: str
    """What the data is called."""
    evaluation: Evaluation
    by_coverage: Mapping[str, Evaluation] = field(default_factory=dict)
    """What rows are ("rows that it reads") -> their evaluation, where the model cannot read all."""
    notes: Sequence[str] = ()
    """What a reader must know first."""
    coverage: Mapping[str, Reading] = field(default_factory=dict)
    """Subset -> how much of it the model reads; the whole under the empty name."""
    curve: LearningCurve = LearningCurve()  # noqa: RUF009  # frozen
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


def evaluate_by_coverage(
    reward: TransformerReward, scorer: Scorer, rows: Sequence[AnyRow], baselines: Mapping[str, Scorer], *, seed: int
) -> dict[str, Evaluation]:
    """The rows that the model can read and those that it cannot, each measured by themselves.

    Returns:
        What the rows are -> evaluation; empty where one of the two parts has fewer than 20 rows.
    """
    lost = [share > UNREADABLE_ROW for share in unknown_share(reward.tokenizer, rows)]
    read, cannot = ([row for row, is_lost in zip(rows, lost, strict=True) if is_lost is part] for part in (False, True))
    if min(len(read), len(cannot)) < _FEW:
        return {}
    parts = {
        "rows that it reads": read,
        "rows that it cannot (over a third of the responses unknown to it)": cannot,
    }
    systems = {"model": scorer}
    return {name: evaluate_reward(systems, part, baselines=baselines, seed=seed) for name, part in parts.items()}


def coverage_by_subset(reward: TransformerReward, rows: Sequence[AnyRow]) -> dict[str, Reading]:
    """What the model reads of each subset, and of all rows under the empty name."""
    by_subset: dict[str, dict[tuple[Prompt, str], None]] = {"": {}}
    for row in rows:
        for text in response_texts(row):
            for name in {"", row.subset}:
                by_subset.setdefault(name, {})[row.prompt, text] = None
    pairs = {name: list(zip(*texts, strict=True)) for name, texts in by_subset.items() if texts}
    return {name: Reading() + reward.encode(prompts, responses) for name, (prompts, responses) in pairs.items()}


def paired_rewards(scorer: Scorer, rows: Sequence[AnyRow]) -> tuple[Floats, Floats] | None:
    """Finite rewards of preferred responses and of those they stand above, each shape (m,); None without an order."""
    tables, requests = tables_of(rows)
    table = tables[0]
    rewards = ask_scorer(scorer, requests).scores(table)
    better, worse = rewards[table.better], rewards[table.worse]
    known = np.isfinite(better) & np.isfinite(worse)
    return (better[known], worse[known]) if known.any() else None


def explain(scorer: Scorer, examples: Sequence[WorkedExample]) -> list[Explanation]:
    """Sentence effects of two responses for one example in Chinese and one in other languages, right ones first."""
    found: dict[bool, Explanation] = {}
    for example in sorted(examples, key=lambda example: not example.right):
        if example.chinese not in found:
            shown = {
                "The preferred response": example.best(preferred=True),
                "The best of the others": example.best(preferred=False),
            }
            parts = {what: occlude(scorer, example.prompt, one.text) for what, one in shown.items()}
            found[example.chinese] = example, parts
    return [found[chinese] for chinese in sorted(found)]


def run_facts(
    reward: TransformerReward, config: TrainConfig, *, command: str, seconds: Mapping[str, float]
) -> dict[str, dict[str, str]]:
    """Score contract, data, versions, times and the command, as text."""
    contract = reward.contract
    data = contract.data
    rendering = {"pair": "prompt and response as two segments", "chat": "the tokenizer's chat template"}
    return {
        "How a text becomes a score": {
            "backbone": contract.backbone,
            "architecture": contract.architecture,
            "rendering": rendering.get(contract.rendering, "prompt, blank line, response"),
            "pooling": contract.pooling,
            "longest text": f"{contract.max_length:,} tokens, cut on the left of the prompt",
            "outputs": ", ".join(contract.attributes),
            "P(a preferred)": f"sigmoid((score a − score b) / {contract.temperature:.3g})",
            "on training data": f"mean {contract.mean:.3g}, deviation {contract.std:.3g}".replace("-", "−"),
            "arithmetic": f"{contract.dtype} on {reward.device}",
        },
        "Training": {
            "rows": f"{data.get('rows', 0):,}",
            "sources": ", ".join(data.get("sources", [])) or "starter",
            "sha256 of the rows": str(data.get("sha256", ""))[:16] + "…",
            "epochs": f"{config.epochs:g}",
            "judgements a step": str(config.batch_size),
            "learning rate": f"{config.learning_rate:g}",
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
    templates.filters |= {"prompt": prompt_text, "unread": unread_share, "shaded": shaded}
    distribution = None if page.rewards is None else distribution_chart(*page.rewards)
    return templates.get_template(TEMPLATE).render(
        page=page,
        axes=[section_axis(section) for section in page.evaluation.sections],
        metrics=METRICS,
        many=MANY_SUBSETS,
        charts=[*learning_charts(page.curve), *([distribution] if distribution else [])],
        tokens=SAMPLING.max_new_tokens,
        unreadable=UNREADABLE_SHARE,
    )


def unread_share(reading: Reading) -> float:
    """The share of the tokens that are unknown to the model's vocabulary."""
    return reading.unknown / max(1, reading.total)


def shaded(part: Occlusion, parts: Mapping[str, Occlusion]) -> list[tuple[str, float, float]]:
    """Segments, their effects, and how strongly to shade them: 1 for the strongest effect of all parts, 0 for none."""
    strongest = max(float(np.nan_to_num(np.abs(one.effects)).max(initial=0.0)) for one in parts.values()) or 1.0
    weights = np.nan_to_num(np.abs(part.effects.astype(np.float64)) / strongest).round(3)
    return list(zip(part.segments, part.effects.tolist(), weights.tolist(), strict=True))


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


def section_axis(section: Section) -> Axis:
    """The axis that holds all systems in all parts of a section."""
    parts = (section.overall, *section.subsets)
    values = [system.metrics[section.primary] for part in parts for system in part.systems]
    return Axis.around(METRICS[section.primary].chance, values)
