"""`guerdon repair`."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import OmitArgPrefixes

from guerdon.cli.progress import stage_progress, terminal
from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_IT_IS, Data, ReadingOptions
from guerdon.evaluate.repair_config import RepairConfig


def repair(
    model: Model,
    data: Data,
    /,
    out: Path = Path("repaired"),
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[RepairConfig] = RepairConfig(),  # noqa: B008  # frozen
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Take from any reward what it owes to length and format, without training it again.

    A correction is fitted on all rows, and measured in folds on prompts that it did not see, before beside after: how
    much more often the reward picks the longer response than people do, its slope on length, its agreement with people,
    and how often an order flips when a response says the same otherwise. The folder is a reward like any other.

    Args:
        model: The scorer to repair.
        data: Judgements: comparisons, or ratings or rankings of several responses to a prompt.
        out: Folder of the repaired reward.
        reading: How DATA is read; groups stay whole when it is divided.
        config: What is taken away, and how it is estimated.
        scorer: How the model is loaded, and how it reads.
    """
    from guerdon.cli.tables import new_table, output
    from guerdon.evaluate.repair import PAGE, repair_lines, repair_reward
    from guerdon.metrics import format_interval
    from guerdon.rewards.score_rows import reward_label

    with terminal() as console, stage_progress(console) as on_stage:
        loaded = scorer.named(model).load()
        found = repair_reward(loaded, data, out, config, name=model, on_stage=on_stage, **reading)
    title = (
        f"{reward_label(model)}, repaired ({found.mode}): {found.pairs:,} pairs of {found.clusters:,} {found.unit}s, "
        f"measured in {found.folds} folds"
    )
    table = new_table(title, "", "before", "after", "change", "what it is", title_style="bold")
    table.columns[-1].justify = "left"
    for one in found.measures:
        intervals = format_interval(one.before), format_interval(one.after), format_interval(one.change, signed=True)
        table.add_row(one.name.replace("_", "-"), *intervals, one.about)
    shown = output()
    shown.print(table)
    for line in repair_lines(found):
        shown.print(line)
    shown.print(f"reward: {out}, page: {out / PAGE}", soft_wrap=True)
