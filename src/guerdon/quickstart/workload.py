"""What a quickstart decides before it trains: which rows, and how much fits into minutes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from guerdon.data.read import STARTER, load_rows
from guerdon.data.split import leaks, split_rows
from guerdon.errors import ConfigError, DataError
from guerdon.models import resolve
from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.text.vocabulary import UNREADABLE_SHARE, count_tokens
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Rating, group_key, prompt_text, response_texts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_TEST_SHARE = 0.2
_STARTER_SHARE = 0.35
"""Of the training part of the starter set; with its test part, half of the prompts are measured. Whether picking
responses brings them nearer to the reference is a small effect, which fewer prompts would not show."""
_SAMPLE = 200
"""Rows that tell how long texts are, and how much of them a tokenizer knows."""
_MOST = 4000
"""Pairs that are learnt from, at the most, by default without a GPU."""
_ENOUGH = 100
"""Rows that must be left for others to be left out."""
_MOST_EPOCHS = 2.0
_SHARE_OF_A_GROUP = 20
"""Where rows are left out, a large group gives at most one in so many of those that are kept: variety counts."""
Note: TypeAlias = Callable[[str], None]
"""Told what the reader of the report must know."""


# --- rows


def read_train_test(source: str, config: QuickstartConfig, note: Note) -> tuple[Sequence[AnyRow], Sequence[AnyRow]]:
    """Rows to train on, and rows of other groups to measure on: a fifth of the source, half of the starter set.

    Raises:
        DataError: rows that cannot be used, or too few to hold some out.
        ConfigError: all rows belong to one group.
    """
    if source == STARTER and config.group is None:
        from guerdon.data.starter import starter_rows

        kept = split_rows(starter_rows("train"), test=_STARTER_SHARE, seed=config.seed)
        return kept.train, [*starter_rows("test"), *kept.test]
    rows = load_rows(source, group=config.group, group_regex=config.group_regex, question=config.question)
    if len(rows) < 2:
        raise DataError(f"{source} has {len(rows)} row; a quickstart trains on some rows and measures on others")
    if len({group_key(row) for row in rows}) == 1:
        rows = _grouped_by_response(rows, source)
        note("All rows share one prompt, so rows were held out instead of prompts.")
    split = split_rows(rows, test=_TEST_SHARE, seed=config.seed)
    if leaking := leaks(split.train, split.test):
        note(
            f"{len(leaking):,} prompts of the test part are in the training part too, so the metrics are for known "
            f"prompts; the first: {leaking[0]}."
        )
    return split.train, split.test


def _grouped_by_response(rows: Sequence[AnyRow], source: str) -> list[AnyRow]:
    """Ratings of responses to one constant prompt divide by response; comparisons share responses, so they do not."""
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
    return max(1, len(response_texts(row))) / 2


def count_rows(rows: Sequence[AnyRow]) -> str:
    """The number of rows and what they are, for a message."""
    kinds = {type(row).__name__.lower() for row in rows}
    return f"{len(rows):,} {kinds.pop() if len(kinds) == 1 else 'row'}{'s' * (len(rows) != 1)}"


# --- texts


def load_tokenizer(model: str) -> PreTrainedTokenizerBase:
    """The tokenizer of a model. Raises ModelError."""
    from guerdon.hf import load_tokenizer as load

    return load(resolve(model), False)


def sample_coverage(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[AnyRow], longest: float = float("inf")
) -> tuple[float, float]:
    """Share of unknown tokens in the responses, and mean tokens of a prompt with its response, on a sample of rows.

    The texts are cut to the `longest` that is read, in tokens.
    """
    picked = rows[:: max(1, len(rows) // _SAMPLE)]
    pairs = [(prompt_text(row.prompt), text) for row in picked for text in response_texts(row)]
    if not pairs:
        return 0.0, 0.0
    responses = count_tokens(tokenizer, [text for _, text in pairs])
    prompts = count_tokens(tokenizer, [prompt for prompt, _ in pairs])
    total = sum(tokens for tokens, _ in responses)
    unknown = sum(lost for _, lost in responses)
    read = sum(min(before + after, longest) for (before, _), (after, _) in zip(prompts, responses, strict=True))
    return unknown / max(1, total), read / len(pairs)


def read_by(tokenizer: PreTrainedTokenizerBase, rows: Sequence[AnyRow]) -> list[AnyRow]:
    """The rows that a tokenizer can read: it knows nine in ten tokens of the prompt, and of the responses."""
    texts = [text for row in rows for text in (prompt_text(row.prompt), "\n".join(response_texts(row)))]
    known = [unknown <= UNREADABLE_SHARE * tokens for tokens, unknown in count_tokens(tokenizer, texts)]
    return [row for row, asked, said in zip(rows, known[::2], known[1::2], strict=True) if asked and said]


# --- how much


@dataclass(frozen=True, slots=True)
class CpuBudget:
    """How many tokens of pairs two cores read in minutes; the more pairs share a response, the less time they take."""

    train_tokens: float
    """By a frozen encoder, in the rows that are learnt from."""
    test_tokens: float
    """The same, in the rows that are measured."""
    tuning_tokens: float
    """In the rows that a backbone is fine-tuned on."""
    least: int
    """Pairs that are learnt from, and measured, on however long they take."""


_SPEEDS = {"minilm": CpuBudget(1_200_000, 400_000, 400_000, 200)}
_SLOW = CpuBudget(120_000, 60_000, 60_000, 100)
"""The budget of a decoder of SmolLM2's size, and of what is not known."""
_LONGEST = 512
"""Tokens that a prompt with its response is cut to: a few very long ones would take all the time."""


