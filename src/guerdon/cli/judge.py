"""`guerdon judge` and `guerdon judge generative`."""

from __future__ import annotations

import shlex
from pathlib import Path

from tyro.conf import OmitArgPrefixes

from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.train.judge_config import JudgeConfig
from guerdon.train.verdict_config import VerdictConfig


def judge(
    data: Data,
    /,
    out: Path | None = None,
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[JudgeConfig] = JudgeConfig(),  # noqa: B008  # frozen
) -> None:
    """Train a judge by reinforcement learning: it reads two responses in chunks, and answers when it knows enough.

    An answer earns the share of people who agree with it, and reading costs. What is learnt is a reward of single
    responses, which is saved as any other, and when to stop. The table shows, on comparisons of groups that the reward
    has not learnt from, how much stays unread at what loss; the marked line is what the judge does.

    Args:
        data: Comparisons, or other rows that order responses of a prompt.
        out: Folder of the reward; the default is runs/ and the name of the data.
        reading: How DATA is read.
        config: How to train.
    """
    from guerdon.cli.progress import stage_progress, terminal
    from guerdon.cli.tables import new_table, output
    from guerdon.cli.train import default_folder
    from guerdon.metrics import format_interval, format_value
    from guerdon.train.judge_run import train_judge

    folder = out or default_folder(data)
    with terminal() as console, stage_progress(console) as on_stage:
        trained = train_judge(data, folder, config, on_stage=on_stage, **reading)
    title = f"{trained.pairs:,} pairs of {trained.groups:,} groups, by rewards that have not learnt from the group"
    table = new_table(title, "cost of reading", "unread", "accuracy", "loss")
    table.add_row("none", format_value(0.0), format_interval(trained.accuracy), "-")
    for point in trained.points:
        mark = " *" if point == trained.chosen else ""
        numbers = [format_interval(point.accuracy), format_interval(point.loss, signed=True)]
        table.add_row(f"{point.cost:g}{mark}", format_value(point.unread), *numbers)
    shown = output()
    shown.print(table)
    if trained.chosen is None:
        shown.print(f"every cost loses more than {config.loss:g} (--loss): the judge reads all")
    place, rows = (shlex.quote(str(one)) for one in (folder, data if data != "-" else "DATA"))
    shown.print(
        f"reward: {folder}\nnext, with rows that it has not seen:\n"
        f"  guerdon evaluate {place} TEST --also early:{place}\n"
        f"  guerdon score {place} {rows} --out scores.jsonl",
        soft_wrap=True,
    )


def generative(
    data: Data,
    /,
    out: Path | None = None,
    resume: bool = False,
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[VerdictConfig] = VerdictConfig(),  # noqa: B008  # frozen
) -> None:
    """Train a language model to say which of two responses is better: by SFT, then by its expected reward.

    A right verdict earns 1, the right verdict in both orders earns more, and confidence that is misplaced costs. The
    folder is a judge that only compares: evaluate, compare, audit, fit and optimize take it.

    Args:
        data: Comparisons, or other rows that order responses of a prompt.
        out: Folder of the judge; the default is runs/ and the name of the data.
        resume: Go on from the last checkpoint in the folder, with the same data and options.
        reading: How DATA is read.
        config: How to train.
    """
    from guerdon.cli.progress import terminal, training_progress
    from guerdon.cli.train import default_folder

    folder = out or default_folder(data)
    with terminal() as console:
        from guerdon.metrics import format_value
        from guerdon.runs.log import read_curve
        from guerdon.runs.ranks import is_first_process
        from guerdon.train.verdict_run import train_verdict_judge

        with training_progress(console) as on_step:
            train_verdict_judge(data, folder, config, resume=resume, on_step=on_step, **reading)
        if is_first_process():
            kept = read_curve(folder / "run").kept
            right = f"; right in both orders on the validation rows: {format_value(kept[1])}" if kept else ""
            place = shlex.quote(str(folder))
            print(f"judge: {folder}{right}\nnext, with rows that it has not seen:\n  guerdon evaluate {place} TEST")
