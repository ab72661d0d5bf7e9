"""What a quickstart tells while it works."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guerdon.evaluate.results import Evaluation
    from guerdon.quickstart.policy_gain import PolicyGain


class QuickstartEvents:
    """What a quickstart tells while it works. Each method does nothing here; override those that you want to hear.

    Example:
        >>> class Steps(QuickstartEvents):
        ...     def step_started(self, number, count, name, what):
        ...         print(f"{number} of {count}: {name}")
        >>> Steps().step_started(1, 5, "data", "starter")
        1 of 5: data
    """

    def step_started(self, number: int, count: int, name: str, what: str) -> None:
        """Step `number` of `count` begins; `what` is done in it."""

    def step_finished(self, name: str, seconds: float) -> None:
        """A step is done."""

    def noted(self, text: str) -> None:
        """Something that the reader must know; the report repeats it."""

    def trained(self, metrics: Mapping[str, float]) -> None:
        """A training step is done; the metrics are those of `TrainConfig` runs (`step`, `steps`, `loss` ...)."""

    def progressed(self, what: str, done: int, total: int) -> None:
        """So many texts of a step are done."""

    def evaluated(self, evaluation: Evaluation, by_coverage: Mapping[str, Evaluation]) -> None:
        """The model is measured, and where it cannot read some rows, each part by itself."""

    def policy_measured(self, gain: PolicyGain) -> None:
        """A language model has responded, and the reward has picked."""
