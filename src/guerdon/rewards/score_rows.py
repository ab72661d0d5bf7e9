"""Rewards for the rows of a source, written beside what the rows have."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO, TypeAlias, Unpack

import numpy as np

from guerdon.data.candidates import CandidateRecord, all_candidates
from guerdon.data.data_options import ColumnOptions
from guerdon.data.read import STARTER_PARTS
from guerdon.errors import ConfigError
from guerdon.files import atomic_write, check_writable
from guerdon.metrics import Floats
from guerdon.rewards.blend import Blend
from guerdon.rewards.load import ScorerConfig, load_scorer
from guerdon.rewards.scoring import score_texts, scorer_name
from guerdon.rewards.truncation import candidate_texts, refuse_truncation, report_totals
from guerdon.types import Rewards, Scorer

CHUNK_TEXTS = 4096
"""Texts that are held, sorted by length and scored together: memory stays flat however long the data is."""
_REASONS_COUNTED = 1000
_GENERIC = re.compile(r"model|final|best|last|checkpoint-\d+")
"""Names that every run gives to a folder: they do not tell two models apart."""

Progress: TypeAlias = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]
"""Entered for a long part of the work with what is done and how many of it there are; gives a function that counts."""


@contextmanager
def silent(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """The `Progress` that shows nothing."""
    yield lambda count: None


@dataclass(frozen=True, slots=True)
class ScoredRows:
    """What `score_rows` did."""

    rows: int
    responses: int
    columns: tuple[str, ...]
    """The columns that it wrote."""
    without_reward: int
    reason: str
    """The most frequent reason why a response has no reward; empty where all have one."""


def score_rows(
    scorer: Scorer | ScorerConfig | str,
    data: str,
    out: str | Path | TextIO,
    *,
    column: str | None = None,
    contributions: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    **columns: Unpack[ColumnOptions],
) -> ScoredRows:
    """Gives every response of a source its reward: JSON Lines, one object for each row, in the same order.

    Each row keeps its columns and gets one with the reward: `reward_longest` for the scorer `longest`, a list where the
    row has `responses`, `reward_longest_chosen` and `reward_longest_rejected` where it has two to compare. A response
    without a reward gets null, and the reason beside it (`reward_longest_reason`). A file is read twice, so that faults
    come to light before the first text is scored; memory stays flat.

    Example:
        >>> score_rows("longest", "starter:test:en", "scores.jsonl").columns
        ('reward_longest_chosen', 'reward_longest_rejected')

    Args:
        scorer: a scorer, its name, or its configuration.
        data: a file, a hub name, `starter`, or `-`: rows with a prompt and a response, responses, or chosen and
            rejected. Judgements are not needed. Rows of other layouts are written in Guerdon's own.
        out: a file for the JSON Lines, or a stream.
        column: name of the new column, instead of `reward_` and the scorer's name.
        contributions: of a blend, also write what each member adds to each reward (`reward_NAME_contributions`).
        overwrite: replace columns of these names where the data has them.
        progress: shows how far it is.
        columns: which columns of the data are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: rows that cannot be scored, listed with file and line, or a file of which too many responses would
            be cut; the rewards are then not written.
        ConfigError: the data has a column of a new name already, and `overwrite` is not set; or contributions are
            asked of a reward that is no blend.
        OutputError: the file cannot be written.
    """
    if isinstance(out, str | Path):
        check_writable(out)
    name = scorer_name(scorer)
    writer = _Writer(column or f"reward_{reward_label(name)}", overwrite)
    loaded = scorer if isinstance(scorer, Scorer) else load_scorer(scorer)
    if contributions:
        if not isinstance(loaded, Blend):
            raise ConfigError(f"{name} is no blend: its rewards have no contributions of members (--contributions)")
        writer.blend = loaded
    total = None
    if data in STARTER_PARTS or Path(data).is_file():
        found = (writer.checked(found).candidates for found in all_candidates(data, **columns))
        total = refuse_truncation([loaded], candidate_texts(found))
    with progress("scoring", total) as advance, _sink(out) as write:
        for chunk in _chunks(all_candidates(data, **columns)):
            for record in writer.records(loaded, chunk, advance):
                write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
    report_totals([loaded])
    reason = max(writer.reasons, key=writer.reasons.__getitem__, default="")
    return ScoredRows(writer.rows, writer.responses, tuple(writer.columns), writer.missing, reason)


def reward_label(name: str) -> str:
    """A short name for a scorer: the last part of a path (two, where runs call every folder so), the object's name."""
    name, path = name.removesuffix("/"), Path(name)
    kind, _, source = name.partition(":")
    if kind in ("tfidf", "bm25") and source:
        return f"{kind}_{reward_label(source.split('.')[0])}"
    parts = [part for part in path.parts if part not in ("/", ".", "..")]
    label = "_".join(parts[-2:] if parts and _GENERIC.fullmatch(parts[-1]) else parts[-1:])
    if not path.exists() and ":" in label:
        label = label.rpartition(":")[2]
    return re.sub(r"[^\w.-]+", "_", label) or "scorer"


