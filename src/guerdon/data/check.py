"""Faults and statistics of a whole source in one pass and little memory: about 60 bytes a row, whatever its length."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from guerdon.data.data_options import ReadOptions
from guerdon.data.examples import example_texts
from guerdon.data.read import Faults, iter_rows, read_rows
from guerdon.data.source import Source
from guerdon.errors import DataError
from guerdon.files import atomic_write
from guerdon.types import AnyRow, Comparison, Ranking, Rating, Steps, group_key, prompt_text

_EXAMPLES = 5
_SHOWN_ROWS = 3


@dataclass(frozen=True, slots=True)
class SourceReport:
    """What is told of a source in any case."""

    source: str
    rows: int
    """Rows that can be used."""
    faults: int
    """Rows that cannot be used."""
    kinds: dict[str, int]
    """Kind (`Comparison`, `Rating`, `Ranking`, `Reference`, `Steps`) -> rows."""

    def to_json(self) -> str:
        """The report as the text of a JSON file."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, indent=2) + "\n"

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON.

        Raises:
            OutputError: the file cannot be written.
        """
        with atomic_write(path) as file:
            file.write(self.to_json())


@dataclass(frozen=True, slots=True)
class CheckReport(SourceReport):
    """What `guerdon data check` found."""

    first_faults: list[str]
    """The first faults, each beginning with `file:line`."""
    repeats: int
    """Rows whose prompt and responses an earlier row has in the same order of preference."""
    repeat_lines: list[tuple[int, int]]
    """Line and earlier line of the first of them."""
    contradictions: int
    """Pairs of responses of which both were preferred to the other somewhere."""
    contradiction_lines: list[tuple[int, int]]
    """Two lines for each of the first of them."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How numbers are spread."""

    n: int
    mean: float
    low: float
    """Smallest."""
    median: float
    p95: float
    high: float
    """Largest."""


@dataclass(frozen=True, slots=True)
class InfoReport(SourceReport):
    """What `guerdon data info` tells."""

    subsets: dict[str, int]
    """Subset -> rows, the largest first; rows without one are under the empty text."""
    prompts: int
    """Distinct prompts."""
    groups: int
    """Distinct groups: what a split keeps whole."""
    chats: int
    """Rows whose prompt is a chat."""
    ties: int
    """Comparisons with preference 0.5."""
    soft: int
    """Comparisons with a preference between 0.5 and 1."""
    margins: int
    """Comparisons with a margin."""
    longer_chosen: float | None
    """Share of the comparisons (without ties) whose chosen response is the longer in characters, equal lengths counted
    half: the accuracy of preferring the longer text. None without comparisons."""
    lengths: dict[str, Spread]
    """`prompt`, `chosen`, `rejected`, `response` ... -> characters."""
    scores: dict[str, Spread]
    """Attribute -> values in the units of the data, of ratings and rankings."""
    layouts: dict[str, int]
    """Layout that was recognised -> records of it."""
    columns: list[str]
    """Columns that were read, under the names that Guerdon reads; empty for published sets, which have their own."""
    map: dict[str, str]
    """Name that Guerdon reads -> column, where a map of columns is in force."""
    not_read: list[str]
    """Columns that are kept beside the rows, and are no part of prompts or responses (those of the first rows)."""
    examples: list[list[tuple[str, str]]]
    """Name and text of all that is read of the first rows, see `guerdon.data.examples.example_texts`."""


