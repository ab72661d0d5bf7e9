"""How a data set is read and divided: the same words in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


class ReadOptions(TypedDict, total=False):
    """How a source is read: keywords of every function, and options of every verb, that reads judgements."""

    group: str | None
    """Column that says what belongs together, in splits and intervals; or prompt, or dialogue (its first user turn)."""
    group_regex: str | None
    """Regular expression whose first capture group in that column (or the whole match) is the group."""
    question: str | None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None
    """Columns of other names: prompt=question,chosen=best,reference=reward_model.ground_truth (prompt= for none), or a
    JSON file of them. Kept for later files of these columns."""


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
