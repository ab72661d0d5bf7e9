"""`guerdon quickstart`: the main job in one go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from guerdon.quickstart.quickstart_config import QuickstartConfig
from guerdon.quickstart.quickstart_events import QuickstartEvents

if TYPE_CHECKING:
    from rich.console import Console

    from guerdon.evaluate.results import Evaluation
    from guerdon.quickstart.policy_gain import PolicyGain


def quickstart(
    *,
    data: str = "starter",
    out: Path = Path("quickstart"),
    overwrite: bool = False,
    config: OmitArgPrefixes[QuickstartConfig] = QuickstartConfig(),  # noqa: B008  # frozen
) -> None:
    """Train a reward model, measure it on unseen prompts, score, explain, let it pick better responses; report.html.

    Without options it does so on the starter set, offline, in some minutes on two cores. The folder then holds
    report.html, model/, evaluation.json, test.jsonl (the unseen rows), scores.jsonl (their rewards), and answers.json,
    what the reward gained by picking responses of a language model.

    Args:
        data: Judgements: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or
            starter.
        out: Folder for everything that is made.
        overwrite: Replace what an earlier quickstart wrote into the folder.
        config: How it is carried out.
    """
    from guerdon.cli.progress import terminal

    started = time.monotonic()
    with terminal() as console:
        from guerdon.quickstart.quickstart_run import run_quickstart

        result = run_quickstart(data, out, config, overwrite=overwrite, events=_QuickstartScreen(console))
    print(f"Done in {time.monotonic() - started:.0f} s. Open {out / 'report.html'}; what to do next:")
    for what, command in result.next_commands:
        print(f"  {command}\n      {what}")


class _QuickstartScreen(QuickstartEvents):
    """Shows a quickstart on screen."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bars = ExitStack()
        self.training: Callable[[Mapping[str, float]], None] | None = None
        self.texts: Callable[[int], None] | None = None
        self.done = 0

    def step_started(self, number: int, count: int, name: str, what: str) -> None:
        print(f"[{number}/{count}] {name}: {what}", flush=True)

    def step_finished(self, name: str, seconds: float) -> None:
        self.bars.close()
        self.training, self.texts, self.done = None, None, 0
        print(f"      {seconds:.1f} s", flush=True)

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
            self.texts = self.bars.enter_context(text_progress(self.console, what, total))
        self.texts(done - self.done)
        self.done = done

    def evaluated(self, evaluation: Evaluation, by_coverage: Mapping[str, Evaluation]) -> None:
        from guerdon.cli.evaluate import show

        show(evaluation)
        for name, part in by_coverage.items():
            section = part.sections[0]
            print(f"The {section.overall.rows:,} {name}: {section.sentence('model')}")

    def policy_measured(self, gain: PolicyGain) -> None:
        from guerdon.cli.best_of_n import show_curves

        show_curves(gain.result)
        print(gain.verdict)
