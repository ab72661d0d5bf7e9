"""The score of a published set, computed as its authors do, for every system and baseline, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.data.preferences import TIE
from guerdon.data.published import PublishedSet
from guerdon.evaluate.result_tables import Requests, request_of
from guerdon.evaluate.systems import ScorerOutput, SystemOutput
from guerdon.metrics import (
    BenchmarkRow,
    Floats,
    Formula,
    Interval,
    Ints,
    bootstrap_distribution,
    cluster_codes,
    percentile_interval,
)
from guerdon.types import AnyRow, Comparison, Ranking, Rating, group_key, response_texts


@dataclass(frozen=True, slots=True)
class PublishedScores:
    """What the authors of a set would print."""

    name: str
    title: str
    rows: int
    """Rows that every system judged."""
    left_out: int
    """Rows that some system left without a reward or verdict."""
    scores: Mapping[str, Mapping[str, Interval]]
    """System or baseline -> name of a score -> value; NaN where it needs rewards that a `Comparer` does not give, or
    rows that are not there."""


def published_scores(
    published: PublishedSet,
    rows: Sequence[AnyRow],
    requests: Requests,
    outputs: Mapping[str, SystemOutput],
    *,
    resamples: int,
    seed: int,
) -> PublishedScores | None:
    """The scores of a set that has a formula, on rows of it; None for one that has none, or without rows for it.

    Args:
        published: the set.
        rows: its rows, or some of them.
        requests: what was asked, with its numbers.
        outputs: what each system and baseline answered.
        resamples: bootstrap data sets, of whole prompts or groups.
        seed: random seed of the draws.
    """
    if published.formula is None:
        return None
    judged = [row for row in rows if _is_counted(row)]
    asked = [[requests[request_of(row, text)] for text in response_texts(row)] for row in judged]
    of_system = {
        name: [_judged(row, np.array(places), output) for row, places in zip(judged, asked, strict=True)]
        for name, output in outputs.items()
    }
    known = np.array([all(_is_known(of_system[name][at]) for name in outputs) for at in range(len(judged))], dtype=bool)
    kept = [at for at in range(len(judged)) if known[at]]
    if not kept:
        return None
    codes = cluster_codes([group_key(judged[at]) for at in kept])
    scores = {
        name: _with_intervals(published.formula, [found[at] for at in kept], codes, resamples, seed)
        for name, found in of_system.items()
    }
    return PublishedScores(published.name, published.title, len(kept), len(judged) - len(kept), scores)


def _with_intervals(
    formula: Formula, rows: Sequence[BenchmarkRow], codes: Ints, resamples: int, seed: int
) -> dict[str, Interval]:
    statistic = formula(rows)
    points = {name: float(value[0]) for name, value in statistic(np.ones((1, len(rows)))).items()}
    if codes.max() == 0:
        return {name: Interval(point) for name, point in points.items()}

    def stacked(weights: Floats) -> Floats:
        found = statistic(weights)
        return np.stack([np.broadcast_to(found[name], len(weights)) for name in points], axis=-1)

    drawn = bootstrap_distribution(stacked, codes, resamples=resamples, seed=seed)
    return {name: percentile_interval(point, drawn[:, at]) for at, (name, point) in enumerate(points.items())}


def _is_counted(row: AnyRow) -> bool:
    if isinstance(row, Comparison):
        return row.preference != TIE
    return isinstance(row, Ranking | Rating)


def _is_known(row: BenchmarkRow) -> bool:
    return not np.isnan(row.wins).any() and (row.rewards is None or not np.isnan(row.rewards).any())


def _judged(row: AnyRow, asked: Ints, output: SystemOutput) -> BenchmarkRow:
    """A row as a system judged it. The better responses of a ranking are those of its highest score."""
    truth = np.array([1.0, 0.0])
    if isinstance(row, Ranking | Rating):
        truth = np.array(row.scores if isinstance(row, Ranking) else list(row.scores.values()), dtype=np.float64)
    best = truth == truth.max() if len(asked) > 1 else np.ones(1, dtype=bool)
    return BenchmarkRow(
        subset=row.subset,
        id=row.id,
        tags=tuple(row.extra.get("categories", ())),
        system=str(row.extra.get("system", "")),
        wins=output.wins(asked[best], asked[~best]),
        rewards=output.rewards[asked] if isinstance(output, ScorerOutput) else None,
        truth=truth,
        attributes=tuple(row.scores) if isinstance(row, Rating) else (),
    )
