"""`guerdon advise`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from guerdon.cli.progress import clock, stage_progress, terminal
from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.cli.tables import new_table, output
from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.metrics import format_bounds, format_interval, format_value

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.evaluate.advice import Advice, CandidateResult


def advise(
    data: Data,
    /,
    out: Path = Path("advise"),
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[AdviseConfig] = AdviseConfig(),  # noqa: B008  # frozen
) -> None:
    """Compare kinds of reward on your data within a few minutes, and recommend one.

    Rules, linear models on words, surface and frozen vectors, and their blend are cross-validated by group, with
    learning curves; fine-tuned models are estimated on a part, as far as the time allows. The folder then holds
    advise.html and advise.json.

    Args:
        data: Judgements: comparisons, ratings or rankings.
        out: Folder for the page and the JSON file.
        reading: How DATA is read; cross-validation never tears a group apart.
        config: How long candidates are compared, and on which models.
    """
    with terminal() as console:
        from guerdon.evaluate.advise import advise_reward

        with stage_progress(console) as on_stage:
            advice = advise_reward(data, out, config, on_stage=on_stage, **reading)
    show_advice(advice)
    output().print(f"page: {out / 'advise.html'}", soft_wrap=True)


def show_advice(advice: Advice) -> None:
    """Prints the table of candidates, the recommendation with its evidence, and what to type next."""
    console = output()
    console.print(_candidates_table(advice))
    for line in advice.why_not_run():
        console.print(line)
    console.print()
    console.print(advice.headline, style="bold")
    for line in (*advice.evidence, *advice.notes):
        console.print(line)
    for what, command in advice.commands:
        console.print(f"{what}:")
        console.print(f"  {command}", soft_wrap=True)


def _candidates_table(advice: Advice) -> Table:
    title = (
        f"{advice.rows:,} rows, {advice.judgements:,} {advice.objective}, {advice.groups:,} groups, "
        f"{clock(advice.seconds)} of {advice.minutes:g} minutes"
    )
    against = advice.candidates[0].against
    table = new_table(title, "candidate", title_style="bold")
    table.columns[0].min_width = 11
    for heading in (
        "accuracy", "length-\nbalanced", "goes with\nlength", f"minus {against},\npaired", "seconds\nto fit", "texts/s"
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    gains = next((one.gains for one in advice.candidates if one.gains), ())
    for gain in gains:
        table.add_column(f"{gain.more:,} more:\ngain, 80%", justify="right", no_wrap=True)
    for one in advice.candidates:
        if one.state != "not run":
            table.add_row(*_cells(one, len(gains)), style="bold" if one.name == advice.recommended else "")
    return table


def _cells(one: CandidateResult, gains: int) -> list[str]:
    """The cells of one candidate."""
    state = f"\nestimated,\n{one.rows_learnt:,} rows" if one.state == "estimated" else ""
    more = [f"{format_value(gain.point, signed=True)}\n[{gain.low:.3f}, {gain.high:.3f}]" for gain in one.gains]
    return [
        one.name + state,
        f"{format_value(one.accuracy.point)}\n{format_bounds(one.accuracy)}",
        f"{format_value(one.length_balanced.point)}\n{format_bounds(one.length_balanced)}",
        format_value(one.length_correlation, signed=True, decimals=2),
        "" if one.name == one.against else format_interval(one.minus, signed=True).replace(" ", "\n", 1),
        format_value(one.seconds, decimals=1),
        f"{one.texts_per_second:,.0f}",
        *(more or [""] * gains),
    ]
