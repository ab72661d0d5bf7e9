"""What a quickstart leaves in its folder, and what its report tells of it.

`guerdon.cli.quickstart` runs the steps and talks; `choices` decides what is trained on what.
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.errors import OutputError
from guerdon.evaluate.agreement import evaluate
from guerdon.evaluate.results import Evaluation
from guerdon.evaluate.tables import tables_of
from guerdon.explain.occlusion import occlude
from guerdon.files import atomic_write, check_writable
from guerdon.metrics import Floats
from guerdon.quickstart.examples import Example
from guerdon.quickstart.page import Explanation, Reading
from guerdon.quickstart.plan import UNREADABLE_ROW, unread_share
from guerdon.train.config import TrainConfig
from guerdon.types import AnyRow, Prompt, Scorer, response_texts

if TYPE_CHECKING:
    from guerdon.rewards.transformer import TransformerReward

MARKER = "quickstart.json"
"""Names the files of a quickstart's folder, so that a later one replaces these and nothing else."""
PRODUCTS = ("model", "evaluation.json", "scores.jsonl", "answers.json", "report.html", "test.jsonl", MARKER)
_FEW = 20
"""Rows that a part needs to be measured by itself."""


# --- folder


def check_folder(out: Path, *, overwrite: bool) -> None:
    """Finds out, before the work, whether a quickstart may write into a folder; changes nothing.

    Raises:
        OutputError: it cannot be written, holds a quickstart that may not be replaced, or something else.
    """
    check_writable(out / "report.html")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MARKER).is_file():
        raise OutputError(f"{out} is not empty, and no quickstart wrote it. Fix: choose another folder with --out")
    if not overwrite:
        raise OutputError(
            f"{out} holds an earlier quickstart. Fix: --overwrite replaces what it wrote, or choose another --out"
        )


def claim_folder(out: Path, settings: Mapping[str, Any]) -> None:
    """Removes what an earlier quickstart wrote into a folder, and marks it as one of ours."""
    for name in PRODUCTS:
        if (out / name).is_dir():
            shutil.rmtree(out / name)
        else:
            (out / name).unlink(missing_ok=True)
    with atomic_write(out / MARKER) as file:
        json.dump({"files": list(PRODUCTS), **settings}, file, indent=2, ensure_ascii=False)


# --- results


class Remembered:
    """A scorer that is asked about each text once: evaluation, scores and examples speak of the same answers.

    For scorers that read prompt and response alone.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._known: dict[tuple[Prompt, str], float] = {}

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`; `references` are not read."""
        keys = list(zip(prompts, responses, strict=True))
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        if new:
            rewards = self._scorer.score([prompt for prompt, _ in new], [text for _, text in new])
            self._known.update(zip(new, rewards.tolist(), strict=True))
        return np.array([self._known[key] for key in keys], dtype=np.float32)


def evaluate_by_reading(
    reward: TransformerReward, scorer: Scorer, rows: Sequence[AnyRow], baselines: Mapping[str, Scorer], *, seed: int
) -> dict[str, Evaluation]:
    """The rows that the model can read and those that it cannot, each measured by themselves.

    Returns:
        What the rows are -> evaluation; empty where one of the two parts has fewer than 20 rows.
    """
    unread = [share > UNREADABLE_ROW for share in unread_share(reward.tokenizer, rows)]
    parts = {
        "rows that it reads": [row for row, lost in zip(rows, unread, strict=True) if not lost],
        "rows that it cannot (over a third of the answers unknown to it)": [
            row for row, lost in zip(rows, unread, strict=True) if lost
        ],
    }
    if min(map(len, parts.values())) < _FEW:
        return {}
    return {name: evaluate(scorer, part, baselines=baselines, seed=seed) for name, part in parts.items()}


def readings(reward: TransformerReward, rows: Sequence[AnyRow]) -> dict[str, Reading]:
    """What the model reads of each subset, and of all rows under the empty name."""
    by_subset: dict[str, dict[tuple[Prompt, str], None]] = {"": {}}
    for row in rows:
        for text in response_texts(row):
            for name in {"", row.subset}:
                by_subset.setdefault(name, {})[row.prompt, text] = None
    return {name: _reading(reward, list(texts)) for name, texts in by_subset.items()}


def _reading(reward: TransformerReward, texts: Sequence[tuple[Prompt, str]]) -> Reading:
    encoded = reward.encode([prompt for prompt, _ in texts], [text for _, text in texts])
    unknown = encoded.unknown / encoded.total if encoded.total else 0.0
    return Reading(len(texts), unknown, encoded.prompts_cut, encoded.responses_cut)


def paired_rewards(scorer: Scorer, rows: Sequence[AnyRow]) -> tuple[Floats, Floats] | None:
    """Finite rewards of preferred answers and of those they stand above, each shape (m,); None without an order."""
    tables, requests = tables_of(rows)
    rewards = requests.score(scorer)
    table = tables[0]
    better, worse = (rewards[table.requests[places]] for places in (table.better, table.worse))
    known = np.isfinite(better) & np.isfinite(worse)
    return (better[known], worse[known]) if known.any() else None


def explain(scorer: Scorer, examples: Sequence[Example]) -> list[Explanation]:
    """Sentence effects of two answers for one example in Chinese and one in other languages, right ones first."""
    found: dict[bool, Explanation] = {}
    for example in sorted(examples, key=lambda example: not example.right):
        if example.chinese not in found:
            preferred = next(answer for answer in example.answers if answer.preferred)
            other = next(answer for answer in example.answers if not answer.preferred)
            found[example.chinese] = Explanation(
                example,
                (
                    ("The preferred answer", occlude(scorer, example.prompt, preferred.text)),
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
            "pairs a step": str(config.pairs_per_step),
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
