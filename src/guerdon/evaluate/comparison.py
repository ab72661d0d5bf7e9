"""Which of several systems agrees better with people: paired tests, a leaderboard, and where they disagree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.data.values import plain
from guerdon.errors import ConfigError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.results import Evaluation, PartResult, Section
from guerdon.evaluate.statistics import resampling_unit
from guerdon.evaluate.systems import System
from guerdon.files import write_json
from guerdon.metrics import (
    METRICS,
    Floats,
    Interval,
    Ints,
    bootstrap_distribution,
    bradley_terry_strengths,
    format_interval,
    format_p_value,
    format_value,
    holm,
    mcnemar_p_value,
    minimum_detectable_difference,
    percentile_interval,
    permutation_p_value,
)
from guerdon.types import AnyRow, prompt_text

EXAMPLES = 3
"""Disagreements shown of two systems in each direction."""
SIGNIFICANT = 0.05
FEW_FOR_A_TEST = 6
"""With fewer clusters no permutation test can fall below 0.05."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The place of one system on the leaderboard."""

    name: str
    is_baseline: bool
    value: Interval
    """The metric that decides."""
    strength: Interval
    """Bradley-Terry strength in logits, mean 0 over the systems: of the pairs on which just one of two systems is
    right, it is i in a share of sigmoid(s_i - s_j)."""
    first: float
    """The share of resamples in which no system is stronger."""
    ranks: tuple[int, int]
    """Its best and its worst place in the middle 95% of the resamples."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A pair of responses that one system orders as people did, and the other does not."""

    prompt: str
    preferred: str
    other: str
    right: str
    """The system that people agree with."""
    wrong: str
    subset: str
    margins: tuple[float, float]
    """Of the right and of the wrong system: reward (or P - 1/2) of the preferred response minus that of the other."""


@dataclass(frozen=True, slots=True)
class PairedTest:
    """Two systems on the same rows."""

    a: str
    b: str
    difference: Interval
    """a minus b in the metric that decides."""
    p_value: float
    """Of the permutation test on the accuracy, adjusted for all tests of the section (Holm); NaN without pairs."""
    only_a: int
    """Pairs on which a does better than b."""
    only_b: int
    mcnemar: float
    """p-value of McNemar's exact test, which takes pairs as independent, not adjusted."""
    detectable: float
    """The smallest true difference that rows like these would show with a power of 80%."""
    by_subset: Mapping[str, Interval]
    examples: tuple[Disagreement, ...]

    def sentence(self, metric: str) -> str:
        """What the test says, in plain words."""
        described = METRICS[metric]
        outcome = described.outcome(self.difference)
        p = "" if np.isnan(self.p_value) else f", {format_p_value(self.p_value)}"
        if outcome == "unclear" or self.p_value >= SIGNIFICANT:
            value = format_interval(self.difference, signed=True, decimals=described.decimals)
            power = "" if np.isnan(self.detectable) else (
                f" A true difference of {format_value(self.detectable)} would be found on such rows four times in five."
            )  # fmt: skip
            return f"{self.a} and {self.b} do not clearly differ: {described.heading} {value}{p}.{power}"
        d = self.difference
        better, worse, lead = (self.a, self.b, d)
        if outcome == "worse":
            better, worse, lead = self.b, self.a, Interval(-d.point, -d.high, -d.low)
        value = format_interval(lead, signed=True, decimals=described.decimals)
        return f"{better} agrees better with people than {worse}: {described.heading} {value}{p}."


@dataclass(frozen=True, slots=True)
class SectionComparison:
    """The systems on the rows of one kind."""

    kind: str
    metric: str
    """The metric that decides, a name of `METRICS`."""
    rows: int
    pairs: int
    clusters: int
    unit: str
    """What the bootstrap draws and the permutation test exchanges: `prompt`, `group` or `row`."""
    leaderboard: tuple[Standing, ...]
    """The strongest first, baselines among them."""
    tests: tuple[PairedTest, ...]
    """Of every two systems that are no baselines, the stronger one first."""
    notes: tuple[str, ...]

    def standing(self, name: str) -> Standing:
        """The system of a name. Raises KeyError."""
        return {one.name: one for one in self.leaderboard}[name]

    def lines(self) -> list[str]:
        """What the tests say, then what a reader must know."""
        return [*(test.sentence(self.metric) for test in self.tests), *self.notes]


