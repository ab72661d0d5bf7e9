"""What every reader of files gives: raw records, each with the place where it stands."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from guerdon.errors import DataError
from guerdon.types import Origin

Record: TypeAlias = dict[str, Any]
Records: TypeAlias = Iterator[tuple[Origin, Record | DataError]]

LINE_LIMIT = 64 * 2**20
"""Bytes of one line, array element or CSV cell; a longer one is a fault, so that a broken file cannot fill memory."""


def as_record(value: object, origin: Origin) -> Record | DataError:
    """The value if it is a JSON object, else the fault."""
    if isinstance(value, dict):
        return value
    hint = "; a JSON array belongs in a .json file" if isinstance(value, list) else ""
    kind = {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a number or truth value")
    return DataError(f"{origin}: a row must be a JSON object {{...}}, got {kind}{hint}")
