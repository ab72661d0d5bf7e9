"""Rows from a source: `iter_rows` streams rows and faults, `load_rows` gives a list or one error with the faults."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, Unpack

from guerdon.data.column_map import ColumnMapper
from guerdon.data.data_files import iter_records
from guerdon.data.data_options import ReadOptions
from guerdon.data.formats import known_layouts, read_record
from guerdon.data.json_files import Record
from guerdon.data.layouts import LayoutError
from guerdon.data.published import PublishedSet
from guerdon.data.published_sets import find_set
from guerdon.data.source import Source
from guerdon.data.values import MARKS
from guerdon.errors import ConfigError, DataError
from guerdon.types import AnyRow, Origin, Prompt, prompt_text

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

STARTER = "starter"
"""The source that names the starter set."""
_PARTS: dict[str, dict[str, Any]] = {
    STARTER: {"part": "all"},
    f"{STARTER}:train": {"part": "train"},
    f"{STARTER}:test": {"part": "test"},
}
STARTER_PARTS: dict[str, dict[str, Any]] = _PARTS | {
    f"{name}:{language}": options | {"languages": (language,)}
    for name, options in _PARTS.items()
    for language in ("en", "zh")
}
"""Sources that need no file -> what `starter_rows` takes; training and test share no prompt."""
SHOWN_FAULTS = 20
MOST_PUBLISHED_FAULTS = 0.05
"""Share of the rows of a published set that may be unusable."""


def iter_rows(source: str, **reading: Unpack[ReadOptions]) -> Iterator[AnyRow | DataError]:
    """Streams the rows of a source; a row that cannot be used is a `DataError` in its place.

    Args:
        source: a file, `-`, a hub name (see `guerdon.data.data_files.iter_records`), `starter` (its fixed parts:
            `starter:train`, `starter:test`; answers in one language: `starter:train:en`, `starter:zh` ...), or a
            published set, as `rewardbench2`, `judgebench:gpt` or `rm-bench:FILE` (`guerdon.data.published_sets`).
        reading: how (see `ReadOptions`); group="subset", group_regex="^(.*)_" joins `topic_for` and `topic_against`.

    Yields:
        Rows in the order of the source, faults whose message begins with `file:line`.

    Raises:
        DataError: the source as a whole cannot be read.
        ConfigError: the regular expression is broken or comes without `group`.
    """
    return read_rows(source, Source(reading.get("question"), source), **reading)


def read_rows(source: str, known: Source, **reading: Unpack[ReadOptions]) -> Iterator[AnyRow | DataError]:
    """As `iter_rows`; what becomes known of the source stands in `known` when its rows have passed."""
    group = _grouping(reading.get("group"), reading.get("group_regex"))
    named = find_set(source)
    refuse_map(source, reading.get("map"))
    if source in STARTER_PARTS:
        from guerdon.data.starter import starter_rows

        rows = starter_rows(**STARTER_PARTS[source])
        known.layouts["starter set"] = len(rows)
        for row in rows:
            known.see(row)
            yield group(row, dict(row.extra))
        return
    if named:
        for one in _published_rows(*named, group):
            known.layouts[named[0].title] += 1
            if not isinstance(one, DataError):
                known.see(one)
            yield one
        return

    def read(record: Record, origin: Origin) -> list[AnyRow]:
        rows = read_record(record, origin, known)
        known.take((name for name, value in record.items() if value is not None and name not in MARKS), rows)
        return [group(row, record) for row in rows]

    for found in read_each(source, read, known, reading.get("map")):
        if not isinstance(found, DataError):
            known.see(found)
        yield found
    known.warn()


def refuse_map(source: str, columns: str | None) -> None:
    """Raises ConfigError where columns are mapped of a set that is read in its own way."""
    if columns and (source in STARTER_PARTS or find_set(source)):
        raise ConfigError(f"{source} is read in its own columns. Fix: leave --map out")


def _published_rows(
    published: PublishedSet, part: str, group: Callable[[AnyRow, Mapping[str, Any]], AnyRow]
) -> Iterator[AnyRow | DataError]:
    faults: list[DataError] = []
    good = 0
    for origin, (record, found) in published.rows(part):
        try:
            if isinstance(found, DataError):
                raise found
            yield from [group(row, record) for row in found]
            good += 1
        except DataError as error:
            faults.append(error if error is found else type(error)(f"{origin}: {error}"))
    # What is published cannot be put right by its readers: a few faults are left out, many are the wrong columns.
    if len(faults) > MOST_PUBLISHED_FAULTS * (good + len(faults)):
        yield from faults
    elif faults:
        logger.warning(
            "%s: %d of %d rows cannot be used and are left out; the first: %s",
            published.title, len(faults), good + len(faults), faults[0],
        )  # fmt: skip


def read_each(
    source: str, read: Callable[[Record, Origin], Iterable[_T]], known: Source, columns: str | None = None
) -> Iterator[_T | DataError]:
    """What `read` makes of every record of a source; a record that cannot be used is a `DataError` in its place.

    `columns` are those of other names, see `ReadOptions`; without them, a map that was kept for these columns counts.
    """
    mapper = ColumnMapper(columns)
    for origin, record in iter_records(source):
        try:
            if isinstance(record, DataError):
                raise record
            named, said = mapper(record)
            if said:
                known.note(said)
            known.map |= mapper.used
            yield from read(named, origin)
        except DataError as error:
            yield error if error is record else type(error)(f"{origin}: {error}")


def load_rows(source: str, **reading: Unpack[ReadOptions]) -> list[AnyRow]:
    """All rows of a source.

    Example:
        >>> len(load_rows("starter:test:en")) > 0
        True

    Args:
        source: as for `iter_rows`.
        reading: as for `iter_rows`.

    Returns:
        At least one row, in the order of the source.

    Raises:
        DataError: a row is faulty (the message lists the first 20 with file and line, and the total), or there is none.
        ConfigError: as for `iter_rows`.
    """
    faults = Faults[AnyRow]()
    rows = list(faults.left_out(iter_rows(source, **reading)))
    faults.raise_if_any(source, len(rows))
    return rows


class Faults(Generic[_T]):
    """The faults of a source as they come: all are counted, the first are kept."""

    def __init__(self, on_fault: Callable[[DataError], None] = lambda fault: None) -> None:
        self.count = 0
        self.first: list[DataError] = []
        self._on_fault = on_fault

    def left_out(self, found: Iterable[_T | DataError]) -> Iterator[_T]:
        """What is no fault."""
        for one in found:
            if not isinstance(one, DataError):
                yield one
                continue
            self.count += 1
            if len(self.first) < SHOWN_FAULTS:
                self.first.append(one)
            self._on_fault(one)

    def raise_if_any(self, source: str, good: int) -> None:
        """Raises one `DataError` for all faults, or for a source that has no row at all; `good` rows can be used."""
        if self.count:
            raise DataError(self.message(source, good))
        if not good:
            raise DataError(f"{source}: there is no row in it")

    def message(self, source: str, good: int) -> str:
        """The faults in one text, with the known layouts where some row had none of them."""
        several = f"; the first {SHOWN_FAULTS}" if self.count > SHOWN_FAULTS else ""
        lines = [f"{source}: {self.count} of {good + self.count} rows cannot be used{several}:"]
        lines += [f"  {fault}" for fault in self.first]
        if any(isinstance(fault, LayoutError) for fault in self.first):
            lines += ["Known layouts, by the columns they need (a|b: either):", known_layouts()]
            lines.append("Columns of other names: --map prompt=COLUMN,chosen=COLUMN,rejected=COLUMN (nested: a.b)")
        lines.append("Put them right, or keep the other rows: guerdon data convert DATA NEW.jsonl --skip-faulty")
        return "\n".join(lines)


def _grouping(column: str | None, regex: str | None) -> Callable[[AnyRow, Mapping[str, Any]], AnyRow]:
    """A function that gives a row of a record the group that a column says, if one is asked for.

    It raises `DataError` where the column is not there or empty, or the expression matches nothing in it.
    """
    if regex is not None and column is None:
        raise ConfigError("a group regex needs the group column it applies to (--group COLUMN)")
    try:
        pattern = re.compile("(?s).*" if regex is None else regex)
    except re.error as error:
        raise ConfigError(f"the group regex {regex!r} is not a regular expression: {error}") from error

    def regroup(row: AnyRow, record: Mapping[str, Any]) -> AnyRow:
        if column is None:
            return row
        value = _group_value(row, record, column)
        match = pattern.search(value)
        group = match[1 if pattern.groups else 0] if match else None
        if not group:
            raise DataError(f"the group regex {regex!r} finds nothing in {value[:80]!r}")
        return dataclasses.replace(row, group=group)

    return regroup


def _group_value(row: AnyRow, record: Mapping[str, Any], column: str) -> str:
    if column == "prompt":
        return prompt_text(row.prompt)
    if column == "dialogue" and column not in record:
        return first_user_turn(row.prompt)
    value = record.get(column, getattr(row, column, None))
    if isinstance(value, dict | list | tuple) or value is None or value == "":
        found = ", ".join(map(str, record)) or "none"
        raise DataError(f"the group column {column!r} has no single value here; columns found: {found}")
    return str(value)


def first_user_turn(prompt: Prompt) -> str:
    """What a dialogue began with: the text by which several prompts of one dialogue are known to belong together."""
    if isinstance(prompt, str):
        return prompt
    return next((message.content for message in prompt if message.role == "user"), prompt_text(prompt))
