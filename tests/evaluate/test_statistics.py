"""The bootstrap's weights mean what they say: a resample is the data set with rows repeated."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.evaluate.result_tables import Table, tables_of
from guerdon.evaluate.statistics import (
    PAIR_METRICS,
    SystemValues,
    is_graded,
    metrics_of,
    resample,
    resampling_unit,
    statistic_of,
)
from guerdon.types import Comparison, Ranking, Rating

RNG = np.random.default_rng(5)
PROMPTS = 6


def rows_of(kind: str, copies: list[int]) -> list[object]:
    """Six prompts, prompt i repeated copies[i] times under names of its own."""
    rng = np.random.default_rng(0)
    rows: list[object] = []
    for i in range(PROMPTS):
        texts = ["x" * int(n) for n in rng.permutation(20)[:4] + 1]
        scores = rng.integers(0, 4, 4).astype(float)
        for copy in range(copies[i]):
            prompt = f"p{i} copy {copy}"
            if kind == "comparisons":
                rows += [Comparison(prompt=prompt, chosen=texts[0], rejected=t) for t in texts[1:]]
            elif kind == "rankings":
                rows.append(Ranking(prompt=prompt, responses=tuple(texts), scores=tuple(scores)))
            else:
                rows += [
                    Rating(prompt=prompt, response=t, scores={"score": s}) for t, s in zip(texts, scores, strict=True)
                ]
    return rows


def values(table: Table, scores: np.ndarray) -> SystemValues:
    return SystemValues(scores[table.better] - scores[table.worse], scores)


def table_and_values(rows: list[object]) -> tuple[Table, list[SystemValues]]:
    """Two scorers, and one that only compares."""
    (table,), _ = tables_of(rows)
    first, second = (values(table, scores) for scores in (np.sin(table.lengths * 1.0), np.round(np.cos(table.lengths))))
    return table, [first, second, SystemValues(first.margins, None)]


@pytest.mark.parametrize("kind", ["comparisons", "rankings", "ratings"])
def test_drawing_a_prompt_twice_is_having_it_twice(kind):
    copies = [2, 0, 1, 3, 0, 1]
    table, systems = table_and_values(rows_of(kind, [1] * PROMPTS))
    codes, _ = resampling_unit(table)
    weighted = statistic_of(table, systems, codes)(np.array(copies, dtype=float)[None, codes])[0]
    again, again_systems = table_and_values(rows_of(kind, copies))
    repeated = statistic_of(again, again_systems, resampling_unit(again)[0])(np.ones((1, len(again.rows))))[0]
    assert weighted.shape == (3, len(metrics_of(table.kind)))
    ranks = [metric not in PAIR_METRICS for metric in metrics_of(table.kind)]
    assert np.isnan(weighted[2]).tolist() == ranks, "what only compares has no rank metrics"
    np.testing.assert_array_equal(weighted[2, :4], weighted[0, :4])
    # The threshold of ties is fitted to the data as they are, so it may be another where prompts are repeated.
    fixed = [metric != "accuracy_ties" for metric in metrics_of(table.kind)]
    np.testing.assert_allclose(weighted[:, fixed], repeated[:, fixed])


def test_items_drawn_apart_pair_as_their_copies_do():
    scores, lengths = [1.0, 2.0, 3.0, 4.0], [4, 1, 3, 2]
    rows = [Rating(prompt="p", response="x" * n, scores={"score": s}) for n, s in zip(lengths, scores, strict=True)]
    table, _ = table_and_values(rows)
    codes, unit = resampling_unit(table)
    weights = np.array([[2.0, 0.0, 1.0, 1.0]])
    found = statistic_of(table, [values(table, table.lengths * 1.0)], codes)(weights)[0, 0]
    # Copies: scores 1, 1, 3, 4 of lengths 4, 4, 3, 2: five pairs that people ordered, none as length does.
    assert unit == "row"
    assert found[metrics_of("ratings").index("accuracy")] == 0


def test_no_items_and_one_cluster_give_no_interval():
    table, systems = table_and_values(rows_of("rankings", [1, 0, 0, 0, 0, 0]))
    points, distribution = resample(table, systems[:2], resampling_unit(table)[0], resamples=10, seed=0)
    assert not np.isnan(points).any()
    assert np.isnan(distribution).all()
    empty = table.select(np.zeros(4, dtype=bool))
    points, _ = resample(
        empty,
        [SystemValues(one.margins[:0], one.scores[:0]) for one in systems[:2]],
        resampling_unit(empty)[0],
        resamples=10,
        seed=0,
    )
    assert np.isnan(points).all()


@pytest.mark.parametrize(
    ("truth", "graded"), [([0, 4, 1], True), ([0.5, 1], False), ([-1, 2], False), ([0, 90], False)]
)
def test_grades_are_small_whole_numbers(truth, graded):
    assert is_graded(np.array(truth, dtype=float)) is graded
