"""The form of a response: a pattern, a length."""

from __future__ import annotations

import pytest

from guerdon.errors import ConfigError
from guerdon.rewards.rules import LengthWithin, Matches


def test_a_pattern_or_a_length() -> None:
    texts = ["<think>a\nb</think> c", "c"]
    assert Matches("^<think>.*</think>").score(["", ""], texts).tolist() == [1, 0]
    with pytest.raises(ConfigError, match="not a regular expression"):
        Matches("(")
    lengths = LengthWithin(least=4, most=8).score([""] * 4, ["ab", "abcd", "abcdefgh", "x" * 16])
    assert lengths.tolist() == [0.5, 1, 1, 0.5]
    assert LengthWithin(least=2).score([""], ["x" * 99]).tolist() == [1]
    with pytest.raises(ConfigError, match="least <= most"):
        LengthWithin(least=5, most=2)
