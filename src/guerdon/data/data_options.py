"""How a data set is read and divided: the same words in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class ColumnOptions(TypedDict, total=False):
    """Which columns of a source are read: keywords of every function, and options of every verb, that reads data."""

    question: str | None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None
    """Columns of other names, as prompt=question,chosen=best,reference=answers.gold, or a JSON file (docs/data.md)."""


class ReadOptions(TypedDict, total=False):
    """`ColumnOptions` and what belongs together: keywords of every function that reads judgements."""

    group: str | None
    """Column that says what belongs together, in splits and intervals; or prompt, or dialogue (its first user turn)."""
    group_regex: str | None
    """Regular expression whose first capture group in that column (or the whole match) is the group."""
    # Not inherited: the command line takes the help of a TypedDict's fields from its own body alone.
    question: str | None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None
    """Columns of other names, as prompt=question,chosen=best,reference=answers.gold, or a JSON file (docs/data.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitConfig:
    """How a data set is divided.

    Example:
        >>> SplitConfig(test=0.1, validation=0.1).ending
        '.jsonl'
    """

    test: float = 0.2
    """Share of the rows for the test part."""
    validation: float = 0.0
    """Share of the rows for the validation part; 0 for none."""
    seed: int = 0
    """Random seed: another seed, another division."""
    ending: str = ".jsonl"
    """Format of the parts, for example .jsonl.gz or .parquet."""
    allow_leaks: bool = False
    """Write the parts although a prompt is in two of them; this is then a warning."""
