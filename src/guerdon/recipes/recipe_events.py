"""What a recipe tells while it works."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guerdon.types import Candidates


class RecipeEvents:
    """What a recipe tells while it works. Each method does nothing here; override those that you want to hear.

    Example:
        >>> class Folds(RecipeEvents):
        ...     def fold_started(self, number, count):
        ...         print(f"fold {number} of {count}")
        >>> Folds().fold_started(1, 5)
        fold 1 of 5
    """

    def read(self, candidates: Sequence[Candidates]) -> None:
        """The data is read."""

    def fold_started(self, number: int, count: int) -> None:
        """The training for fold `number` of `count` begins."""

    def trained(self, metrics: Mapping[str, float]) -> None:
        """A training step is done; the metrics are those of `TrainConfig` runs (`step`, `steps`, `loss` ...)."""

    def responded(self, done: int, total: int) -> None:
        """The policy has responded to `done` of `total` prompts."""
