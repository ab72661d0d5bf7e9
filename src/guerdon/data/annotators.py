"""Who judged a row: the column that names an annotator, and votes whose annotators nobody named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from guerdon.errors import ConfigError
from guerdon.types import AnyRow

ANNOTATORS = ("annotator", "annotator_id", "annotatorid", "labeler", "labeler_id", "labeller", "rater", "rater_id",
              "worker", "worker_id", "judge", "judge_id", "user_id")  # fmt: skip
"""Columns that name who judged, looked for in this order."""


def annotator_column(rows: Iterable[AnyRow], named: str | None = None) -> str | None:
    """The column that names who judged, if there is one.

    Args:
        rows: rows of any kinds.
        named: the column that is meant; None takes the first of `ANNOTATORS` that a row has.

    Raises:
        ConfigError: no row has the column `named`.
    """
    columns = {name for row in rows for name, value in row.extra.items() if isinstance(value, str | int)}
    if named is not None and named not in columns:
        there = ", ".join(sorted(columns)) or "none"
        raise ConfigError(f"no row has a column {named!r} that names an annotator; columns that could: {there}")
    return named or next((name for name in ANNOTATORS if name in columns), None)


def row_votes(extra: Mapping[str, Any]) -> list[float] | None:
    """The `votes` of a comparison for chosen, for rejected and for neither, if two or more are known."""
    given = extra.get("votes")
    if not isinstance(given, list | tuple) or len(given) not in (2, 3):
        return None
    if not all(isinstance(one, int | float) and one >= 0 for one in given) or sum(given) < 2:
        return None
    return [*map(float, given), *[0.0] * (3 - len(given))]
