"""A toy that a tiny model can learn in seconds: one word of a response tells how good it is."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from guerdon.train.train_config import TrainConfig
from guerdon.types import Scorer

GRADES = ["rude", "sorry", "good", "polite"]
"""The word that stands for grade 0, 1, 2, 3."""
FILLER = ["the", "answer", "is", "water", "this", "one", "of", "solar", "system", "planet"]
PROMPTS = [
    f"{verb} {thing} {more}"
    for verb in ("boil", "cool", "add")
    for thing in ("egg", "numbers")
    for more in ("largest", "eight", "better", "worse", "two")
]


@dataclass
class Toy:
    """Draws prompts and responses; the length says nothing about the grade."""

    rng: random.Random

    def prompt(self) -> str:
        return self.rng.choice(PROMPTS)

    def response(self, grade: int) -> str:
        words = self.rng.choices(FILLER, k=self.rng.randint(2, 7))
        words.insert(self.rng.randint(0, len(words)), GRADES[grade])
        return " ".join(words)

    def difference(self, scorer: Scorer, better: int, worse: int, count: int = 60) -> np.ndarray:
        """Score differences of fresh responses of two grades."""
        prompts = [self.prompt() for _ in range(count)]
        return scorer.score(prompts, [self.response(better) for _ in prompts]) - scorer.score(
            prompts, [self.response(worse) for _ in prompts]
        )

    def accuracy(self, scorer: Scorer, better: int, worse: int) -> float:
        """How often a fresh response of the better grade scores higher."""
        return float((self.difference(scorer, better, worse) > 0).mean())


@pytest.fixture
def toy() -> Toy:
    return Toy(random.Random(7))


@pytest.fixture
def quick() -> Any:
    """Makes the configuration of a run of seconds; takes whatever differs."""

    def make(backbone: str, **options: Any) -> TrainConfig:
        usual: dict[str, Any] = {
            "learning_rate": 5e-3,
            "epochs": 3,
            "batch_size": 16,
            "validation": 0.0,
            "disable_dropout": False,
        }
        return TrainConfig(backbone=backbone, **(usual | {"eval_steps": 1000} | options))

    return make
