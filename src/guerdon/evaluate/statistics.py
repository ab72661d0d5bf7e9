"""The figures of one table as one function of bootstrap weights, so that all of them come from the same resamples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from guerdon.evaluate.tables import Table
from guerdon.metrics import (
    Floats,
    Ints,
    accuracy_ties_half,
    accuracy_where,
    bootstrap_distribution,
    cluster_codes,
    length_balanced_accuracy,
    ndcg,
    spearman,
    spearman_by_group,
)

PAIR_METRICS = ("accuracy", "length_balanced", "longer_won", "shorter_won")
WITHIN_METRICS = ("spearman_within", "ndcg")
"""Means over groups (prompts, rankings) of a figure of each group."""

Statistic: TypeAlias = Callable[[Floats], Floats]
"""Weights of the items, shape (b, n) -> figures."""


def metrics_of(kind: str) -> tuple[str, ...]:
    """The metrics of a kind of rows that have intervals, in the order of the statistic's last dimension."""
    if kind.startswith("ratings"):
        return (*PAIR_METRICS, "spearman", "spearman_within")
    if kind == "rankings":
        return (*PAIR_METRICS, "spearman_within", "ndcg")
    return PAIR_METRICS


def resampling_unit(table: Table) -> tuple[Ints, str]:
    """Cluster codes of the items, shape (n,), and the word for a cluster.

    Where all rows share one prompt there is no second prompt to draw, so rows are drawn: the interval then speaks of
    this prompt alone.
    """
    if len(np.unique(table.clusters)) < 2:
        return cluster_codes(table.rows.tolist()), "row"
    return cluster_codes(table.clusters.tolist()), "group" if table.has_groups else "prompt"


def resample(
    table: Table, scores: Sequence[Floats], codes: Ints, *, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """All figures of all systems, and what they are on every resample.

    Args:
        table: judgements of one kind.
        scores: for each system, the reward of each item, shape (n,), without NaN.
        codes: cluster of each item, shape (n,).
        resamples: number of resamples.
        seed: of the resamples.

    Returns:
        Points, shape (systems, metrics), and distribution, shape (resamples, systems, metrics), in the order of
        `metrics_of`. The distribution is one NaN where there is nothing to draw from.
    """
    metrics = metrics_of(table.kind)
    if not len(codes):
        return np.full((len(scores), len(metrics)), np.nan), np.full((1, len(scores), len(metrics)), np.nan)
    statistic = statistic_of(table, scores, codes)
    points = statistic(np.ones((1, len(codes))))[0]
    if codes.max() == 0:
        return points, np.full((1, *points.shape), np.nan)
    distribution = bootstrap_distribution(statistic, codes, resamples=resamples, seed=seed)
    if _torn_groups(table, codes):
        distribution[..., [m for m, metric in enumerate(metrics) if metric in WITHIN_METRICS]] = np.nan
    return points, distribution


def statistic_of(table: Table, scores: Sequence[Floats], codes: Ints) -> Statistic:
    """Weights, shape (b, n) -> figures, shape (b, systems, metrics)."""
    columns = np.stack(scores, axis=-1)
    margins = columns[table.better] - columns[table.worse]
    longer = table.lengths[table.better] - table.lengths[table.worse]
    same_cluster = codes[table.better] == codes[table.worse]
    ranks = [m for m in metrics_of(table.kind) if m not in PAIR_METRICS]
    rank_statistics = [_rank_statistic(metric, table, scores) for metric in ranks]

    def statistic(weights: Floats) -> Floats:
        # Two items drawn as one piece make the pair as often as the piece was drawn; drawn apart, w_i copies of one
        # meet w_j copies of the other.
        pair_weights = weights[:, table.better]
        if not same_cluster.all():
            pair_weights = np.where(same_cluster, pair_weights, pair_weights * weights[:, table.worse])
        figures = [
            accuracy_ties_half(margins, pair_weights),
            length_balanced_accuracy(margins, longer, pair_weights),
            accuracy_where(margins, longer > 0, pair_weights),
            accuracy_where(margins, longer < 0, pair_weights),
            *(each(weights) for each in rank_statistics),
        ]
        return np.stack(figures, axis=-1)

    return statistic


def _rank_statistic(metric: str, table: Table, scores: Sequence[Floats]) -> Statistic:
    """Weights, shape (b, n) -> a rank figure of every system, shape (b, systems)."""
    if metric == "spearman":
        return lambda weights: np.stack([spearman(values, table.truth, weights) for values in scores], axis=-1)
    groups, start = _groups(table)
    if metric == "spearman_within":
        within = np.stack([spearman_by_group(values, table.truth, groups) for values in scores], axis=-1)
    else:
        parts = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
        graded = is_graded(table.truth)
        within = np.array([[ndcg(values[p], table.truth[p], exponential=graded) for values in scores] for p in parts])
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


def _torn_groups(table: Table, codes: Ints) -> bool:
    """Whether the items of some group lie in several clusters, so that the group is never drawn as a whole."""
    groups, start = _groups(table)
    return bool((codes != codes[start][groups]).any())
