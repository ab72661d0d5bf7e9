"""What an evaluation found: plain frozen records, the same in Python, in JSON, in the table and in the figure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from guerdon.data.values import plain
from guerdon.evaluate.details import Details
from guerdon.evaluate.published_scores import PublishedScores
from guerdon.evaluate.result_tables import Request, Table
from guerdon.files import write_json
from guerdon.metrics import (
    METRICS,
    Floats,
    Interval,
    Outcome,
    format_interval,
    format_value,
    percentile_interval,
    verdict_sentence,
)

FEW_CLUSTERS = 10
"""Below this many prompts the bootstrap sees too little variety, and its intervals are too narrow."""


@dataclass(frozen=True, slots=True)
class SystemResult:
    """The metrics of one system on one part of the data."""

    name: str
    is_baseline: bool
    metrics: Mapping[str, Interval]
    """Name in `METRICS` -> value; NaN where the data cannot give the value. A `Comparer` has those of pairs alone."""
    score_ties: int
    """Pairs that the system does not order: equal rewards, or a preference of exactly 0.5."""
    unscored: int
    """Responses without a reward, or pairs without a verdict; no system is measured on them."""
    reason: str = ""
    """The most frequent reason for that."""

    @property
    def length_warning(self) -> str:
        """A sentence where the system is right about longer winners and wrong about shorter ones, or the reverse."""
        longer, shorter = (self.metrics.get(name, Interval(math.nan)) for name in ("longer_won", "shorter_won"))
        for won, lost, word in ((longer, shorter, "shorter"), (shorter, longer, "longer")):
            if lost.high < 0.5 < won.low:
                value = format_value(lost.point)
                return f"{self.name} leans on length: where the {word} response won, its accuracy is only {value}."
        return ""


@dataclass(frozen=True, slots=True)
class PartResult:
    """One part of the data: all of it (`subset` is empty), or one subset."""

    subset: str
    rows: int
    pairs: int
    """Pairs of responses that people ordered and every system judged."""
    human_ties: int
    """Comparisons in which people saw no winner: no part of any accuracy."""
    longer_won: int
    """Pairs whose preferred response is the longer one."""
    shorter_won: int
    clusters: int
    """Independent pieces that the bootstrap draws."""
    unit: str
    """What a piece is: `prompt`, `group`, or `row` where all rows share one prompt."""
    systems: tuple[SystemResult, ...]
    """The systems in the order given, baselines last."""
    table: Table = field(repr=False, compare=False)
    """The responses and pairs that every system judged."""
    margins: Floats = field(repr=False, compare=False)
    """Above 0 where a system orders a pair as people did, 0 for a tie; shape (pairs, systems)."""
    resampled: Mapping[str, Floats] = field(default_factory=dict, repr=False, compare=False)
    """Metric -> its value in every resample for every system, shape (resamples, systems)."""

    @property
    def models(self) -> tuple[SystemResult, ...]:
        """The systems that are no baselines."""
        return tuple(system for system in self.systems if not system.is_baseline)

    @property
    def metric_names(self) -> list[str]:
        """The metrics that any system has, in the order of `METRICS`."""
        return [name for name in METRICS if any(name in system.metrics for system in self.systems)]

    @property
    def baselines(self) -> tuple[SystemResult, ...]:
        """What they must beat."""
        return tuple(system for system in self.systems if system.is_baseline)

    def system(self, name: str) -> SystemResult:
        """The system of a name. Raises KeyError."""
        return self.systems[self._place(name)]

    def difference(self, a: str, b: str, metric: str) -> Interval:
        """System a minus system b on the same resamples; without bounds where the metric has no interval.

        Raises:
            KeyError: there is no such system, or one of the two does not have the metric.
        """
        first, second = self._place(a), self._place(b)
        point = self.systems[first].metrics[metric].point - self.systems[second].metrics[metric].point
        if metric not in self.resampled:
            return Interval(point)
        drawn = self.resampled[metric]
        return percentile_interval(point, drawn[:, first] - drawn[:, second])

    def best_baseline(self, metric: str) -> SystemResult | None:
        """The baseline with the best value of a metric; None where no baseline has one."""
        known = [one for one in self.baselines if metric in one.metrics and not math.isnan(one.metrics[metric].point)]
        sign = 1 if METRICS[metric].higher_is_better else -1
        return max(known, key=lambda one: sign * one.metrics[metric].point, default=None)

    def _place(self, name: str) -> int:
        names = [system.name for system in self.systems]
        if name not in names:
            raise KeyError(f"there is no system {name!r}; there are {', '.join(map(repr, names))}")
        return names.index(name)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a system beats its best baseline."""

    baseline: str
    outcome: Outcome
    """`better` or `worse` where the whole interval of the difference is on one side of 0, else `unclear`."""
    difference: Interval
    """The system minus the baseline in the primary metric."""


