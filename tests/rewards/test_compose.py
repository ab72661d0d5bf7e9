"""Rewards made of others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from guerdon.rewards.compose import Composed, Gate, Product, WeightedSum
from guerdon.types import Scorer

NAN = float("nan")


class Says:
    """Gives what it was made with, and counts how often it is asked."""

    def __init__(self, *values: float) -> None:
        self.values, self.asked = values, 0

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        self.asked += 1
        assert references == ["r"] * len(responses)
        return np.array(self.values, dtype=np.float32)


def score(composed: Any, count: int) -> list[float]:
    found = composed.score(["p"] * count, ["x"] * count, references=["r"] * count)
    assert found.dtype == np.float32
    return [round(float(value), 5) for value in found]


def test_by_hand() -> None:
    one, two = Says(1, 2, NAN), Says(10, 0, 1)
    composed = WeightedSum({"one": one, "two": two}, {"one": 0.5, "two": 2.0})
    np.testing.assert_allclose(score(composed, 3), [20.5, 1.0, NAN])
    assert one.asked == two.asked == 1
    looked_at = WeightedSum({"one": one, "two": two}, {"one": 0.0, "two": 1.0})
    assert score(looked_at, 3) == [10, 0, 1], "what does not count cannot take the reward away"
    np.testing.assert_allclose(score(Product({"one": Says(0.5, NAN), "two": Says(0.5, 0)}), 2), [0.25, NAN])
    gated = Gate(Says(1, 0, NAN, 0.5), Says(3, 4, 5, NAN), otherwise=-1)
    np.testing.assert_allclose(score(gated, 4), [3, -1, NAN, NAN])
    assert score(Gate(Says(0), Says(NAN), otherwise=-1), 1) == [-1]


def test_parts_can_be_told_apart() -> None:
    composed = WeightedSum({"quality": Says(3), "form": Gate(Says(1), Says(2))}, {"quality": 1, "form": 1})
    assert isinstance(composed, Composed)
    assert isinstance(composed, Scorer)
    parts = composed.parts(["p"], ["x"], references=["r"])
    assert {name: values.tolist() for name, values in parts.items()} == {"quality": [3], "form": [2]}
    with pytest.raises(ValueError, match="a weight for each part"):
        WeightedSum({"one": Says(1)}, {"two": 1})
