"""The metrics of one table as one function of bootstrap weights, so that all of them come from the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from guerdon.evaluate.result_tables import Table
from guerdon.metrics import (
    Floats,
    Ints,
    accuracy_ties_half,
    accuracy_where,
    best_pick_by_group,
    bootstrap_distribution,
    cluster_codes,
    length_balanced_accuracy,
    ndcg,
    pearson,
    spearman,
    spearman_by_group,
    tie_calibrated_accuracy,
)

PAIR_METRICS = ("accuracy", "length_balanced", "longer_won", "shorter_won")
WITHIN_METRICS = ("spearman_within", "accuracy_ties", "best_pick", "ndcg")
"""Means over groups (prompts, rankings) of a value of each group."""

Statistic: TypeAlias = Callable[[Floats], Floats]
"""Weights of the items, shape (b, n) -> values."""


def metrics_of(kind: str) -> tuple[str, ...]:
    """The metrics of a kind of rows that have intervals, in the order of the statistic's last dimension."""
    if kind.startswith("ratings"):
        return (*PAIR_METRICS, "pearson", "spearman", *WITHIN_METRICS[:3])
    if kind == "rankings":
        return (*PAIR_METRICS, *WITHIN_METRICS)
    return PAIR_METRICS


def resampling_unit(table: Table) -> tuple[Ints, str]:
    """Cluster codes of the items, shape (n,), and the word for a cluster.

    Where all rows share one prompt there is no second prompt to draw, so rows are drawn: the interval then speaks of
    this prompt alone.
    """
    if len(np.unique(table.clusters)) < 2:
        return cluster_codes(table.rows.tolist()), "row"
    return cluster_codes(table.clusters.tolist()), "group" if table.has_groups else "prompt"


@dataclass(frozen=True, slots=True, eq=False)
class SystemValues:
    """What one system says of a table; no value is NaN."""

    margins: Floats
    """Above 0 where it prefers what people preferred, 0 for a tie; shape (m,)."""
    scores: Floats | None
    """The reward of each item, shape (n,); None for a system that only compares."""


def resample(
    table: Table, systems: Sequence[SystemValues], codes: Ints, *, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """All metrics of all systems, and what they are on every resample.

    `codes` are the clusters of the items, shape (n,).

    Returns:
        Points, shape (systems, metrics), and distribution, shape (resamples, systems, metrics), in the order of
        `metrics_of`. The distribution is one NaN where there is nothing to draw from.
    """
    metrics = metrics_of(table.kind)
    if not len(codes):
        return np.full((len(systems), len(metrics)), np.nan), np.full((1, len(systems), len(metrics)), np.nan)
    statistic = statistic_of(table, systems, codes)
    points = statistic(np.ones((1, len(codes))))[0]
    if codes.max() == 0:
        return points, np.full((1, *points.shape), np.nan)
    distribution = bootstrap_distribution(statistic, codes, resamples=resamples, seed=seed)
    groups, start = _groups(table)
    if (codes != codes[start][groups]).any():  # a group that lies in several clusters is never drawn as a whole
        distribution[..., [m for m, metric in enumerate(metrics) if metric in WITHIN_METRICS]] = np.nan
    return points, distribution


def statistic_of(table: Table, systems: Sequence[SystemValues], codes: Ints) -> Statistic:
    """Weights, shape (b, n) -> values, shape (b, systems, metrics)."""
    margins = np.stack([system.margins for system in systems], axis=-1)
    longer = table.lengths[table.better] - table.lengths[table.worse]
    of_pairs = pair_weights(table, codes)
    ranks = [m for m in metrics_of(table.kind) if m not in PAIR_METRICS]
    rank_statistics = [_rank_statistic(metric, table, systems) for metric in ranks]

    def statistic(weights: Floats) -> Floats:
        drawn = of_pairs(weights)
        values = [
            accuracy_ties_half(margins, drawn),
            length_balanced_accuracy(margins, longer, drawn),
            accuracy_where(margins, longer > 0, drawn),
            accuracy_where(margins, longer < 0, drawn),
            *(each(weights) for each in rank_statistics),
        ]
        return np.stack(values, axis=-1)

    return statistic


def pair_weights(table: Table, codes: Ints) -> Statistic:
    """Weights of the items, shape (b, n) -> weights of the pairs, shape (b, m).

    Two items drawn as one piece make the pair as often as the piece was drawn; drawn apart, w_i copies of one meet w_j
    copies of the other.
    """
    same_cluster = codes[table.better] == codes[table.worse]

    def of_pairs(weights: Floats) -> Floats:
        drawn = weights[:, table.better]
        if same_cluster.all():
            return drawn
        return np.asarray(np.where(same_cluster, drawn, drawn * weights[:, table.worse]))

    return of_pairs


def _rank_statistic(metric: str, table: Table, systems: Sequence[SystemValues]) -> Statistic:
    """Weights, shape (b, n) -> a rank metric of every system, shape (b, systems); NaN for those without scores."""
    scores = [system.scores for system in systems if system.scores is not None]
    overall = {"spearman": spearman, "pearson": pearson}
    of_scorers = _over_all(overall[metric], table, scores) if metric in overall else _group_mean(metric, table, scores)
    columns = [place for place, system in enumerate(systems) if system.scores is not None]

    def statistic(weights: Floats) -> Floats:
        values = np.full((len(weights), len(systems)), np.nan)
        if columns:
            values[:, columns] = of_scorers(weights)
        return values

    return statistic


def _over_all(correlation: Callable[..., Floats], table: Table, scores: Sequence[Floats]) -> Statistic:
    return lambda weights: np.stack([correlation(values, table.truth, weights) for values in scores], axis=-1)


def _group_mean(metric: str, table: Table, scores: Sequence[Floats]) -> Statistic:
    """The mean over groups of a metric of each group."""
    groups, start = _groups(table)
    if metric == "spearman_within":
        of_groups = [spearman_by_group(values, table.truth, groups) for values in scores]
    elif metric == "accuracy_ties":
        of_groups = [tie_calibrated_accuracy(values, table.truth, groups).by_group for values in scores]
    elif metric == "best_pick":
        of_groups = [best_pick_by_group(values, table.truth, groups) for values in scores]
    else:
        parts = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
        graded = is_graded(table.truth)
        of_groups = [
            np.array([ndcg(values[part], table.truth[part], exponential=graded) for part in parts]) for values in scores
        ]
    within = np.stack(of_groups, axis=-1) if scores else np.zeros((len(start), 0))
    there = ~np.isnan(within).any(axis=1)  # a group of constant truth says nothing of any system

    def mean(weights: Floats) -> Floats:
        drawn = weights[:, start[there]]
        with np.errstate(invalid="ignore"):
            return np.asarray(drawn @ within[there] / drawn.sum(-1, keepdims=True))

    return mean


def is_graded(truth: Floats) -> bool:
    """Whether human scores are small whole grades from 0, for which nDCG's exponential gain is meant."""
    return bool(np.all((truth >= 0) & (truth <= 10) & (truth == np.round(truth))))


def _groups(table: Table) -> tuple[Ints, Ints]:
    """Group codes 0..G-1 of the items, shape (n,), and the first item of each group, shape (G,)."""
    groups = cluster_codes(table.groups.tolist())
    return groups, np.unique(groups, return_index=True)[1]
