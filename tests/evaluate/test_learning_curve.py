"""A power law that is planted is found again, and a band says how sure it is."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.evaluate.counted_pairs import CountedPairs
from guerdon.evaluate.learning_curve import SizeCurve, expected_gain, learning_curves, subsample
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.train.cross_validation import BLEND, Member, cross_validate
from guerdon.types import Comparison

SIZES = np.array([80.0, 160.0, 320.0, 640.0])


def curve(offset: float, slope: float, exponent: float, noise: float, seed: int = 0) -> SizeCurve:
    rng = np.random.default_rng(seed)
    accuracies = 1 - offset - slope * SIZES**-exponent
    groups = rng.normal(size=(500, 1)) * 0.02
    by_draw = accuracies[:3, None] + noise * np.sqrt(SIZES[-1] / SIZES[:3, None] / 2) * np.array([-1.0, 1.0])
    return SizeCurve(SIZES, accuracies, accuracies + groups + rng.normal(size=(500, 4)) * noise, by_draw)


@pytest.mark.parametrize("exponent", [0.3, 0.5, 0.8])
def test_planted_gain_lies_in_the_band(exponent: float) -> None:
    truth = 1.2 * (640**-exponent - 1280**-exponent)
    gain = expected_gain(curve(0.2, 1.2, exponent, 0.004), 640, 640)
    assert gain.low < truth < gain.high
    assert gain.high - gain.low < 0.05


def test_flat_curve_promises_nothing() -> None:
    gain = expected_gain(curve(0.3, 0.0, 0.5, 0.004), 640, 640)
    assert gain.low <= 0 < gain.high < 0.025


def test_noise_widens_the_band_and_more_data_gain_more() -> None:
    narrow, wide = (expected_gain(curve(0.2, 1.0, 0.5, noise), 640, 640) for noise in (0.002, 0.03))
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
    less = expected_gain(curve(0.2, 1.0, 0.5, 0.002), 200, 640)
    assert 0 < less.point < narrow.point


def rows_of(groups: int, each: int) -> list[Comparison]:
    """The response with more exclamation marks was preferred."""
    rng = np.random.default_rng(0)
    rows = []
    for group in range(groups):
        for number in range(each):
            low, high = sorted(rng.choice(9, 2, replace=False))
            name = f"{group}-{number}"
            rows.append(
                Comparison(prompt=f"p{group}", chosen=f"so {name}" + "!" * high, rejected=f"no {name}" + "!" * low)
            )
    return rows


def test_subsamples_keep_groups_whole_where_there_are_many() -> None:
    judged = JudgedResponses.of(rows_of(80, 3))
    part = subsample(judged, np.arange(len(judged)), 0.25, np.random.default_rng(0))
    assert len(part) == 60
    assert len(np.unique(judged.group[part])) == 20
    few = JudgedResponses.of(rows_of(10, 24))
    part = subsample(few, np.arange(len(few)), 0.25, np.random.default_rng(0))
    assert len(part) == 60
    assert len(np.unique(few.group[part])) == 10


@pytest.mark.slow
def test_curves_rise_to_what_cross_validation_found() -> None:
    judged = JudgedResponses.of(rows_of(60, 2))
    members = [Member.linear(SurfaceFeatures(), judged), Member.linear(SurfaceFeatures(), judged, "again")]
    margins, _ = cross_validate(members, judged)
    told: list[tuple[int, int]] = []
    curves = learning_curves(
        members, judged, margins, CountedPairs.of(judged), on_part=lambda done, of: told.append((done, of))
    )
    assert set(curves) == {"surface", "again", BLEND}
    found = curves["surface"]
    assert found.sizes == pytest.approx([16, 24, 48, 96])
    assert found.accuracies[-1] == pytest.approx(judged.agreement(margins["surface"]))
    assert found.resampled.shape == (500, 4)
    assert told[-1] == (10, 10)
