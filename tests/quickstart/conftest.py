"""Rows that a tiny model can learn from."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from guerdon.types import Comparison

LETTERS = str.maketrans("0123456789", "abdefghimn")
"""Digits as letters, which every vocabulary knows."""


@pytest.fixture(scope="session")
def lengths() -> list[Comparison]:
    """Right by length in three of four; English and Chinese."""
    rows = []
    for i in range(40):
        long, short = f"Answer {i}. " * (3 + i % 5), f"No {i}."
        if i % 2:
            long, short = "好的回答。" * (3 + i % 5) + str(i), f"不知道{i}。"
        chosen, rejected = (short, long) if i % 4 > 2 or i % 8 == 0 else (long, short)
        rows.append(Comparison(prompt=f"p{i}", chosen=chosen, rejected=rejected, subset="zh" if i % 2 else "en"))
    return rows


@pytest.fixture
def polite() -> Callable[..., list[Comparison]]:
    """Makes comparisons in which the polite response was preferred, two to a prompt."""
    return rows


def rows(count: int = 40) -> list[Comparison]:
    rng = random.Random(0)
    words = ["egg", "planet", "water", "answer", "function", "number"]
    return [
        Comparison(
            prompt=f"How do I boil {rng.choice(words)} {str(i // 2).translate(LETTERS)}?",
            chosen=f"Put the {rng.choice(words)} into boiling water. It is good and polite."
            + " Then wait a while." * (i % 3),
            rejected=f"I do not know the {rng.choice(words)}, and I am rude. It is off the topic, too.",
            subset=f"s{i % 2}",
        )
        for i in range(count)
    ]
