"""How translation is judged at WMT: errors that experts mark, and systems ordered by their means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from guerdon.metrics.benchmark_rows import BenchmarkRow, Scores
from guerdon.metrics.formulas import Floats

MQM_MAJOR, MQM_MINOR, MQM_PUNCTUATION, MQM_NON_TRANSLATION = 5.0, 1.0, 0.1, 25.0


def system_accuracy(rows: Sequence[BenchmarkRow]) -> Callable[[Floats], Scores]:
    """Pairwise accuracy over systems (Kocmi et al. 2021, arXiv:2107.10821), as in WMT's metrics task.

    The share of pairs of systems that the mean reward of their responses orders as the mean human score does; for each
    attribute. It needs rewards.
    """
    names = sorted({row.system for row in rows})
    attributes = tuple(dict.fromkeys(name for row in rows for name in row.attributes))
    member = np.array([[row.system == name for name in names] for row in rows], dtype=np.float64)
    rewards = np.array([np.nan if row.rewards is None else row.rewards[0] for row in rows])
    first, second = np.triu_indices(len(names), 1)

    def means(weights: Floats, values: Floats) -> Floats:
        there = ~np.isnan(values)
        with np.errstate(invalid="ignore"):
            return np.asarray((weights * there * np.nan_to_num(values)) @ member / ((weights * there) @ member))

    def scores(weights: Floats) -> Scores:
        own, found = means(weights, rewards), {}
        for attribute in attributes:
            truth = np.array([dict(zip(row.attributes, row.truth, strict=True)).get(attribute, np.nan) for row in rows])
            people = means(weights, truth)
            order, said = np.sign(own[:, first] - own[:, second]), np.sign(people[:, first] - people[:, second])
            right = np.where(np.isnan(order * said), np.nan, order == said)
            with np.errstate(invalid="ignore"):
                found["systems" if len(attributes) == 1 else f"systems: {attribute}"] = np.nanmean(right, axis=-1)
        return found

    return scores


def mqm_weight(category: str, severity: str) -> float:
    """What an error costs in MQM (Freitag et al. 2021, arXiv:2104.14478): the weights of WMT's expert ratings."""
    if category.lower().startswith("non-translation"):
        return MQM_NON_TRANSLATION
    if severity.lower() == "major":
        return MQM_MAJOR
    if severity.lower() == "minor":
        return MQM_PUNCTUATION if category.lower().startswith("fluency/punctuation") else MQM_MINOR
    return 0.0
