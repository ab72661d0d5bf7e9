"""A job of several steps, a recipe or a quickstart, and what it tells while it works."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from guerdon.evaluate.results import Evaluation
    from guerdon.optimize.best_of_n import BestOfN


class JobEvents:
    """What a job tells while it works. Each method does nothing here; override those that you want to hear.

    Example:
        >>> class Steps(JobEvents):
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
        """Something that the reader must know."""

    def trained(self, metrics: Mapping[str, float]) -> None:
        """A training step is done; the metrics are those of `TrainConfig` runs (`step`, `steps`, `loss` ...)."""

    def progressed(self, what: str, done: int, total: int) -> None:
        """So many texts or prompts of a step are done."""

    def evaluated(self, evaluation: Evaluation, by_part: Mapping[str, Evaluation]) -> None:
        """The model is measured, and where rows are of several sorts (as languages), each by itself."""

    def judged(self, headline: Sequence[str], table: Sequence[Sequence[str]], length: str) -> None:
        """How far the reward can be trusted, its candidates (headings first), and how it follows length."""

    def policy_measured(self, curves: BestOfN, verdict: str) -> None:
        """A language model has responded, the reward has picked, and whether that helped is known."""


class JobSteps:
    """The steps of one job: told, and timed."""

    def __init__(self, events: JobEvents, count: int) -> None:
        self.events, self.count = events, count
        self.seconds: dict[str, float] = {}
        """Step -> how long it took."""

    @contextmanager
    def step(self, name: str, what: str) -> Iterator[None]:
        """Tells that a step begins and, unless it fails, that it has ended."""
        self.events.step_started(len(self.seconds) + 1, self.count, name, what)
        start = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - start
        self.events.step_finished(name, self.seconds[name])
