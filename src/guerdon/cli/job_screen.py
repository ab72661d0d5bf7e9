"""A recipe or a quickstart on screen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from guerdon.cli.progress import RunProgress, terminal
from guerdon.cli.tables import new_table, output
from guerdon.recipes.job_events import JobEvents

if TYPE_CHECKING:
    from guerdon.evaluate.results import Evaluation
    from guerdon.optimize.best_of_n import BestOfN


@contextmanager
def job_screen() -> Iterator[JobEvents]:
    """Shows a job: what is found on standard output, progress on standard error."""
    with terminal() as console, _JobScreen(console) as screen:
        yield screen


class _JobScreen(RunProgress, JobEvents):
    def step_started(self, number: int, count: int, name: str, what: str) -> None:
        print(f"[{number}/{count}] {name}: {what}", flush=True)

    def step_finished(self, name: str, seconds: float) -> None:
        self.end_part()
        print(f"      {seconds:.1f} s", flush=True)

    def noted(self, text: str) -> None:
        print(f"      {text}", flush=True)

    def evaluated(self, evaluation: Evaluation, by_part: Mapping[str, Evaluation]) -> None:
        from guerdon.cli.evaluate import show

        show(evaluation)
        for name, part in by_part.items():
            section = part.sections[0]
            print(f"The {section.overall.rows:,} rows in {name}: {section.sentence('model')}")

    def judged(self, headline: Sequence[str], table: Sequence[Sequence[str]], length: str) -> None:
        shown = new_table("Candidates, cross-validated on the training rows", *table[0])
        for line in table[1:]:
            shown.add_row(*line)
        output().print(shown)
        print(length)  # the verdict comes last of all, where it is not lost among the steps

    def policy_measured(self, curves: BestOfN, verdict: str) -> None:
        from guerdon.cli.best_of_n import show_curves

        show_curves(curves)
        print(verdict)
