"""Progress and warnings on standard error: bars on a terminal, an occasional line elsewhere."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_QUIET_SECONDS = 30.0
"""Where there is no terminal, this long passes between two lines about texts."""
_LINES = 10
"""Where there is no terminal, a training run prints about this many lines."""


@contextmanager
def terminal() -> Iterator[Console]:
    """A console on standard error that log records go through as well, so that no warning tears a bar apart.

    A warning that differs from an earlier one in its numbers alone is not repeated.
    """
    from rich.console import Console

    # Warnings quote user data: no [markup], no :emoji:, no colours for numbers in them.
    console = Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True)
    root = logging.getLogger()
    before = root.handlers[:]
    handler = _ConsoleHandler(console)
    root.handlers = [handler]
    logging.captureWarnings(True)
    try:
        yield console
    finally:
        logging.captureWarnings(False)
        root.handlers = before


class _ConsoleHandler(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage().strip()
        except (TypeError, ValueError):
            return self.handleError(record)
        kind = re.sub(r"\d+", "#", message)
        if kind not in self._seen:
            self._seen.add(kind)
            self._console.print(f"{record.levelname.lower()}: {message}", style="yellow")


@contextmanager
def training_progress(console: Console) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """Gives a function for `train_reward_model(on_step=...)` that shows loss, accuracy, speed and time left."""
    if not console.is_terminal:
        yield _TrainingLines(console)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("training"), BarColumn(24), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=None)

        def report(metrics: Mapping[str, float]) -> None:
            total, done = metrics["steps"], metrics["step"]
            bar.update(task, total=total, completed=done, description=metrics_line(metrics))

        yield report


class _TrainingLines:
    """Prints about ten lines for each run that passes through it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = -1.0

    def __call__(self, metrics: Mapping[str, float]) -> None:
        step, steps = metrics["step"], metrics["steps"]
        if step < self._last:  # the next member of an ensemble begins
            self._last = -1.0
        due = step - self._last >= max(1.0, steps / _LINES) or step == steps
        if step and due and step != self._last:
            self._last = step
            self._console.print(f"step {step:.0f}/{steps:.0f}  {metrics_line(metrics)}")


def metrics_line(metrics: Mapping[str, float]) -> str:
    """The metrics of a training step that are known so far, in one line."""
    formats = {
        "loss": "loss {:.3f}",
        "accuracy": "accuracy {:.3f}",
        "eval_accuracy": "validation {:.3f}",
        "reward": "reward {:.3f}",
        "kl": "KL {:.2f}",
        "response_tokens": "{:.0f} tokens",
        "examples_per_second": "{:.1f} examples/s",
    }
    parts = [text.format(metrics[name]) for name, text in formats.items() if name in metrics]
    if metrics.get("seconds_left"):
        parts.append(f"{clock(metrics['seconds_left'])} left")
    return "  ".join(parts)


@contextmanager
def text_progress(
    console: Console, what: str, total: int | None, unit: str = "texts"
) -> Iterator[Callable[[int], None]]:
    """Gives a function that counts texts, or what `unit` says; `total` None where it is not known."""
    if not console.is_terminal:
        yield _TextLines(console, what, total, unit)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.update(task, advance=count)


class _TextLines:
    """Prints a line every half minute."""

    def __init__(self, console: Console, what: str, total: int | None, unit: str) -> None:
        self._console, self._what, self._unit = console, what, unit
        self._of = "" if total is None else f" of {total:,}"
        self._done = 0
        self._start = self._last = time.monotonic()

    def __call__(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._last >= _QUIET_SECONDS:
            self._last = now
            speed = self._done / (now - self._start)
            rate = f"{speed:,.1f}" if speed >= 1 else f"{speed:.2g}"
            self._console.print(f"{self._what}: {self._done:,}{self._of} {self._unit}, {rate} {self._unit}/s")


@contextmanager
def stage_progress(console: Console) -> Iterator[Callable[[str], None]]:
    """Gives a function that shows what is being done: a line that changes on a terminal, else some lines."""
    if console.is_terminal:
        with console.status("starting") as status:
            yield status.update
        return
    last, start = "", time.monotonic()

    def line(stage: str) -> None:
        nonlocal last
        if (what := stage.split(",")[0]) != last:
            last = what
            console.print(f"{clock(time.monotonic() - start)}  {what}")

    yield line


class RunProgress(ExitStack):
    """The bars of a run of several parts, one after the other: training steps, or texts."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console
        self.end_part()

    def end_part(self) -> None:
        """Takes the bar of the part that is done away."""
        self.close()
        self._training: Callable[[Mapping[str, float]], None] | None = None
        self._texts: Callable[[int], None] | None = None
        self._what, self._done = "", 0

    def trained(self, metrics: Mapping[str, float]) -> None:
        """A training step is done."""
        if self._training is None:
            self._training = self.enter_context(training_progress(self.console))
        self._training(metrics)

    def progressed(self, what: str, done: int, total: int) -> None:
        """So many texts are done."""
        if self._texts is None or what != self._what:
            self.end_part()
            unit = "prompts" if what == "responding" else "texts"
            self._texts, self._what = self.enter_context(text_progress(self.console, what, total, unit)), what
        self._texts(done - self._done)
        self._done = done


def clock(seconds: float) -> str:
    """Minutes and seconds, with hours where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
