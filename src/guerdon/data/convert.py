"""A data set to files: all rows in Guerdon's own layout, or divided into training and test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Unpack

from guerdon.data.data_options import ReadOptions, SplitConfig
from guerdon.data.read import Faults, iter_rows, load_rows
from guerdon.data.split import Split, leaks, split_rows
from guerdon.data.write import check_ending, write_rows
from guerdon.errors import DataError
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
    out: str | Path | BinaryIO,
    *,
    skip_faulty: bool = False,
    on_fault: Callable[[DataError], None] = lambda fault: None,
    **reading: Unpack[ReadOptions],
) -> Conversion:
    """Brings any known layout into Guerdon's own; rows are streamed, and what is written reads back equal.

    Example:
        >>> convert_data("export.json", "pairs.jsonl", question="better")
        Conversion(rows=120, left_out=0)

    Args:
        data: as for `guerdon.data.read.iter_rows`.
        out: a file, whose ending chooses the format, or a stream for JSON Lines.
        skip_faulty: leave out rows that cannot be used; without it one of them is an error, and no file is written.
        on_fault: called with every row that is left out.
        reading: as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: a row cannot be used, or none can.
        OutputError: the ending is unknown, or the file cannot be written.
    """
    faults = Faults[AnyRow](on_fault if skip_faulty else lambda fault: None)

    def usable() -> Iterator[AnyRow]:
        good = 0
        for row in faults.left_out(iter_rows(data, **reading)):
            good += 1
            if skip_faulty or not faults.count:
                yield row
        if not good or not skip_faulty:
            faults.raise_if_any(data, good)

    return Conversion(write_rows(usable(), out), faults.count)


def split_data(
    data: str, out: str | Path, config: SplitConfig | None = None, **reading: Unpack[ReadOptions]
) -> dict[str, list[AnyRow]]:
    """Divides a data set into train and test by group (by default the prompt), never by row.

    Example:
        >>> parts = split_data("pairs.jsonl", "parts", group="topic")
        >>> {file: len(rows) for file, rows in parts.items()}
        {'train.jsonl': 800, 'test.jsonl': 200}

    Args:
        data: as for `guerdon.data.read.iter_rows`.
        out: a new folder; train, test and, if asked for, validation are written there.
        config: how to divide.
        reading: as for `guerdon.data.read.iter_rows`; what has one `group` stays on one side.

    Returns:
        Name of each file -> its rows.

    Raises:
        DataError: rows that cannot be used, too few groups, or prompts in two parts.
        ConfigError: options that do not fit together.
        OutputError: the folder cannot be written.
    """
    config = config or SplitConfig()
    check_ending(f"part{config.ending}")
    parts = split_rows(load_rows(data, **reading), test=config.test, validation=config.validation, seed=config.seed)
    _refuse_leaks(parts, config.allow_leaks)
    files = {f"{name}{config.ending}": rows for name, rows in parts._asdict().items() if rows}
    with atomic_folder(Path(out)) as folder:
        for name, rows in files.items():
            write_rows(rows, folder / name)
    return files


def _refuse_leaks(parts: Split, allowed: bool) -> None:
    found = [f"test: {leak}" for leak in leaks([*parts.train, *parts.validation], parts.test)]
    found += [f"validation: {leak}" for leak in leaks(parts.train, parts.validation)]
    if not found:
        return
    text = "\n".join(["prompts stand in two parts:", *(f"  {leak}" for leak in found[:_LEAKS_SHOWN])])
    if len(found) > _LEAKS_SHOWN:
        text += f"\n  and {len(found) - _LEAKS_SHOWN} more"
    if not allowed:
        raise DataError(f"{text}\nGroup by something that keeps them together (--group), or accept it: --allow-leaks")
    logger.warning("%s", text)
