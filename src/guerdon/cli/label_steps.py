"""`guerdon data label-steps`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.sources import Data
from guerdon.optimize.optimize_config import LabelConfig


def label_steps(
    data: Data,
    out: Annotated[Positional[Path], arg(metavar="FILE")],
    /,
    config: OmitArgPrefixes[LabelConfig] = LabelConfig(),  # noqa: B008  # frozen
) -> None:
    """Label the steps of solutions that nobody judged: the share of a policy's continuations that end right.

    A response is cut at empty lines, or, where it has none, at every line break; its last step is labelled by its own
    answer. FILE is what `guerdon train --objective process` learns from. Beside it, FILE.rollouts-*.jsonl keeps the
    continuations: the same command goes on with a labelling that was cut short.

    Args:
        data: Prompts with responses, and the reference that the checker compares with.
        out: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst).
        config: Which policy goes on, how often, and what checks it.
    """
    from guerdon.cli.progress import terminal, text_progress
    from guerdon.metrics import format_value

    with terminal() as console:
        from guerdon.optimize.rollout_labels import label_steps as label

        done = label(data, out, config, progress=partial(text_progress, console))
    print(f"{out}: {done.steps:,} steps of {done.solutions:,} solutions, mean label {format_value(done.mean)}")
    if done.unlabelled:
        print(f"{done.unlabelled:,} steps have no label: no continuation of them could be checked.")
    print(f"next: guerdon train {out} --objective process --out checker")