def check_data(
    data: str, *, on_fault: Callable[[DataError], None] = lambda fault: None, **reading: Unpack[ReadOptions]
) -> CheckReport:
    """Reads a source once and reports every row that cannot be used, repeated rows, and contradictions.

    Example:
        >>> check_data("pairs.jsonl").faults
        0

    Args:
        data: as for `guerdon.data.read.iter_rows`.
        on_fault: called with every fault as it is found; the report keeps only the first.
        reading: as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: the source as a whole cannot be read, or there is no row in it.
    """
    faults, kinds, seen = Faults[AnyRow](on_fault), Counter[str](), _Seen()
    for row in faults.left_out(iter_rows(data, **reading)):
        kinds[type(row).__name__] += 1
        seen.add(row)
    rows = sum(kinds.values())
    if not rows and not faults.count:
        faults.raise_if_any(data, rows)
    repeats, contradictions = seen.repeats(), seen.contradictions()
    return CheckReport(
        source=data,
        rows=rows,
        kinds=dict(kinds),
        faults=faults.count,
        first_faults=[str(fault) for fault in faults.first],
        repeats=len(repeats),
        repeat_lines=repeats[:_EXAMPLES],
        contradictions=len(contradictions),
        contradiction_lines=contradictions[:_EXAMPLES],
    )


def describe_data(data: str, **reading: Unpack[ReadOptions]) -> InfoReport:
    """Reads a source once and tells what it holds. Rows that cannot be used are counted and left out.

    Example:
        >>> describe_data("starter:test:en").kinds
        {'Comparison': 40}

    Args:
        data: as for `guerdon.data.read.iter_rows`.
        reading: as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: the source as a whole cannot be read, or there is no usable row in it.
    """
    faults, tally, known = Faults[AnyRow](), _Tally(), Source(reading.get("question"), data)
    for row in faults.left_out(read_rows(data, known, **reading)):
        tally.add(row)
    if not tally.kinds:
        faults.raise_if_any(data, 0)
    return tally.report(data, faults.count, known)


