"""`guerdon fit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.train.fit_config import FitConfig

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.train.fit_run import FittedReward

_TOP = 8
_READABLE = ("surface", "tfidf", "likelihood")
"""Kinds whose features have names that say something."""


def fit(
    data: Data,
    /,
    out: Path | None = None,
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[FitConfig] = FitConfig(),  # noqa: B008  # frozen
) -> None:
    """Fit several kinds of reward on frozen features and combine them: a reward in seconds to minutes, on a CPU.

    Penalties, weights, and whether the blend or a single member is handed over are chosen by cross-validation over
    whole prompts (or --group). The table shows how each would do on prompts that it has not seen.

    Args:
        data: Comparisons, ratings, rankings or references to learn from.
        out: Folder of the reward; the default is runs/ and the name of the data.
        reading: How DATA is read.
        config: What is fitted and combined.
    """
    from guerdon.cli.progress import terminal
    from guerdon.cli.tables import output
    from guerdon.cli.train import default_folder, next_steps
    from guerdon.train.fit_run import fit_reward

    folder = out or default_folder(data)
    with terminal() as console:
        fitted = fit_reward(
            data, folder, config, on_stage=lambda stage: console.print(f"{stage} ...", style="dim"), **reading
        )
    shown = output()
    shown.print(_table(fitted))
    shown.print(_verdict(fitted), soft_wrap=True)
    for line in _reasons(fitted):
        shown.print(line, soft_wrap=True)
    shown.print(f"reward: {folder}\n{next_steps(folder, data, ' --contributions')}", soft_wrap=True)


def _table(fitted: FittedReward) -> Table:
    from guerdon.cli.tables import new_table
    from guerdon.metrics import format_interval, format_value

    judged = fitted.judged
    pairs = judged.objective == "pairs"
    table = new_table(
        f"{(~judged.mismatched).sum():,} {'pairs' if pairs else 'ratings'} of "
        f"{len(set(judged.group.tolist())):,} groups, measured out of fold",
        "",
        "accuracy" if pairs else "Spearman",
        *(["length-balanced"] if pairs else []),
        "weight",
    )
    for one in fitted.measured():
        numbers = [format_interval(one.agreement), *([format_interval(one.length_balanced)] if pairs else [])]
        table.add_row(one.name, *numbers, format_value(one.weight, decimals=2))
    return table


def _verdict(fitted: FittedReward) -> str:
    """What is handed over, and what that gains over the best member."""
    from guerdon.metrics import format_interval

    best = fitted.fit.best
    if best != "blend":
        return f"handed over: {best} alone, which no blend of members did better than"
    if fitted.judged.objective == "ratings":
        return "handed over: the blend"
    members = {name: value for name, value in fitted.fit.agreement.items() if name != "blend"}
    rival = max(members, key=members.__getitem__)
    gain = fitted.gain_over(rival)
    clear = "" if gain.low > 0 else "; the interval holds 0"
    return f"handed over: the blend; accuracy less that of {rival}: {format_interval(gain, signed=True)}{clear}"


def _reasons(fitted: FittedReward) -> list[str]:
    """What the readable members rest on."""
    from guerdon.rewards.linear import LinearReward

    lines = []
    for name, member in fitted.reward.members.items():
        if isinstance(member, LinearReward) and member.features.kind in _READABLE:
            top = ", ".join(f"{weight:+.2f} {feature!r}" for feature, weight in member.top_features(_TOP))
            lines.append(f"{name}: {top}")
    return lines