@dataclass(frozen=True, slots=True)
class Section:
    """The rows of one kind."""

    kind: str
    """`comparisons`, `ratings`, `ratings: ATTRIBUTE`, `rankings`, `references` or `steps`."""
    primary: str
    """The metric that decides, a name of `METRICS`."""
    overall: PartResult
    subsets: tuple[PartResult, ...]
    """Empty when the rows name fewer than two subsets."""
    notes: tuple[str, ...] = ()
    """What a reader must know to read the values right."""
    details: Details = field(default_factory=Details)
    """What stands behind the accuracy; empty where it was not asked for."""

    def verdict(self, system: str) -> Verdict | None:
        """A system against the baseline that is best in the primary metric; None without baselines or values."""
        best = self.overall.best_baseline(self.primary)
        own = self.overall.system(system).metrics.get(self.primary)
        if best is None or own is None or math.isnan(own.point):
            return None
        difference = self.overall.difference(system, best.name, self.primary)
        return Verdict(best.name, METRICS[self.primary].outcome(difference), difference)

    def sentence(self, system: str, called: str = "") -> str:
        """The verdict on a system in plain words, in which it is called by its name or otherwise."""
        verdict, metric = self.verdict(system), METRICS[self.primary]
        if verdict is None:
            return f"Nothing can be said about {called or system}: there is no {metric.heading} to compare."
        return verdict_sentence(called or system, verdict.baseline, metric, verdict.difference)

    def lines(self) -> list[str]:
        """What the values mean: verdicts, differences between the models, and what to mind."""
        part, metric = self.overall, METRICS[self.primary]
        verdicts = [self.sentence(system.name) for system in part.models]
        ranked = [system.name for system in part.models if self.primary in system.metrics]
        differences = [
            f"{a} minus {b}: {metric.heading} {format_interval(part.difference(a, b, metric.name), signed=True)}."
            for a, b in itertools.combinations(ranked, 2)
        ]
        lengths = [system.length_warning for system in part.models]
        people = self.details.people
        ceilings = [people.sentence(system.name) for system in part.models] if people else []
        return [line for line in (*verdicts, *differences, *lengths, *ceilings, *self.notes) if line]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Agreement of systems with people, beside baselines."""

    sections: tuple[Section, ...]
    resamples: int
    """Bootstrap data sets behind every interval; the intervals cover 95%."""
    seed: int
    notes: tuple[str, ...] = ()
    """What a reader must know first, as that a system was trained on some of the prompts."""
    seen: Mapping[str, float] = field(default_factory=dict)
    """System -> the share of the rows whose prompts it was trained on, for those that were."""
    data: tuple[str, ...] = ()
    """Where the rows were read, as far as they know."""
    folders: Mapping[str, str] = field(default_factory=dict)
    """System -> the folder that it was loaded from, for those that have one."""
    published: PublishedScores | None = None
    """The score of the published set that the rows are of, as its authors compute it."""
    requests: tuple[Request, ...] = field(default=(), repr=False, compare=False)
    """Prompt, response and reference of each distinct text, by the number that tables give it."""

    @property
    def systems(self) -> tuple[str, ...]:
        """The names of the systems that are no baselines."""
        return tuple(system.name for system in self.sections[0].overall.models)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        own = ("folders", "data", "resamples", "seed", "notes", "seen")
        values: dict[str, Any] = {
            "systems": self.systems,
            "baselines": [system.name for system in self.sections[0].overall.baselines],
            **{name: getattr(self, name) for name in own},
            "published": self.published and asdict(self.published),
            "sections": [_section_dict(section) for section in self.sections],
        }
        return {name: plain(value) for name, value in values.items()}

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` to a JSON file, whole or not at all. Raises OutputError."""
        write_json(path, self.to_dict())


def _section_dict(section: Section) -> dict[str, Any]:
    verdicts = {system.name: section.verdict(system.name) for system in section.overall.models}
    return {
        "kind": section.kind,
        "primary": section.primary,
        "verdicts": {name: verdict and asdict(verdict) for name, verdict in verdicts.items()},
        "notes": section.notes,
        "overall": _part_dict(section.overall, section.primary),
        "subsets": [_part_dict(part, section.primary) for part in section.subsets],
        "details": asdict(section.details),
    }


def _part_dict(part: PartResult, primary: str) -> dict[str, Any]:
    names = ("subset", "rows", "pairs", "human_ties", "longer_won", "shorter_won", "clusters", "unit")
    systems = {system.name: _system_dict(system, part, primary) for system in part.systems}
    return {**{name: getattr(part, name) for name in names}, "systems": systems}


def _system_dict(system: SystemResult, part: PartResult, primary: str) -> dict[str, Any]:
    """One system; `minus` is its lead over every other one in the primary metric, on the same resamples."""
    ranked = [other for other in part.systems if primary in other.metrics]
    others = [other.name for other in ranked if other is not system] if system in ranked else []
    return {
        "baseline": system.is_baseline,
        "metrics": {name: asdict(value) for name, value in system.metrics.items()},
        "minus": {other: asdict(part.difference(system.name, other, primary)) for other in others},
        "score_ties": system.score_ties,
        "unscored": system.unscored,
        "reason": system.reason,
    }
