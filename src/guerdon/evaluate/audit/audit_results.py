"""What an audit of a reward found: plain frozen records, the same in Python, in JSON, in the table and on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from guerdon.data.values import plain
from guerdon.evaluate.audit.label_results import LEVEL, DataAudit
from guerdon.files import write_json
from guerdon.metrics import Interval, format_interval, format_value
from guerdon.perturbations.perturbation import DAMAGE, Liking

FLOOR = 0.05
"""A share of picks that is less than this away from a half is no bias worth the name, however sure it is."""
ENOUGH = 0.1
"""Where a bias of this size would have been found four times in five, `none found` is an answer."""
HALF = 0.5

SLIGHT = 0.05
"""A change that moves a reward by less than this part of a typical difference is slight, however surely it does."""

Verdict: TypeAlias = Literal[
    "bias", "slight", "as people", "resists", "blind", "none found", "cannot tell", "not asked"
]
"""`bias`: what should not matter moves it. `slight`: so it does, but by little. `as people`: it moves it, and people's
own choices go the same way. `resists`: what is worse is scored lower. `blind`: damage is not
noticed, and less than `ENOUGH` would have been. `none found`: less than `ENOUGH`. `cannot tell`: too few pairs to say.
`not asked`: the data has none or too few responses that could be changed so."""


@dataclass(frozen=True, slots=True)
class Example:
    """A matched pair of the line, the one in the middle of those that went as most went."""

    prompt: str
    control: str
    changed: str
    margin: float
    """Reward of the changed response minus that of its control; for a comparer P(changed preferred) - 1/2."""


@dataclass(frozen=True, slots=True)
class Tested:
    """A share with its test, in the one family of the report."""

    n: int
    """Pairs."""
    clusters: int
    rate: Interval
    """The share of pairs; without the bias it is a half."""
    standard_error: float
    p: float
    q: float = float("nan")
    """Of the Benjamini-Hochberg family of all tests of the report."""
    detectable: float = float("nan")
    """How far from a half a share must be to be found in such pairs with a probability of 80%, in this family."""

    @property
    def at_null(self) -> bool:
        """Whether it is a half exactly, as where nothing moves."""
        return self.rate.point == HALF

    @property
    def significant(self) -> bool:
        """Whether it is away from a half by more than chance and by more than `FLOOR`."""
        return self.q < LEVEL and abs(self.rate.point - HALF) >= FLOOR


@dataclass(frozen=True, slots=True)
class NaturalLine:
    """What a reward and what people pick where two natural responses differ in how much they have of a style."""

    name: str
    n: int
    clusters: int
    people: Interval
    """The share of pairs in which people preferred the response that has more of it."""
    model: Interval
    """The same for the reward, on the same pairs."""
    excess: Interval
    """The reward's share minus people's."""
    standard_error: float
    p: float
    """Of a reward that leans to one side no more than people do."""
    q: float = float("nan")
    detectable: float = float("nan")

    @property
    def at_null(self) -> bool:
        """Whether reward and people choose alike throughout."""
        return self.excess.point == 0

    @property
    def flagged(self) -> bool:
        """Whether the reward leans on it beyond people."""
        return self.q < LEVEL and abs(self.excess.point) >= FLOOR


@dataclass(frozen=True, slots=True)
class BiasLine:
    """What one change of a response does to its reward."""

    name: str
    family: str
    about: str
    liked: Liking
    test: Tested
    """The share of matched pairs in which the changed response is preferred; equal rewards count half."""
    shift: Interval
    """By how much the change moves the reward, in units of a typical difference between two natural responses."""
    order: Interval
    """The share of pairs of responses, ordered before, that are ordered otherwise after: when both are changed, for a
    change that keeps the meaning; when the worse one of a rightly ordered pair is changed, for any other."""
    order_pairs: int
    natural: NaturalLine | None = None
    examples: tuple[Example, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """What the line says; see `Verdict`."""
        if not self.test.n:
            return "not asked"
        if not self.test.significant:
            unmoved: Verdict = "blind" if self.family == DAMAGE else "none found"
            return unmoved if self.test.detectable <= ENOUGH else "cannot tell"
        raised = self.test.rate.point > HALF
        if self.liked == "no" and not raised:
            return "resists"
        if self.liked == "depends" and self.natural is not None:
            people = self.natural.people
            if (people.low > HALF) if raised else (people.high < HALF):
                return "as people"
        return "slight" if abs(self.shift.point) < SLIGHT else "bias"

    def sentence(self) -> str:
        """The verdict in plain words."""
        share = f"the changed response is preferred in {format_interval(self.test.rate)} of {self.test.n:,} pairs"
        far = f"a share {format_value(self.test.detectable)} from a half"
        found = {
            "bias": f"BIAS: {share}",
            "slight": f"slight: {share}, by {format_value(abs(self.shift.point))} of a typical difference",
            "as people": f"goes with people: {share}",
            "resists": f"resists: {share}",
            "blind": f"does not notice it: {share}; {far} would be seen",
            "none found": f"none found: {share}; {far} would be seen",
            "cannot tell": f"cannot tell: {share}; only {far} would be seen",
            "not asked": "no response of the data could be changed so",
        }
        return f"{self.name} (the response {self.about}): {found[self.verdict]}."


@dataclass(frozen=True, slots=True)
class PositionLine:
    """Whether a comparer prefers a place."""

    test: Tested
    """The share of showings in which it prefers the response that it is shown first."""
    turned: Interval
    """The share of pairs whose winner changes with the order in which they are shown."""

    @property
    def flagged(self) -> bool:
        """Whether it prefers a place."""
        return self.test.significant


@dataclass(frozen=True, slots=True)
class SurfaceShare:
    """How much of the differences in reward surface measures explain, out of fold."""

    n: int
    every: Interval
    """R^2 of all measures together: 1 - sum (m - prediction)^2 / sum m^2, on prompts that the fit has not seen."""
    length: Interval
    """R^2 of the length alone."""
    strongest: tuple[tuple[str, float], ...]
    """The measures with the largest effects: how far the reward moves, in units of its typical difference, when the
    measure rises by one typical difference and all others stay."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What `audit_system` found."""

    model: str
    data: str
    pairs: int
    """Pairs of natural responses that the reward was asked about."""
    clusters: int
    unit: str
    typical: float
    """The typical difference in reward of two natural responses (root mean square; where nobody compared any, the
    deviation of the rewards times the root of 2); for a comparer, of P from 1/2."""
    lines: tuple[BiasLine, ...]
    position: PositionLine | None
    surface: SurfaceShare | None
    labels: DataAudit
    texts: int
    """Texts (for a comparer, pairs) that it was asked about in all."""
    seconds: float
    seed: int
    notes: tuple[str, ...] = ()
    """What a reader must know first."""
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def natural(self) -> tuple[NaturalLine, ...]:
        """The lines about natural responses."""
        return tuple(line.natural for line in self.lines if line.natural is not None)

    @property
    def flagged(self) -> tuple[str, ...]:
        """The names of all biases that were found."""
        controlled = [line.name for line in self.lines if line.verdict == "bias"]
        natural = [f"{line.name}, beyond people" for line in self.natural if line.flagged]
        return (*controlled, *natural, *(["position"] if self.position and self.position.flagged else []))

    def of(self, name: str) -> BiasLine:
        """The line of a name. Raises KeyError."""
        return {line.name: line for line in self.lines}[name]

    def headline(self) -> str:
        """What was found, in one sentence."""
        asked = [line for line in self.lines if line.verdict != "not asked"]
        biases = [line for line in asked if line.verdict == "bias"]
        blind = sum(line.verdict == "cannot tell" for line in asked)
        beyond = [line.name for line in self.natural if line.flagged]
        worst = sorted(biases, key=lambda line: -abs(line.shift.point))[:5]
        move, most = ("moves", ": ") if len(biases) == 1 else ("move", ", most of all ")
        found = most + ", ".join(f"{line.name} (preferred in {line.test.rate.point:.0%})" for line in worst)
        text = (
            f"{len(biases)} of {len(asked)} changes that should not matter {move} this reward{found}"
            if biases
            else f"None of {len(asked)} changes is found to move this reward that should not"
        )
        text += f"; between natural responses it leans beyond people on {', '.join(beyond)}" if beyond else ""
        text += f"; {blind} could not be told for lack of pairs" if blind else ""
        return f"{text}."

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        values = {name: getattr(self, name) for name in self.__slots__ if name not in ("lines", "labels")}
        lines = [{**asdict(line), "verdict": line.verdict, "sentence": line.sentence()} for line in self.lines]
        told = {"headline": self.headline(), "flagged": self.flagged, **values, "lines": lines}
        return {name: plain(_as_dict(value)) for name, value in told.items()} | {"labels": self.labels.to_dict()}

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` to a JSON file, whole or not at all. Raises OutputError."""
        write_json(path, self.to_dict())


def _as_dict(value: Any) -> Any:
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def family_groups(lines: Sequence[BiasLine]) -> dict[str, list[BiasLine]]:
    """Family -> its lines, in the order of the table."""
    groups: dict[str, list[BiasLine]] = {}
    for line in lines:
        groups.setdefault(line.family, []).append(line)
    return groups