class _Writer:
    """Puts rewards into records, and counts what it does."""

    def __init__(self, column: str, overwrite: bool) -> None:
        self.column, self.overwrite = column, overwrite
        self.blend: Blend | None = None
        """Whose members' contributions are written, where they are."""
        self.rows = self.responses = self.missing = 0
        self.reasons: Counter[str] = Counter()
        self.columns: dict[str, None] = {}

    def checked(self, found: CandidateRecord) -> CandidateRecord:
        """The record; raises ConfigError where it has a column of a new name that may not be replaced."""
        names = self._places(found.columns)
        taken = [
            name for base in names for name in (base, f"{base}_reason", f"{base}_contributions") if name in found.record
        ]
        if taken and not self.overwrite:
            raise ConfigError(
                f"{found.candidates.origin or 'the data'}: there is a column {taken[0]!r} already. Fix: --as NAME "
                "gives the new column another name, --overwrite replaces what is there"
            )
        return found

    def records(
        self, scorer: Scorer, chunk: Sequence[CandidateRecord], advance: Callable[[int], None]
    ) -> Iterator[dict[str, Any]]:
        """The records with their rewards, all scored in one call."""
        owners = [found.candidates for found in chunk for _ in found.columns]
        responses = [text for found in chunk for text in found.candidates.responses]
        references = [owner.reference for owner in owners]
        prompts = [owner.prompt for owner in owners]
        parts = None
        if self.blend is None:
            rewards = score_texts(scorer, prompts, responses, references, on_progress=advance)
        else:
            rewards, parts = self.blend.explained(prompts, responses)
            advance(len(responses))
        start = 0
        for found in chunk:
            yield self._with_rewards(self.checked(found), rewards, parts, start)
            start += len(found.columns)

    def _with_rewards(
        self, found: CandidateRecord, rewards: Rewards, parts: Floats | None, start: int
    ) -> dict[str, Any]:
        record = dict(found.record)
        for name, places in self._places(found.columns).items():
            values = [_shortest(rewards.values[start + place]) for place in places]
            reasons = [rewards.reasons[start + place] or None for place in places]
            several = found.columns[places[0]] in ("responses", "generated")
            record[name] = values if several else values[0]
            for stale in ("reason", "contributions"):
                record.pop(f"{name}_{stale}", None)
            if any(reasons):
                record[f"{name}_reason"] = reasons if several else reasons[0]
            if self.blend is not None and parts is not None:
                added = [
                    {member: _shortest(np.float32(part)) for member, part in zip(self.blend.members, own, strict=True)}
                    for own in (parts[start + place] for place in places)
                ]
                record[f"{name}_contributions"] = added if several else added[0]
            self.columns.setdefault(name)
            self.responses += len(reasons)
            for reason in filter(None, reasons):
                self.missing += 1
                if reason in self.reasons or len(self.reasons) < _REASONS_COUNTED:
                    self.reasons[reason] += 1
        self.rows += 1
        return record

    def _places(self, columns: Sequence[str]) -> Mapping[str, list[int]]:
        """Each new column and which responses it is about."""
        found: dict[str, list[int]] = {}
        for place, held in enumerate(columns):
            name = f"{self.column}_{held}" if held in ("chosen", "rejected", "reference") else self.column
            found.setdefault(name, []).append(place)
        return found


def _shortest(value: Any) -> float | None:
    """The float whose shortest decimals are those of the float32: 0.1 rather than 0.10000000149011612; NaN is None."""
    return float(str(value)) if value == value else None


def _chunks(records: Iterator[CandidateRecord]) -> Iterator[list[CandidateRecord]]:
    """Lists of whole records with about `CHUNK_TEXTS` responses each."""
    held: list[CandidateRecord] = []
    count = 0
    for found in records:
        held.append(found)
        count += len(found.columns)
        if count >= CHUNK_TEXTS:
            yield held
            held, count = [], 0
    if held:
        yield held


@contextmanager
def _sink(out: str | Path | TextIO) -> Iterator[Callable[[str], Any]]:
    if isinstance(out, str | Path):
        with atomic_write(out) as file:
            yield file.write
    else:
        yield out.write
        out.flush()
