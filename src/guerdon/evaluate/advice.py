"""What `advise` found: plain frozen records, the same in Python, in JSON, in the table and on the page."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from guerdon.data.values import plain
from guerdon.evaluate.learning_curve import Gain
from guerdon.files import write_json
from guerdon.metrics import Interval

State = Literal["cross-validated", "estimated", "not run"]
NOTHING = Interval(float("nan"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """One kind of reward on this data."""

    name: str
    about: str
    """What it is, in a few words."""
    state: State
    """`estimated`: from one split of the groups, and from `rows_learnt` rows alone."""
    accuracy: Interval = NOTHING
    """Share of the pairs in the right order, on groups that it did not learn from."""
    length_balanced: Interval = NOTHING
    length_correlation: float = float("nan")
    """Rank correlation of differences in reward with differences in length: 1 for the longest, -1 for the shortest."""
    minus: Interval = NOTHING
    """Its accuracy minus that of the candidate in `against`, paired."""
    against: str = ""
    rows_learnt: int = 0
    """Rows or judgements that it learnt from, in each fold or in the one split."""
    seconds: float = float("nan")
    """To read and fit all of the data; for a candidate that was not run, what that would take, NaN if unknown."""
    at_least: bool = False
    """Whether `seconds` is a lower bound by the size of the encoder: its own speed was not measured."""
    texts_per_second: float = float("nan")
    reason: str = ""
    """Why it was not run."""
    curve: tuple[tuple[float, float], ...] = ()
    """(judgements learnt from, accuracy), ascending."""
    gains: tuple[Gain, ...] = ()
    """What more judgements would bring, with 80% bands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Candidates compared on one data set, and which to take."""

    data: str
    rows: int
    """Rows that were compared on."""
    rows_given: int
    judgements: int
    """Pairs, or ratings, that these rows make."""
    groups: int
    objective: str
    """`pairs` or `ratings`."""
    candidates: tuple[CandidateResult, ...]
    """Simplest first."""
    recommended: str
    trustworthy: bool
    """Whether what is recommended knows more than the length of a response, as far as can be told."""
    headline: str
    evidence: tuple[str, ...]
    notes: tuple[str, ...]
    commands: tuple[tuple[str, str], ...]
    """What comes next, and the command for it."""
    minutes: float
    """What it was allowed."""
    seconds: float
    """What it took."""
    seed: int
    files: tuple[str, ...] = field(default=(), compare=False)

    def why_not_run(self) -> list[str]:
        """A sentence for each candidate that was not run, with what it would cost."""
        sentences = []
        for one in self.candidates:
            if one.state == "not run":
                bound = "at least" if one.at_least else "about"
                minutes = f" All of the data would take it {bound} {one.seconds / 60:.1f} minutes."
                known = minutes if math.isfinite(one.seconds) else ""
                sentences.append(f"{one.name} was not run: {one.reason}.{known}")
        return sentences

    def candidate(self, name: str) -> CandidateResult:
        """The candidate of a name. Raises KeyError."""
        for one in self.candidates:
            if one.name == name:
                return one
        raise KeyError(f"there is no candidate {name!r}; there are {', '.join(one.name for one in self.candidates)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        return {name: plain(value) for name, value in asdict(self).items() if name != "files"}

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` to a JSON file, whole or not at all. Raises OutputError."""
        write_json(path, self.to_dict())
