"""What an audit of labels found: plain frozen records, the same in Python, in JSON, in the table and on the page."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from guerdon.data.values import plain
from guerdon.evaluate.audit.duplicate_report import Duplicates
from guerdon.files import write_json
from guerdon.metrics import Interval, format_interval

LEVEL = 0.05
"""q-values below this count: of what is called a bias, one in twenty is expected to be none."""


@dataclass(frozen=True, slots=True)
class LabelLine:
    """What people preferred where two responses differ in how much they have of a style, or what one annotator did."""

    name: str
    n: int
    clusters: int
    rate: Interval
    """The share of pairs in which the response that has more of it was preferred."""
    p: float
    q: float
    """Of the Benjamini-Hochberg family of all tests of the labels."""
    detectable: float
    """How far from a half (for an annotator, from the others) a share must be to be found with a probability of 80%."""

    @property
    def flagged(self) -> bool:
        """Whether it is sure that the labels lean to one side."""
        return self.q < LEVEL


@dataclass(frozen=True, slots=True)
class AnnotatorLine:
    """One annotator beside the others."""

    name: str
    longer: LabelLine
    """How often the longer response was preferred; tested against the others' share."""
    others_longer: float
    support: Interval
    """The share of the labels that models which never saw them agree with; for all annotators alike where labels can
    be foretold, lower for one who answers otherwise or at random."""


@dataclass(frozen=True, slots=True)
class SuspectLabel:
    """A label that is likely wrong."""

    support: float
    """P that it is right, by models that never saw it."""
    origin: str
    prompt: str
    preferred: str
    other: str


@dataclass(frozen=True, slots=True)
class ErrorReport:
    """Labels that are likely wrong."""

    pairs: int
    agreement: Interval
    """How often models that never saw a label agree with it."""
    expected: int
    precision: Interval
    """Of labels turned around on purpose (5% of all), the share among as many suspects."""
    detectable: bool
    suspects: tuple[SuspectLabel, ...]

    def sentence(self) -> str:
        """How far the list can be believed."""
        found = (
            f"Of labels that were turned around on purpose (5% of all), {format_interval(self.precision)} of as many "
            "suspects are; chance gives 0.050"
        )
        if not self.detectable:
            return f"Wrong labels are not detectable here. {found}."
        firmly = "labels are contradicted as firmly as others are supported"
        return f"{found}. About {self.expected:,} of {self.pairs:,} {firmly}."


@dataclass(frozen=True, slots=True)
class DataAudit:
    """What `audit_labels` found."""

    data: str
    rows: int
    pairs: int
    clusters: int
    unit: str
    lines: tuple[LabelLine, ...]
    annotators: tuple[AnnotatorLine, ...]
    repeats: int
    """Rows that repeat an earlier row."""
    duplicates: tuple[Duplicates, ...]
    contradictions: int
    """Pairs of responses that were judged both ways."""
    in_circles: int
    """Preferences among responses whose order runs in circles."""
    conflicts: tuple[str, ...]
    """The first of them."""
    errors: ErrorReport | None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` to a JSON file, whole or not at all. Raises OutputError."""
        write_json(path, self.to_dict())

    def sentences(self) -> list[str]:
        """What was found, in plain words."""
        told = []
        length = next((line for line in self.lines if line.name == "length"), None)
        if length is not None:
            share = format_interval(length.rate)
            told.append(f"People preferred the longer response in {share} of {length.n:,} pairs.")
        if self.repeats:
            told.append(f"{self.repeats:,} of {self.rows:,} rows repeat an earlier row.")
        told += [one.sentence() for one in self.duplicates if one.exact or one.near]
        if self.contradictions or self.in_circles:
            both = f"{self.contradictions:,} pairs were judged both ways"
            told.append(f"{both}, and {self.in_circles:,} preferences run in circles.")
        if self.errors is not None:
            told.append(self.errors.sentence())
        return [*told, *self.notes]
