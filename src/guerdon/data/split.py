"""Train, validation and test by group, never by row, and the check that nothing leaks from one to the other."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from guerdon.errors import ConfigError, DataError
from guerdon.metrics import Ints
from guerdon.types import AnyRow, group_key, prompt_text, response_texts


class Split(NamedTuple):
    """The parts of a data set; no group has rows in two of them."""

    train: list[AnyRow]
    validation: list[AnyRow]
    """Empty where no validation part was asked for."""
    test: list[AnyRow]


def split_rows(rows: Sequence[AnyRow], *, test: float = 0.2, validation: float = 0.0, seed: int = 0) -> Split:
    """Divides rows so that every group (`types.group_key`, up to case and white space) stays whole.

    Groups are drawn in the order of a hash of seed and group, so the result depends neither on the order of the rows
    nor on the machine, and hardly changes when rows are added. Test is filled first, then validation; a part ends at
    the group that brings it nearest to its share of the rows.

    Args:
        rows: what to divide; the order within a part is the order here.
        test: share of the rows for the test part, in (0, 1).
        validation: share of the rows for the validation part, in [0, 1).
        seed: another seed, another division.

    Returns:
        The parts, each non-empty (validation only where its share is not 0).

    Raises:
        ConfigError: the shares do not fit together.
        DataError: there are fewer groups than parts.
    """
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise ConfigError(
            "test and validation are shares of the rows with test > 0 and test + validation < 1, "
            f"got {test:g} and {validation:g}"
        )
    groups: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        groups.setdefault(normalised(group_key(row)), []).append(at)
    parts = 3 if validation else 2
    if len(groups) < parts:
        alike = len(groups) == 1 and not any(row.group for row in rows)
        held = "all have the same prompt" if alike else f"in {len(groups)} group{'s' * (len(groups) != 1)}"
        raise DataError(
            f"{len(rows)} rows, {held}, cannot be split into {parts} parts without tearing a group apart. Fix: more "
            "prompts, or group by another column (--group COLUMN)"
        )
    order = _drawn(groups, seed)
    sizes = [len(groups[group]) for group in order]
    in_test = _take(sizes, test * len(rows), leave=parts - 1)
    in_validation = _take(sizes[in_test:], validation * len(rows), leave=1) if validation else 0

    def part(names: list[str]) -> list[AnyRow]:
        return [rows[at] for at in sorted(at for name in names for at in groups[name])]

    return Split(
        train=part(order[in_test + in_validation :]),
        validation=part(order[in_test : in_test + in_validation]),
        test=part(order[:in_test]),
    )


def group_folds(keys: Sequence[str], folds: int, seed: int = 0) -> Ints:
    """The fold of each row or item, 0 to `folds` - 1, shape (n,), for cross-validation; no two folds share a group.

    Groups are drawn in the same order as by `split_rows`, and dealt out in turn, so folds differ by one group at most.
    `keys` are the group of each (`types.group_key`); those that differ in case and white space alone are one group.

    Raises:
        DataError: there are fewer groups than folds, or fewer than 2 folds.
    """
    groups = [normalised(key) for key in keys]
    order = _drawn(set(groups), seed)
    if folds < 2 or len(order) < folds:
        raise DataError(f"{len(order)} prompts (or groups) cannot be divided into {folds} folds")
    fold_of = {group: place % folds for place, group in enumerate(order)}
    return np.array([fold_of[group] for group in groups], dtype=np.int64)


def _drawn(groups: Iterable[str], seed: int) -> list[str]:
    """The groups in the order of a hash of seed and group: random, and the same on every machine."""
    return sorted(groups, key=lambda group: hashlib.blake2b(f"{seed}\0{group}".encode(), digest_size=16).digest())


def _take(sizes: Sequence[int], target: float, *, leave: int) -> int:
    """How many of the first groups come nearest to `target` rows: at least one, and at least `leave` are left over."""
    best, taken = 1, 0
    distance = float("inf")
    for count, size in enumerate(sizes[: len(sizes) - leave], start=1):
        taken += size
        if abs(taken - target) >= distance:
            break
        best, distance = count, abs(taken - target)
    return best


def leaks(train: Iterable[AnyRow], test: Iterable[AnyRow]) -> list[str]:
    """What stands in both parts, up to case and white space.

    Returns:
        One line for each prompt of the test part that the training part has too, with how many of its responses are
        there as well; empty if nothing leaks.
    """
    seen: dict[str, set[str]] = {}
    for row in train:
        seen.setdefault(_fingerprint(prompt_text(row.prompt)), set()).update(map(_fingerprint, response_texts(row)))
    found: dict[str, tuple[AnyRow, set[str]]] = {}
    for row in test:
        prompt = _fingerprint(prompt_text(row.prompt))
        if prompt in seen:
            common = {_fingerprint(text) for text in response_texts(row)} & seen[prompt]
            found.setdefault(prompt, (row, set()))[1].update(common)
    return [_leak(row, len(common)) for row, common in found.values()]


def _leak(row: AnyRow, common: int) -> str:
    with_responses = f" with {common} of its responses" if common else ""
    place = f" ({row.origin})" if row.origin else ""
    return f"the prompt {short_line(prompt_text(row.prompt))!r}{place} is in training too{with_responses}"


def short_line(text: str) -> str:
    """The beginning of a text on one line, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else f"{line[:57]}..."


def _fingerprint(text: str) -> str:
    return hashlib.blake2b(normalised(text).encode(), digest_size=16).hexdigest()


def normalised(text: str) -> str:
    """The text without differences of case and white space."""
    return " ".join(text.casefold().split())
