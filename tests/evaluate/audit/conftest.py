from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest

from guerdon.types import Comparison


class ByText:
    """A reward that is a function of the response, and noise that is fixed for each text."""

    def __init__(self, reward: Callable[[str], float], noise: float = 0.0) -> None:
        self.reward, self.noise = reward, noise
        self.asked = 0

    def score(self, prompts, responses, *, references=None):
        self.asked += len(responses)
        return np.array([self.reward(text) + self.noise * _noise(text) for text in responses], dtype=np.float32)


class ByPlace:
    """A comparer that prefers the longer response, and what it is shown first where lengths are near."""

    def __init__(self, near: int) -> None:
        self.near = near

    def compare(self, prompts, a, b, *, references=None):
        longer = np.array([len(one) - len(other) for one, other in zip(a, b, strict=True)])
        return np.where(np.abs(longer) <= self.near, 0.9, np.where(longer > 0, 0.8, 0.2)).astype(np.float32)


def _noise(text: str) -> float:
    return float(np.random.default_rng(zlib.crc32(text.encode())).normal())


SUBJECTS = ("The egg", "A bridge", "This song", "The river", "Her letter", "That old tree", "His idea", "The train")
VERBS = ("is known", "was seen", "can be heard", "was lost", "is needed", "was bought", "is feared", "can be used")


def sentence(rng: np.random.Generator) -> str:
    return f"{rng.choice(SUBJECTS)} {rng.choice(VERBS)} in the year {rng.integers(1000, 9999)}."


@pytest.fixture
def rows() -> list[Comparison]:
    """45 prompts of two pairs; the longer response wins in two of three."""
    rng = np.random.default_rng(0)
    found = []
    for number in range(90):
        long, short = (" ".join(sentence(rng) for _ in range(count)) for count in (3, 2))
        won = (long, short) if number % 3 else (short, long)
        found.append(Comparison(prompt=f"What about {number // 2}?", chosen=won[0], rejected=won[1]))
    return found