@dataclass(frozen=True, slots=True)
class RewardComparison:
    """What `compare_rewards` found."""

    sections: tuple[SectionComparison, ...]
    evaluation: Evaluation
    """Every metric of every system, as `evaluate_reward` gives it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and numbers, ready for JSON: NaN becomes None."""
        found = self.evaluation
        told = {name: getattr(found, name) for name in ("data", "folders", "resamples", "seed", "notes", "seen")}
        values = {**told, "sections": [asdict(section) for section in self.sections]}
        return {name: plain(value) for name, value in values.items()}

    def save(self, path: str | Path) -> None:
        """Writes `to_dict` to a JSON file, whole or not at all. Raises OutputError."""
        write_json(path, self.to_dict())


def compare_rewards(
    systems: Mapping[str, System],
    rows: Sequence[AnyRow],
    *,
    baselines: Mapping[str, System] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    progress: Callable[[str, int, int], None] | None = None,
) -> RewardComparison:
    """Tells which of several systems agrees better with people, and how sure that is.

    Example:
        >>> found = compare_rewards({"a": load_scorer("runs/a"), "b": load_scorer("runs/b")}, load_rows("test.jsonl"))
        >>> print(found.sections[0].tests[0].sentence("accuracy"))
        a agrees better with people than b: accuracy +0.031 [0.012, 0.050], p = 0.002.

    Args:
        systems: name -> scorer or comparer, two or more.
        rows: human judgements; each kind of row becomes a section of its own.
        baselines: name -> what stands beside them on the leaderboard; None gives those of `evaluate_reward`.
        seed: random seed of the bootstrap, the permutations and the order in which a pair is shown to a `Comparer`.
        resamples: bootstrap data sets.
        progress: called with a system's name, texts (or pairs) done, and how many there are.

    Raises:
        ConfigError: there are fewer than two systems.
        DataError, ModelError, ValueError: as `evaluate_reward`.
    """
    if len(systems) < 2:
        raise ConfigError(f"a comparison needs two systems or more, got {len(systems)}")
    evaluation = evaluate_reward(systems, rows, baselines=baselines, seed=seed, resamples=resamples, progress=progress)
    return RewardComparison(tuple(_compare(section, evaluation) for section in evaluation.sections), evaluation)


