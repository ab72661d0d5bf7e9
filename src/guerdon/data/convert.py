"""A data set to files: all rows in Guerdon's own layout, or divided into training and test."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from guerdon.data.read import Faults, iter_rows, load_rows
from guerdon.data.split import Split, group_by_dialogue, leaks, split_rows
from guerdon.data.write import check_ending, json_line, write_rows
from guerdon.errors import ConfigError, DataError
from guerdon.files import atomic_folder
from guerdon.types import AnyRow

logger = logging.getLogger(__name__)

_LEAKS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `convert_data` did."""

    rows: int
    """Rows that were written."""
    left_out: int
    """Rows that cannot be used."""


def convert_data(
    data: str,
    out: str | Path,
    *,
    group: str | None = None,
    group_regex: str | None = None,
    question: str | None = None,
    skip_faulty: bool = False,
    on_fault: Callable[[DataError], None] = lambda fault: None,
) -> Conversion:
    """Brings any known layout into Guerdon's own; rows are streamed, and what is written reads back equal.

    Example:
        >>> convert_data("export.json", "pairs.jsonl", question="better")
        Conversion(rows=120, left_out=0)

    Args:
        data: as for `guerdon.data.read.iter_rows`.
        out: a file, whose ending chooses the format, or `-` for JSON Lines on standard output.
        group: as for `guerdon.data.read.iter_rows`.
        group_regex: as for `guerdon.data.read.iter_rows`.
        question: as for `guerdon.data.read.iter_rows`.
        skip_faulty: leave out rows that cannot be used; without it one of them is an error, and no file is written.
        on_fault: called with every row that is left out.

    Raises:
        DataError: a row cannot be used, or none can.
        OutputError: the ending is unknown, or the file cannot be written.
    """
    faults = Faults()

    def usable() -> Iterator[AnyRow]:
        good = 0
        for row in iter_rows(data, group=group, group_regex=group_regex, question=question):
            if isinstance(row, DataError):
                faults.add(row)
                if skip_faulty:
                    on_fault(row)
                continue
            good += 1
            if skip_faulty or not faults.count:
                yield row
        if not good or not skip_faulty:
            faults.raise_if_any(data, good)

    if str(out) != "-":
        return Conversion(write_rows(usable(), out), faults.count)
    rows = 0
    for row in usable():
        sys.stdout.write(f"{json_line(row)}\n")
        rows += 1
    return Conversion(rows, faults.count)


def split_data(
    data: str,
    out: str | Path,
    *,
    test: float = 0.2,
    validation: float = 0.0,
    by: str = "prompt",
    regex: str | None = None,
    question: str | None = None,
    seed: int = 0,
    ending: str = ".jsonl",
    allow_leaks: bool = False,
) -> Split:
    """Divides a data set into train and test by group, never by row.

    Example:
        >>> parts = split_data("pairs.jsonl", "parts", by="topic")
        >>> len(parts.train), len(parts.test)
        (800, 200)

    Args:
        data: as for `guerdon.data.read.iter_rows`.
        out: a new folder; train, test and, if asked for, validation are written there.
        test: share of the rows for the test part.
        validation: share of the rows for the validation part; 0 for none.
        by: `prompt` (or the rows' own column `group`), `dialogue` (the first user turn), or any column.
        regex: with a column: regular expression whose first capture group in it is the group.
        question: as for `guerdon.data.read.iter_rows`.
        seed: another seed, another division.
        ending: the format of the parts, for example `.jsonl.gz` or `.parquet`.
        allow_leaks: write the parts although a prompt is in two of them; this is then a warning.

    Raises:
        DataError: rows that cannot be used, too few groups, or prompts in two parts.
        ConfigError: options that do not fit together.
        OutputError: the folder cannot be written.
    """
    if regex is not None and by in ("prompt", "dialogue"):
        raise ConfigError(f"--regex applies to a column (--by COLUMN), not to --by {by}")
    check_ending(f"part{ending}")
    column = None if by in ("prompt", "dialogue") else by
    rows = load_rows(data, group=column, group_regex=regex, question=question)
    parts = split_rows(
        group_by_dialogue(rows) if by == "dialogue" else rows, test=test, validation=validation, seed=seed
    )
    _refuse_leaks(parts, allow_leaks)
    with atomic_folder(Path(out)) as folder:
        for name, part in parts.named().items():
            write_rows(part, folder / f"{name}{ending}")
    return parts


def _refuse_leaks(parts: Split, allowed: bool) -> None:
    found = [f"test: {leak}" for leak in leaks([*parts.train, *parts.validation], parts.test)]
    found += [f"validation: {leak}" for leak in leaks(parts.train, parts.validation)]
    if not found:
        return
    text = "\n".join(["prompts stand in two parts:", *(f"  {leak}" for leak in found[:_LEAKS_SHOWN])])
    if len(found) > _LEAKS_SHOWN:
        text += f"\n  and {len(found) - _LEAKS_SHOWN} more"
    if not allowed:
        raise DataError(f"{text}\nGroup by something that keeps them together (--by), or accept it: --allow-leaks")
    logger.warning("%s", text)
