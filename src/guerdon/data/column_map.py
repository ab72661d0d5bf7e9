"""Columns of other names: `prompt=question,chosen=best`, nested ones too; kept for later files of these columns."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from guerdon.data.formats import READ_COLUMNS, find_layout
from guerdon.data.layouts import PROMPTS
from guerdon.data.values import EXTRA_COLUMN, TEXT_COLUMNS, structured
from guerdon.errors import ConfigError, DataError, OutputError
from guerdon.files import atomic_write

_KEPT = 50
_ABSENT = object()


def maps_file() -> Path:
    """Where column maps are kept: `guerdon/column_maps.json` in `$XDG_CONFIG_HOME`, else in `~/.config`."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "guerdon" / "column_maps.json"


def parse_map(given: str) -> dict[str, str]:
    """Name that Guerdon reads -> column, from `prompt=question,scores.helpful=quality` or a JSON file of them.

    Raises:
        ConfigError: it is neither, or names a column that no layout reads.
    """
    if "=" not in given and Path(given).is_file():
        with contextlib.suppress(ValueError):
            found = json.loads(Path(given).read_text(encoding="utf-8"))
            given = ",".join(f"{name}={column}" for name, column in found.items()) if isinstance(found, dict) else given
    pairs = [part.partition("=") for part in given.split(",")]
    if not all(name.strip() and sign for name, sign, _ in pairs):
        raise ConfigError(f"--map must be NAME=COLUMN,NAME=COLUMN or a JSON file {{name: column}}, got {given!r}")
    columns = {name.strip(): column.strip() for name, _, column in pairs}
    if unknown := [name for name in columns if name not in READ_COLUMNS and not name.startswith("scores.")]:
        names = "prompt, chosen, rejected, response, responses, score, scores.ATTRIBUTE, reference, label, subset, id"
        raise ConfigError(f"--map gives names that no layout reads: {', '.join(unknown)}. Fix: use {names} ...")
    return columns


def apply_map(record: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """The record with its columns under the names that Guerdon reads.

    A path as `reward_model.ground_truth` or `answers.0.text` takes what lies within a column, which stays. A column
    whose name another one gets is kept beside the row. `prompt=` is the empty prompt.

    Raises:
        DataError: a column is not there.
    """
    found = {name: _dig(record, path) if path else "" for name, path in columns.items()}
    if missing := [columns[name] for name, value in found.items() if value is _ABSENT]:
        raise DataError(f"--map names columns that are not there: {', '.join(missing)}; columns: {', '.join(record)}")
    mapped = {name: value for name, value in record.items() if name not in columns.values()}
    replaced = {name: mapped.pop(name) for name in columns if name in mapped}
    for name, value in found.items():
        outer, dot, attribute = name.partition(".")
        if dot:
            mapped[outer] = {**mapped.get(outer, {}), attribute: value}
        else:
            mapped[name] = value
    if columns.get("prompt") == "":
        mapped[TEXT_COLUMNS] = ["prompt"]
    if replaced := {name: value for name, value in replaced.items() if value is not None}:
        mapped[EXTRA_COLUMN] = replaced
    return mapped


def _dig(value: Any, path: str) -> Any:
    """What lies at a path; a column whose name has dots counts first."""
    if isinstance(value, Mapping) and path in value:
        return value[path]
    first, dot, rest = path.partition(".")
    inner: Any = _ABSENT
    if isinstance(value, Mapping) and first in value:
        inner = structured(value[first])
    elif isinstance(value, list) and first.isdigit() and int(first) < len(value):
        inner = value[int(first)]
    return _dig(inner, rest) if dot and inner is not _ABSENT else inner


def keep_map(columns: Mapping[str, str], record: Mapping[str, Any]) -> None:
    """Keeps a map for records of these columns, where no layout would read them without it."""
    if find_layout(frozenset(record)) is None and columns not in (kept := kept_maps()):
        with contextlib.suppress(OutputError), atomic_write(maps_file()) as file:
            json.dump([dict(columns), *kept][:_KEPT], file, ensure_ascii=False, indent=1)


def kept_maps() -> list[dict[str, str]]:
    """The maps that were kept, the newest first."""
    try:
        found = json.loads(maps_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


class ColumnMapper:
    """Gives each record of a source the names that Guerdon reads: by the map that was given, or by one kept before."""

    def __init__(self, given: str | None) -> None:
        self.columns = parse_map(given) if given else None
        self.used: dict[str, str] = self.columns or {}
        """The map that was in force last."""
        self._kept = [] if given else kept_maps()
        self._first = True

    def __call__(self, record: dict[str, Any]) -> tuple[dict[str, Any], str]:
        """The record, and what must be said of how it was mapped."""
        if self.columns is not None:
            mapped = apply_map(record, self.columns)
            if self._first and find_layout(frozenset(mapped)) is not None:
                keep_map(self.columns, record)
            self._first = False
            return mapped, ""
        if find_layout(frozenset(record)) is not None:
            return record, ""
        for columns in self._kept:
            if all(not path or _dig(record, path) is not _ABSENT for path in columns.values()) and any(
                columns.values()
            ):
                self.used = columns
                said = ",".join(f"{name}={path}" for name, path in columns.items())
                return apply_map(record, columns), f"read with the column map that was given before: --map {said}"
        if columns := _spelt_otherwise(tuple(record)):
            self.used = columns
            said = ", ".join(f"{column!r} as {name}" for name, column in columns.items())
            return apply_map(record, columns), f"column names are read without their capitals and spaces: {said}"
        return record, ""


@functools.lru_cache(maxsize=256)
def _spelt_otherwise(present: tuple[str, ...]) -> dict[str, str]:
    """A map of columns that are called as those that layouts read but for capitals and spaces, if that is a help."""
    plain = {column: re.sub(r"\s+", "_", str(column).strip().lower()) for column in present}
    columns = {
        name: column
        for column, name in plain.items()
        if name != column and name in READ_COLUMNS and list(plain.values()).count(name) == 1
    }
    found = frozenset(name if columns.get(name) == column else column for column, name in plain.items())
    fits = find_layout(found) is not None
    return columns if fits or not columns.keys().isdisjoint(PROMPTS) else {}