@dataclass(frozen=True, slots=True)
class Workload:
    """What is learnt from, and what is measured on."""

    train: Sequence[AnyRow]
    test: Sequence[AnyRow]
    tuning: TuningWork | None = None
    """What the backbone is fine-tuned on, where there is one."""


@dataclass(frozen=True, slots=True)
class TuningWork:
    """What a model is fine-tuned on, and how."""

    rows: Sequence[AnyRow]
    training: TrainConfig


def choose_workload(
    train: Sequence[AnyRow], test: Sequence[AnyRow], config: QuickstartConfig, note: Note, *, gpu: bool
) -> Workload:
    """Rows that fit into the time of a quickstart; with a GPU there is time for all.

    Raises:
        ModelError: the encoder or the backbone cannot be found.
    """
    tokenizer, speed = load_tokenizer(config.encoder), _SPEEDS.get(config.encoder, _SLOW)
    limit = 0 if gpu else _bounded(speed.train_tokens / _pair_tokens(tokenizer, train), speed)
    kept = limit_rows(train, limit if config.max_train_pairs is None else config.max_train_pairs, config.seed)
    if len(kept) < len(train):
        note(f"Learning from {len(kept):,} of {count_rows(train)}; --max-train-pairs 0 for all.")
    most = 0 if gpu else _bounded(speed.test_tokens / _pair_tokens(tokenizer, test), speed)
    measured = limit_rows(test, most, config.seed)
    if len(measured) < len(test):
        note(f"Measuring on {len(measured):,} of {count_rows(test)}; guerdon evaluate takes all.")
    if config.backbone == "none":
        return Workload(kept, measured)
    half = split_rows(kept, test=0.5, seed=config.seed).train
    return Workload(kept, measured, tuning_work(half, config.backbone, config, gpu=gpu))


def tuning_work(rows: Sequence[AnyRow], backbone: str, config: QuickstartConfig, *, gpu: bool = False) -> TuningWork:
    """How a model is fine-tuned within minutes, on those of the rows that it can read.

    MiniLM learns with all its weights. A larger model, of which few pairs are all that the time allows, learns
    adapters: they cost less and forget less; they are folded into the weights, so that the folder stands alone. Nothing
    is held out to choose a checkpoint by: of the few rows that could be spared, chance would choose it.

    Raises:
        ModelError: the backbone cannot be found.
    """
    tokenizer, speed = load_tokenizer(backbone), _SPEEDS.get(backbone, _SLOW)
    read = readable(tokenizer, rows)
    room = float("inf") if gpu else speed.tuning_tokens / _pair_tokens(tokenizer, read)
    kept = limit_rows(read, 0 if gpu else _bounded(room, speed), config.seed)
    epochs = min(_MOST_EPOCHS, max(1.0, round(room / sum(map(pairs_in, kept)), 1) if not gpu else _MOST_EPOCHS))
    training = TrainConfig(
        backbone=backbone,
        epochs=config.epochs or epochs,
        batch_size=16,
        learning_rate=2e-4,
        validation=0.0,
        max_length=0 if gpu or tokenizer.model_max_length <= _LONGEST else _LONGEST,
        lora_r=0 if backbone == "minilm" else 16,
        merge_lora=backbone != "minilm",
        overlong="cut",
        seed=config.seed,
    )
    return TuningWork(kept, training)


def _pair_tokens(tokenizer: PreTrainedTokenizerBase, rows: Sequence[AnyRow]) -> float:
    """Tokens of two responses, each with its prompt, on average."""
    return max(1.0, 2 * sample_coverage(tokenizer, rows, _LONGEST)[1])


def _bounded(pairs: float, speed: CpuBudget) -> int:
    return min(_MOST, max(speed.least, 10 * round(pairs / 10)))


def readable(tokenizer: PreTrainedTokenizerBase, rows: Sequence[AnyRow]) -> Sequence[AnyRow]:
    """The rows that a tokenizer can read (see `read_by`); all rows where fewer than 100 would be left.

    A row that it cannot read teaches little but noise, and takes the most time: an unknown character is a token of its
    own.
    """
    kept = read_by(tokenizer, rows)
    return rows if len(kept) == len(rows) or len(kept) < _ENOUGH else kept
