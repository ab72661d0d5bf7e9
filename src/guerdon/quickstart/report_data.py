"""What the report of a quickstart tells besides the evaluation."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.result_tables import tables_of
from guerdon.evaluate.results import Evaluation
from guerdon.evaluate.systems import ask_scorer
from guerdon.explain.occlusion import occlude
from guerdon.metrics import Floats
from guerdon.quickstart.report_page import ExplainedExample, TokenCoverage
from guerdon.quickstart.worked_examples import WorkedExample
from guerdon.quickstart.workload import UNREADABLE_ROW, unknown_share
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Prompt, Scorer, response_texts

if TYPE_CHECKING:
    from guerdon.rewards.transformer import TransformerReward

_FEW = 20
"""Rows that a part needs to be measured by itself."""


def evaluate_by_coverage(
    reward: TransformerReward, scorer: Scorer, rows: Sequence[AnyRow], baselines: Mapping[str, Scorer], *, seed: int
) -> dict[str, Evaluation]:
    """The rows that the model can read and those that it cannot, each measured by themselves.

    Returns:
        What the rows are -> evaluation; empty where one of the two parts has fewer than 20 rows.
    """
    unread = [share > UNREADABLE_ROW for share in unknown_share(reward.tokenizer, rows)]
    parts = {
        "rows that it reads": [row for row, lost in zip(rows, unread, strict=True) if not lost],
        "rows that it cannot (over a third of the responses unknown to it)": [
            row for row, lost in zip(rows, unread, strict=True) if lost
        ],
    }
    if min(map(len, parts.values())) < _FEW:
        return {}
    systems = {"model": scorer}
    return {name: evaluate_reward(systems, part, baselines=baselines, seed=seed) for name, part in parts.items()}


def coverage_by_subset(reward: TransformerReward, rows: Sequence[AnyRow]) -> dict[str, TokenCoverage]:
    """What the model reads of each subset, and of all rows under the empty name."""
    by_subset: dict[str, dict[tuple[Prompt, str], None]] = {"": {}}
    for row in rows:
        for text in response_texts(row):
            for name in {"", row.subset}:
                by_subset.setdefault(name, {})[row.prompt, text] = None
    return {name: _coverage(reward, list(texts)) for name, texts in by_subset.items()}


def _coverage(reward: TransformerReward, texts: Sequence[tuple[Prompt, str]]) -> TokenCoverage:
    encoded = reward.encode([prompt for prompt, _ in texts], [text for _, text in texts])
    unknown = encoded.unknown / encoded.total if encoded.total else 0.0
    return TokenCoverage(len(texts), unknown, encoded.prompts_cut, encoded.responses_cut)


def paired_rewards(scorer: Scorer, rows: Sequence[AnyRow]) -> tuple[Floats, Floats] | None:
    """Finite rewards of preferred responses and of those they stand above, each shape (m,); None without an order."""
    tables, requests = tables_of(rows)
    table = tables[0]
    rewards = ask_scorer(scorer, requests).scores(table)
    better, worse = rewards[table.better], rewards[table.worse]
    known = np.isfinite(better) & np.isfinite(worse)
    return (better[known], worse[known]) if known.any() else None


def explain(scorer: Scorer, examples: Sequence[WorkedExample]) -> list[ExplainedExample]:
    """Sentence effects of two responses for one example in Chinese and one in other languages, right ones first."""
    found: dict[bool, ExplainedExample] = {}
    for example in sorted(examples, key=lambda example: not example.right):
        if example.chinese not in found:
            preferred = next(one for one in example.responses if one.preferred)
            other = next(one for one in example.responses if not one.preferred)
            found[example.chinese] = ExplainedExample(
                example,
                (
                    ("The preferred response", occlude(scorer, example.prompt, preferred.text)),
                    ("The best of the others", occlude(scorer, example.prompt, other.text)),
                ),
            )
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
            "Guerdon": _guerdon_version(),
            "Python": platform.python_version(),
            **_versions(),
            "command": command,
        },
    }


def _guerdon_version() -> str:
    from guerdon import __version__

    return __version__


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "transformers", "numpy")}
