"""The bootstrap's weights mean what they say: a resample is the data set with rows repeated."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.evaluate.statistics import is_graded, metrics_of, resample, resampling_unit, statistic_of
from guerdon.evaluate.tables import Table, tables_of
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


def table_and_scores(rows: list[object]) -> tuple[Table, list[np.ndarray]]:
    (table,), _ = tables_of(rows)
    return table, [np.sin(table.lengths * 1.0), np.round(np.cos(table.lengths))]


@pytest.mark.parametrize("kind", ["comparisons", "rankings", "ratings"])
def test_drawing_a_prompt_twice_is_having_it_twice(kind):
    copies = [2, 0, 1, 3, 0, 1]
    table, scores = table_and_scores(rows_of(kind, [1] * PROMPTS))
    codes, _ = resampling_unit(table)
    weighted = statistic_of(table, scores, codes)(np.array(copies, dtype=float)[None, codes])[0]
    again, again_scores = table_and_scores(rows_of(kind, copies))
    repeated = statistic_of(again, again_scores, resampling_unit(again)[0])(np.ones((1, len(again.rows))))[0]
    assert weighted.shape == (2, len(metrics_of(table.kind)))
    np.testing.assert_allclose(weighted, repeated)


def test_items_drawn_apart_pair_as_their_copies_do():
    scores, lengths = [1.0, 2.0, 3.0, 4.0], [4, 1, 3, 2]
    rows = [Rating(prompt="p", response="x" * n, scores={"score": s}) for n, s in zip(lengths, scores, strict=True)]
    table, _ = table_and_scores(rows)
    codes, unit = resampling_unit(table)
    weights = np.array([[2.0, 0.0, 1.0, 1.0]])
    figures = statistic_of(table, [table.lengths * 1.0], codes)(weights)[0, 0]
    # Copies: scores 1, 1, 3, 4 of lengths 4, 4, 3, 2: five pairs that people ordered, none as length does.
    assert unit == "row"
    assert figures[metrics_of("ratings").index("accuracy")] == 0


def test_no_items_and_one_cluster_give_no_interval():
    table, scores = table_and_scores(rows_of("rankings", [1, 0, 0, 0, 0, 0]))
    points, distribution = resample(table, scores, resampling_unit(table)[0], resamples=10, seed=0)
    assert not np.isnan(points).any()
    assert np.isnan(distribution).all()
    empty = table.select(np.zeros(4, dtype=bool))
    points, _ = resample(empty, [s[:0] for s in scores], resampling_unit(empty)[0], resamples=10, seed=0)
    assert np.isnan(points).all()


@pytest.mark.parametrize(
    ("truth", "graded"), [([0, 4, 1], True), ([0.5, 1], False), ([-1, 2], False), ([0, 90], False)]
)
def test_grades_are_small_whole_numbers(truth, graded):
    assert is_graded(np.array(truth, dtype=float)) is graded