def _compare(section: Section, evaluation: Evaluation) -> SectionComparison:
    part = section.overall
    judged = _JudgedByCluster.of(part)
    leaderboard = _leaderboard(section, judged, evaluation)
    models = [one.name for one in leaderboard if not one.is_baseline]
    tests = _tests(section, judged, evaluation, models)
    few = (
        f"With {part.clusters} {part.unit}s no permutation test can give a p-value below 0.05.",
    ) if part.clusters < FEW_FOR_A_TEST else ()  # fmt: skip
    return SectionComparison(
        kind=section.kind,
        metric=section.primary,
        rows=part.rows,
        pairs=part.pairs,
        clusters=part.clusters,
        unit=part.unit,
        leaderboard=leaderboard,
        tests=tests,
        notes=(*few, *section.notes),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _JudgedByCluster:
    """How often each system was right, by cluster; a pair of two clusters counts for that of its better response."""

    right: Floats
    """1 for a pair ordered as people did, 1/2 for a tie; shape (pairs, systems)."""
    sums: Floats
    """`right` summed over each cluster, shape (C, systems)."""
    wins: Floats
    """In how many pairs of a cluster the first system is righter than the second, shape (C, systems, systems)."""

    @classmethod
    def of(cls, part: PartResult) -> _JudgedByCluster:
        codes: Ints = resampling_unit(part.table)[0][part.table.better]
        clusters = int(codes.max()) + 1 if len(codes) else 0
        right = (np.sign(part.margins) + 1) / 2
        count = right.shape[1]
        sums = np.zeros((clusters, count))
        np.add.at(sums, codes, right)
        wins = np.zeros((clusters, count, count))
        for i, j in itertools.permutations(range(count), 2):
            wins[:, i, j] = np.bincount(codes, right[:, i] > right[:, j], minlength=clusters)
        return cls(right, sums, wins)


def _leaderboard(section: Section, judged: _JudgedByCluster, evaluation: Evaluation) -> tuple[Standing, ...]:
    part = section.overall
    point = bradley_terry_strengths(judged.wins.sum(0))
    clusters = len(judged.wins)
    drawn = np.full((1, len(point)), np.nan)
    if clusters > 1:
        draws = bootstrap_distribution(
            lambda weights: np.tensordot(weights, judged.wins, 1),
            np.arange(clusters),
            resamples=evaluation.resamples,
            seed=evaluation.seed,
        )
        drawn = bradley_terry_strengths(draws)
    places = 1 + (drawn[:, None, :] > drawn[:, :, None] + 1e-6).sum(-1)
    lowest, highest = np.quantile(places, [0.025, 0.975], axis=0, method="nearest")
    standings = [
        Standing(
            name=system.name,
            is_baseline=system.is_baseline,
            value=system.metrics.get(section.primary, Interval(float("nan"))),
            strength=percentile_interval(point[i] if clusters else float("nan"), drawn[:, i]),
            first=float((places[:, i] == 1).mean()) if clusters > 1 else float("nan"),
            ranks=(int(lowest[i]), int(highest[i])),
        )
        for i, system in enumerate(part.systems)
    ]
    key = (lambda one: -one.strength.point) if clusters else (lambda one: -one.value.point)
    return tuple(sorted(standings, key=key))


def _tests(
    section: Section, judged: _JudgedByCluster, evaluation: Evaluation, models: Sequence[str]
) -> tuple[PairedTest, ...]:
    part, metric = section.overall, section.primary
    place = {system.name: i for i, system in enumerate(part.systems)}
    both = [(a, b) for a, b in itertools.combinations(models, 2) if all(_has(part, one, metric) for one in (a, b))]
    p_values = [
        permutation_p_value(judged.sums[:, place[a]] - judged.sums[:, place[b]], seed=evaluation.seed) for a, b in both
    ]
    neighbours = set(itertools.pairwise(models))
    tests = []
    for (a, b), p_value in zip(both, holm(p_values), strict=True):
        i, j = place[a], place[b]
        drawn = part.resampled[metric]
        only_a, only_b = int(judged.wins[:, i, j].sum()), int(judged.wins[:, j, i].sum())
        tests.append(
            PairedTest(
                a=a,
                b=b,
                difference=part.difference(a, b, metric),
                p_value=p_value,
                only_a=only_a,
                only_b=only_b,
                mcnemar=mcnemar_p_value(only_a, only_b) if part.pairs else float("nan"),
                detectable=minimum_detectable_difference(float((drawn[:, i] - drawn[:, j]).std(ddof=1)))
                if part.clusters > 1
                else float("nan"),
                by_subset={one.subset: one.difference(a, b, metric) for one in section.subsets},
                examples=_disagreements(evaluation, part, (a, i), (b, j)) if (a, b) in neighbours else (),
            )
        )
    return tuple(tests)


def _has(part: PartResult, name: str, metric: str) -> bool:
    return metric in part.system(name).metrics


def _disagreements(
    evaluation: Evaluation, part: PartResult, a: tuple[str, int], b: tuple[str, int]
) -> tuple[Disagreement, ...]:
    """The pairs on which two systems disagree most, both sure of it in units of their own spread."""
    if not part.pairs:
        return ()
    spread = part.margins.std(axis=0)
    scaled = part.margins / np.where(spread > 0, spread, 1)
    found = []
    for (right, i), (wrong, j) in ((a, b), (b, a)):
        apart = np.minimum(scaled[:, i], -scaled[:, j])
        for pair in [int(one) for one in np.argsort(-apart, kind="stable")[:EXAMPLES] if apart[one] > 0]:
            items = part.table.better[pair], part.table.worse[pair]
            (prompt, preferred, _), (_, other, _) = (evaluation.requests[part.table.requests[one]] for one in items)
            found.append(
                Disagreement(
                    prompt=prompt_text(prompt),
                    preferred=preferred,
                    other=other,
                    right=right,
                    wrong=wrong,
                    subset=str(part.table.subsets[items[0]]),
                    margins=(float(part.margins[pair, i]), float(part.margins[pair, j])),
                )
            )
    return tuple(found)
