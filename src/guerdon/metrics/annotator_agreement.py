"""How far annotators agree, beyond chance: observed agreement, Krippendorff's alpha, Fleiss' and Cohen's kappa.

Judgements come as counts, `counts[i, k]`: how many annotators put item i into category k. Items with fewer than two
judgements say nothing of agreement and take no part. `weights` of shape (..., n) are those of items, for the bootstrap.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats

Level: TypeAlias = Literal["nominal", "ordinal", "interval", "ratio"]
"""Which differences of values count: any alike, by ranks, by their size, by their ratio."""


def observed_agreement(counts: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Share of the pairs of judgements of an item that are equal, the mean over items.

        P_o = mean_i sum_k n_ik (n_ik - 1) / (m_i (m_i - 1)),    m_i = sum_k n_ik

    Args:
        counts: shape (n, K).
        weights: shape (..., n); None weighs all alike.

    Returns:
        In [0, 1], shape (...); NaN without an item of two judgements.
    """
    table, w = _of_several(counts, weights)
    total = table.sum(axis=1)
    shares = (table * (table - 1)).sum(axis=1) / (total * (total - 1))
    with np.errstate(invalid="ignore"):
        return w @ shares / w.sum(axis=-1)


def krippendorff_alpha(
    counts: ArrayLike, values: ArrayLike | None = None, level: Level = "nominal", weights: ArrayLike | None = None
) -> Any:
    """Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's alpha-reliability").

        alpha = 1 - D_o / D_e,    D_o = sum_ck o_ck d2_ck,    D_e = sum_ck n_c n_k d2_ck / (n. - 1)
        o_ck = sum_i n_ic (n_ik - [c = k]) / (m_i - 1),    n_c = sum_k o_ck,    n. = sum_c n_c

    with d2_ck = [c != k] (nominal), (rank_c - rank_k)^2 of the midranks (ordinal, which is its sum of n_g from c to k
    less half of both ends), (v_c - v_k)^2 (interval), or ((v_c - v_k) / (v_c + v_k))^2 (ratio).

    Args:
        counts: shape (n, K); any number of judgements an item.
        values: of the categories, shape (K,), ascending for `ordinal`, not negative for `ratio`; None: 0 to K - 1.
        level: how values differ.
        weights: shape (..., n); None weighs all alike.

    Returns:
        At most 1, and 0 where judgements agree as by chance; shape (...). NaN where all are in one category.
    """
    table, w = _of_several(counts, weights)
    points = np.arange(table.shape[1], dtype=np.float64) if values is None else np.asarray(values, dtype=np.float64)
    judged = w @ table  # n_c, shape (..., K)
    total = judged.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        if level in ("nominal", "ratio"):
            distance = _ratio_distances(points) if level == "ratio" else 1 - np.eye(len(points))
            apart = ((table @ distance) * table).sum(axis=1) / (table.sum(axis=1) - 1)
            observed = w @ apart
            expected = ((judged @ distance) * judged).sum(axis=-1)
        else:
            if level == "ordinal":
                points = np.cumsum(judged, axis=-1) - judged / 2
            else:
                points = np.broadcast_to(points, judged.shape)
            points = points - ((points * judged).sum(axis=-1) / total)[..., None]
            observed = (w * _squared_distances(table, points)).sum(axis=-1)
            expected = 2 * total * (judged * points**2).sum(axis=-1)
        return np.where(expected > 0, 1 - observed * (total - 1) / expected, np.nan)[()]


def fleiss_kappa(counts: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Fleiss' kappa (Fleiss 1971), (P_o - P_e) / (1 - P_e) with P_e = sum_k p_k^2.

    p_k is the share of all judgements in category k. Where items have different numbers of judgements, P_o is the mean
    over items (`observed_agreement`), as it is where they have one number.

    Args:
        counts: shape (n, K).
        weights: shape (..., n); None weighs all alike.

    Returns:
        At most 1, shape (...); NaN where all judgements are in one category.
    """
    table, w = _of_several(counts, weights)
    judged = w @ table
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = ((judged / judged.sum(axis=-1, keepdims=True)) ** 2).sum(axis=-1)
    return _beyond(observed_agreement(table, w), chance)


def cohen_kappa(first: ArrayLike, second: ArrayLike, weights: ArrayLike | None = None) -> Any:
    """Cohen's kappa of two annotators who judged the same items (Cohen 1960).

        kappa = (P_o - P_e) / (1 - P_e),    P_e = sum_k p1_k p2_k

    Args:
        first: the category of each item by one of them, whole numbers from 0, shape (n,).
        second: by the other, shape (n,).
        weights: shape (..., n); None weighs all alike.

    Returns:
        At most 1, shape (...); NaN where both put all items into one and the same category.
    """
    a, b = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    w = np.ones(len(a)) if weights is None else np.asarray(weights, dtype=np.float64)
    categories = np.arange(max(a.max(initial=-1), b.max(initial=-1)) + 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        w = w / w.sum(axis=-1, keepdims=True)
    chance = ((w @ (a[:, None] == categories)) * (w @ (b[:, None] == categories))).sum(axis=-1)
    return _beyond(w @ (a == b), chance)


def label_noise(agreement: ArrayLike, categories: int) -> Any:
    """Share e of judgements that are wrong, from how often two agree, were all annotators and all errors alike.

    Two judgements agree where both are right, or both wrong in the same way: with K categories

        P_o = (1 - e)^2 + e^2 / (K - 1),    so    e = (1 - 1/K) (1 - sqrt(1 - (1 - P_o) K / (K - 1)))

    What two sensible people see differently counts as noise too.

    Args:
        agreement: P_o, any shape.
        categories: K, at least 2.

    Returns:
        From 0 to 1 - 1/K, which is also given where people agree less than by chance.
    """
    chance = 1 / categories
    left = 1 - (1 - np.asarray(agreement, dtype=np.float64)) / (1 - chance)
    return (1 - chance) * (1 - np.sqrt(np.maximum(left, 0)))


def _of_several(counts: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, Floats]:
    """The items with two judgements or more, and their weights."""
    table = np.asarray(counts, dtype=np.float64)
    several = table.sum(axis=1) >= 2
    w = np.ones(len(table)) if weights is None else np.asarray(weights, dtype=np.float64)
    return table[several], w[..., several]


def _squared_distances(table: Floats, points: Floats) -> Floats:
    """Of each item sum_ck n_ic n_ik (p_c - p_k)^2 / (m_i - 1), shape (..., n), for points of shape (..., K)."""
    size = table.sum(axis=1)
    return np.asarray(2 * (size * (points**2 @ table.T) - (points @ table.T) ** 2) / (size - 1))


def _ratio_distances(points: Floats) -> Floats:
    if np.any(points < 0):
        raise ValueError("ratios need values that are not negative")
    sums = points[:, None] + points
    return ((points[:, None] - points) / np.where(sums > 0, sums, 1)) ** 2


def _beyond(agreement: Any, chance: Any) -> Any:
    """(P_o - P_e) / (1 - P_e), NaN where chance leaves nothing to find."""
    left = 1 - chance
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(left > 1e-12, (agreement - chance) / left, np.nan)[()]
