"""A recipe or a quickstart on screen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from guerdon.recipes.job_events import JobEvents

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.evaluate.results import Evaluation
    from guerdon.optimize.best_of_n import BestOfN


def job_screen(console: Console) -> JobEvents:
    """Shows a job: what is found on standard output, progress on the console."""
    return _JobScreen(console)


class _JobScreen(JobEvents):
    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = ExitStack()
        self.training: Callable[[Mapping[str, float]], None] | None = None
        self.texts: Callable[[int], None] | None = None
        self.done = 0

    def step_started(self, number: int, count: int, name: str, what: str) -> None:
        print(f"[{number}/{count}] {name}: {what}", flush=True)

    def step_finished(self, name: str, seconds: float) -> None:
        self._clear()
        print(f"      {seconds:.1f} s", flush=True)

    def _clear(self) -> None:
        self.bars.close()
        self.training, self.texts, self.done = None, None, 0

    def noted(self, text: str) -> None:
        print(f"      {text}", flush=True)

    def trained(self, metrics: Mapping[str, float]) -> None:
        from guerdon.cli.progress import training_progress

        if self.training is None:
            self.training = self.bars.enter_context(training_progress(self.console))
        self.training(metrics)

    def progressed(self, what: str, done: int, total: int) -> None:
        from guerdon.cli.progress import text_progress

        if self.texts is None:
            self._clear()
            self.texts = self.bars.enter_context(text_progress(self.console, what, total))
        self.texts(done - self.done)
        self.done = done

    def evaluated(self, evaluation: Evaluation, by_coverage: Mapping[str, Evaluation]) -> None:
        from guerdon.cli.evaluate import show

        show(evaluation)
        for name, part in by_coverage.items():
            section = part.sections[0]
            print(f"The {section.overall.rows:,} {name}: {section.sentence('model')}")

    def policy_measured(self, curves: BestOfN, verdict: str) -> None:
        from guerdon.cli.best_of_n import show_curves

        show_curves(curves)
        print(verdict)
