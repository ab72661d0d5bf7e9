"""Accuracy, length and paired differences on the pairs that people ordered."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.evaluate.counted_pairs import CountedPairs, Measured
from guerdon.rewards.judged import JudgedResponses
from guerdon.types import Comparison, Rating


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def judged(rng: np.random.Generator) -> JudgedResponses:
    texts = ["x" * int(length) for length in rng.integers(1, 99, size=200)]
    return JudgedResponses.of(
        [
            Comparison(prompt=f"p{i // 2}", chosen=f"{i} {texts[2 * i]}", rejected=f"{i} {texts[2 * i + 1]}")
            for i in range(100)
        ]
    )


def lengths(judged: JudgedResponses) -> np.ndarray:
    return np.array([len(text) for text in judged.responses], dtype=float)


def test_length_is_known_for_what_it_is(judged: JudgedResponses, rng: np.random.Generator) -> None:
    pairs, length = CountedPairs.of(judged), lengths(judged)
    noise = rng.normal(size=len(length))
    found = Measured.of(pairs, {name: judged.margins(one) for name, one in (("long", length), ("noise", noise))})
    assert found.accuracy["long"].point == pytest.approx(judged.agreement(judged.margins(length)))
    assert found.length_correlation["long"] == pytest.approx(1.0)
    assert abs(found.length_correlation["noise"]) < 0.2
    assert found.length_balanced["long"].point == pytest.approx(0.5)
    assert pairs.length_correlation(-judged.margins(length)) == pytest.approx(-1.0)


def test_differences_are_paired(judged: JudgedResponses, rng: np.random.Generator) -> None:
    quality = judged.margins(lengths(judged) + rng.normal(size=len(judged.responses)))
    margins = {"a": np.abs(quality), "b": quality, "same": quality * 2}
    found = Measured.of(CountedPairs.of(judged), margins)
    assert found.difference("b", "same").low == found.difference("b", "same").high == 0
    assert found.standard_error("b", "same") == 0
    assert found.accuracy["a"].point == 1
    assert found.difference("a", "b").low > 0


def test_only_held_out_observations_count(judged: JudgedResponses) -> None:
    where = np.arange(10, 30)
    margins = -np.ones(len(judged))
    margins[where] = 1
    assert Measured.of(CountedPairs.of(judged, where), {"it": margins}).accuracy["it"].point == 1
    assert Measured.of(CountedPairs.of(judged), {"it": margins}).accuracy["it"].point == 0.2


def test_single_ratings_are_counted_by_all_pairs(rng: np.random.Generator) -> None:
    rows = [Rating(prompt=f"p{i}", response=f"r{i}", scores={"": float(i)}) for i in range(60)]
    judged = JudgedResponses.of(rows)
    assert judged.objective == "ratings"
    pairs = CountedPairs.of(judged)
    assert len(pairs.first) == 60 * 59 // 2
    noisy = judged.target + rng.normal(size=60) * 10
    found = Measured.of(pairs, {"right": judged.target, "noisy": noisy, "wrong": -judged.target})
    assert found.accuracy["right"].point == 1
    assert found.accuracy["wrong"].point == 0
    assert found.accuracy["noisy"].point == pytest.approx(judged.agreement(noisy))
    assert found.accuracy["noisy"].low < found.accuracy["noisy"].point < found.accuracy["noisy"].high
