"""Agreement of annotators: against the krippendorff package, scikit-learn, published numbers and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon import metrics

# Krippendorff (2011), the reliability data of its sections C and D: four observers, twelve units, five values.
OBSERVERS = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
        [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
    ]
)
# Fleiss (1971) as in Wikipedia's example: ten subjects, fourteen raters, five categories.
FLEISS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
LEVELS: tuple[metrics.Level, ...] = ("nominal", "ordinal", "interval", "ratio")


def counted(table: Any, values: Any) -> Any:
    """Annotators by items, as counts of items by values."""
    return (np.asarray(table).T[:, :, None] == np.asarray(values)).sum(axis=1)


def test_alpha_of_the_published_example() -> None:
    counts = counted(OBSERVERS, range(1, 6))
    found = [round(float(metrics.krippendorff_alpha(counts, range(1, 6), level)), 3) for level in LEVELS]
    assert found == [0.743, 0.815, 0.849, 0.797]


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_alpha_equals_the_package_krippendorff(data: Any) -> None:
    package = pytest.importorskip("krippendorff")
    shape = data.draw(st.tuples(st.integers(2, 5), st.integers(1, 9)))
    cells = st.sampled_from([np.nan, 0.0, 1.0, 2.5, 4.0, 7.0])
    table = np.array(
        data.draw(st.lists(st.lists(cells, min_size=shape[1], max_size=shape[1]), min_size=shape[0], max_size=shape[0]))
    )
    values = np.unique(table[~np.isnan(table)])
    counts = counted(table, values)
    used = counts[counts.sum(axis=1) >= 2].sum(axis=0)
    for level in LEVELS:
        ours = metrics.krippendorff_alpha(counts, values, level)
        if (used > 0).sum() < 2:
            assert np.isnan(ours)
        else:
            theirs = package.alpha(table, level_of_measurement=level, value_domain=values)
            assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_weights_are_repeated_items(level: metrics.Level) -> None:
    rng = np.random.default_rng(0)
    counts = rng.integers(0, 3, size=(8, 4))
    times = rng.integers(0, 4, size=(5, 8))
    repeated = [np.repeat(counts, row, axis=0) for row in times]
    alone = [metrics.krippendorff_alpha(one, None, level) for one in repeated]
    np.testing.assert_allclose(metrics.krippendorff_alpha(counts, None, level, times), alone, rtol=1e-12)
    if level == "nominal":
        alone = [metrics.fleiss_kappa(one) for one in repeated]
        np.testing.assert_allclose(metrics.fleiss_kappa(counts, times), alone, rtol=1e-12)


def test_fleiss_of_the_published_example() -> None:
    assert metrics.fleiss_kappa(FLEISS) == pytest.approx(0.20993, abs=1e-5)
    assert metrics.observed_agreement(FLEISS) == pytest.approx(0.37802, abs=1e-5)


def test_cohen_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import cohen_kappa_score

    rng = np.random.default_rng(1)
    first = rng.integers(0, 3, size=40)
    second = np.where(rng.random(40) < 0.6, first, rng.integers(0, 4, size=40))
    assert metrics.cohen_kappa(first, second) == pytest.approx(cohen_kappa_score(first, second), rel=1e-12)
    times = rng.integers(0, 3, size=40)
    weighted = cohen_kappa_score(np.repeat(first, times), np.repeat(second, times))
    assert metrics.cohen_kappa(first, second, times[None])[0] == pytest.approx(weighted, rel=1e-12)


def test_what_cannot_be_told_is_nan() -> None:
    assert np.isnan(metrics.krippendorff_alpha([[2, 0], [3, 0]]))
    assert np.isnan(metrics.krippendorff_alpha([[1, 0], [0, 1]])), "nothing was judged twice"
    assert np.isnan(metrics.fleiss_kappa([[2, 0], [3, 0]]))
    assert np.isnan(metrics.cohen_kappa([1, 1], [1, 1]))
    assert np.isnan(metrics.observed_agreement([[1, 0]]))


def test_ratios_need_values_that_are_not_negative() -> None:
    with pytest.raises(ValueError, match="not negative"):
        metrics.krippendorff_alpha([[1, 1]], [-1, 1], "ratio")


@pytest.mark.parametrize("categories", [2, 3, 5])
def test_noise_is_what_was_put_in(categories: int) -> None:
    for share in (0.0, 0.1, 0.3):
        agreement = (1 - share) ** 2 + share**2 / (categories - 1)
        assert metrics.label_noise(agreement, categories) == pytest.approx(share, abs=1e-12)
    assert metrics.label_noise(0.0, categories) == 1 - 1 / categories