def hash64(*parts: str) -> int:
    """A 64-bit hash of texts, the same on every machine: two in a million rows meet with probability 3e-8."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little"))
        digest.update(encoded)
    return int.from_bytes(digest.digest(), "little")


class _Seen:
    """The rows seen so far, 16 bytes each: a hash of prompt and responses whose lowest bit says which one won."""

    def __init__(self) -> None:
        self._keys = array("Q")
        self._lines = array("Q")

    def add(self, row: AnyRow) -> None:
        self._keys.append(_row_key(row))
        self._lines.append(row.origin.line if row.origin else len(self._keys))

    def repeats(self) -> list[tuple[int, int]]:
        """(line, earlier line) of every row that repeats an earlier one."""
        keys, lines = self._sorted()
        at = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        first = np.searchsorted(keys, keys[at], side="left")
        return _pairs(lines[at], lines[first])

    def contradictions(self) -> list[tuple[int, int]]:
        """(line, line) of every pair of responses that was judged both ways, one of each kind."""
        keys, lines = self._sorted()
        at = np.flatnonzero((keys[1:] != keys[:-1]) & (keys[1:] >> np.uint64(1) == keys[:-1] >> np.uint64(1))) + 1
        first = np.searchsorted(keys, keys[at] - np.uint64(1), side="left")
        return _pairs(lines[at], lines[first])

    def _sorted(self) -> tuple[np.ndarray, np.ndarray]:
        keys, lines = np.frombuffer(self._keys, np.uint64), np.frombuffer(self._lines, np.uint64)
        order = np.argsort(keys, kind="stable")
        return keys[order], lines[order]


def _pairs(lines: np.ndarray, others: np.ndarray) -> list[tuple[int, int]]:
    return sorted(zip(lines.tolist(), others.tolist(), strict=True))


def _row_key(row: AnyRow) -> int:
    prompt = prompt_text(row.prompt)
    if isinstance(row, Comparison):
        if row.preference == 0.5:
            return hash64(prompt, "tie", *sorted((row.chosen, row.rejected))) & ~1
        swapped = row.chosen > row.rejected
        pair = (row.rejected, row.chosen) if swapped else (row.chosen, row.rejected)
        return hash64(prompt, *pair) & ~1 | swapped
    if isinstance(row, Rating):
        return hash64(prompt, row.response) & ~1
    if isinstance(row, Ranking):
        return hash64(prompt, *row.responses) & ~1
    if isinstance(row, Steps):
        return hash64(prompt, *row.steps) & ~1
    return hash64(prompt, row.reference or "", *row.generated) & ~1


class _Tally:
    """The statistics of `describe_data` while the rows pass."""

    def __init__(self) -> None:
        self.kinds = Counter[str]()
        self._subsets = Counter[str]()
        self._counts = Counter[str]()
        self._prompts, self._groups = array("Q"), array("Q")
        self._lengths: dict[str, array[int]] = {}
        self._scores: dict[str, array[float]] = {}
        self._examples: list[AnyRow] = []

    def add(self, row: AnyRow) -> None:
        prompt = prompt_text(row.prompt)
        self.kinds[type(row).__name__] += 1
        if len(self._examples) < _SHOWN_ROWS:
            self._examples.append(row)
        self._subsets[row.subset] += 1
        self._counts["chats"] += not isinstance(row.prompt, str)
        self._prompts.append(hash64(prompt))
        self._groups.append(hash64(group_key(row)))
        for name, text in (("prompt", prompt), *_texts(row)):
            self._lengths.setdefault(name, array("Q")).append(len(text))
        if isinstance(row, Comparison):
            self._add_comparison(row)
        elif isinstance(row, Rating):
            for name, value in row.scores.items():
                self._scores.setdefault(name, array("d")).append(value)
        elif isinstance(row, Ranking):
            self._scores.setdefault("score", array("d")).extend(row.scores)
        elif isinstance(row, Steps):
            judged = (label for label in row.labels if label is not None)
            self._scores.setdefault("step label", array("d")).extend(judged)

    def _add_comparison(self, row: Comparison) -> None:
        self._counts["margins"] += row.margin is not None
        self._counts["ties"] += row.preference == 0.5
        self._counts["soft"] += 0.5 < row.preference < 1.0
        if row.preference != 0.5:
            difference = len(row.chosen) - len(row.rejected)
            self._counts["decided"] += 1
            self._counts["longer_halves"] += 2 if difference > 0 else difference == 0

    def report(self, source: str, faults: int, known: Source) -> InfoReport:
        counts = self._counts
        decided = counts["decided"]
        return InfoReport(
            source=source,
            rows=sum(self.kinds.values()),
            faults=faults,
            kinds=dict(self.kinds),
            subsets=dict(self._subsets.most_common()),
            prompts=len(np.unique(np.frombuffer(self._prompts, np.uint64))),
            groups=len(np.unique(np.frombuffer(self._groups, np.uint64))),
            chats=counts["chats"],
            ties=counts["ties"],
            soft=counts["soft"],
            margins=counts["margins"],
            longer_chosen=counts["longer_halves"] / 2 / decided if decided else None,
            lengths={name: _spread(np.frombuffer(values, np.uint64)) for name, values in self._lengths.items()},
            scores={name: _spread(np.frombuffer(values, np.float64)) for name, values in self._scores.items()},
            layouts=dict(known.layouts),
            columns=list(known.taken),
            map=known.map,
            not_read=list(known.columns),
            examples=[list(example_texts(row)) for row in self._examples],
        )


def _texts(row: AnyRow) -> Iterator[tuple[str, str]]:
    if isinstance(row, Comparison):
        yield from (("chosen", row.chosen), ("rejected", row.rejected))
    elif isinstance(row, Rating):
        yield "response", row.response
    elif isinstance(row, Ranking):
        yield from (("response", response) for response in row.responses)
    elif isinstance(row, Steps):
        yield from (("step", step) for step in row.steps)
    if row.reference:
        yield "reference", row.reference


def _spread(values: np.ndarray) -> Spread:
    low, median, p95, high = (float(value) for value in np.quantile(values, [0.0, 0.5, 0.95, 1.0]))
    return Spread(n=len(values), mean=float(values.mean()), low=low, median=median, p95=p95, high=high)
