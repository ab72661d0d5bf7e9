"""`guerdon optimize best-of-n`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import Data
from guerdon.optimize.optimize_config import BestOfNConfig

if TYPE_CHECKING:
    from guerdon.optimize.best_of_n import BestOfN

_NAMED = 5
"""Prompts that were left out are named on screen up to this number; curve.json names all."""


def best_of_n(
    model: Model,
    data: Data,
    /,
    out: Path = Path("best-of-n"),
    gold: tuple[str, ...] = (),
    resume: bool = False,
    config: OmitArgPrefixes[BestOfNConfig] = BestOfNConfig(),  # noqa: B008  # frozen
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Keep the response with the highest reward out of n, measure what that gains, and write rows to train on.

    Responses come from a policy (--policy, or --endpoint with the server's name for it in --policy); without either,
    DATA holds them: rows with `responses`, or several rows to a prompt. The folder then holds candidates.jsonl (all
    responses with their rewards), sft.jsonl (prompt, completion: the best), pairs.jsonl (prompt, chosen, rejected: best
    and worst, for DPO), curve.json and curve.png.

    Args:
        model: The scorer that picks.
        data: Prompts, or prompts with their responses.
        out: Folder for everything that is made.
        gold: Scorers that only watch: those that did not pick show whether the responses got better.
        resume: Go on with a run that was cut short in the same folder.
        config: Where the responses come from, and how many.
        scorer: How MODEL and --gold are loaded, and how they read; device and trust count for --policy as well.
    """
    from guerdon.cli.progress import terminal, text_progress

    with terminal() as console:
        from guerdon.optimize.best_of_n_run import run_best_of_n

        watching = [scorer.named(name) for name in gold]
        show = partial(text_progress, console)
        run = run_best_of_n(scorer.named(model), data, out, config, gold=watching, resume=resume, progress=show)
        for name, summary in run.without_reward.items():
            console.print(f"{name}: {summary}")
    show_curves(run.curves)
    if len(run.curves.curves) == 1:
        print("The reward that picks always gains. Whether the responses got better, --gold tells.")
    print(f"{out}: candidates.jsonl, sft.jsonl, pairs.jsonl, curve.json, curve.png")


def show_curves(result: BestOfN) -> None:
    """Prints what picking by the first reward gets of every value, for each n."""
    from guerdon.cli.tables import new_table, output
    from guerdon.metrics import format_interval, format_value

    console = output()
    headings = ("", *(f"n = {n}" for n in result.ns), f"gain of n = {result.ns[-1]}")
    table = new_table(f"Best of n, {result.prompts:,} prompt{'s' * (result.prompts != 1)}", *headings, box=None)
    for place, curve in enumerate(result.curves):
        means = [format_value(mean.point, decimals=None) for mean in curve.means]
        gain = format_interval(curve.gains[-1], signed=True, decimals=None)
        table.add_row(curve.name + (" (picks)" if place == 0 else ""), *means, gain)
    table.add_row("KL from the policy, at most", *(f"{kl:.2f}" for kl in result.kl_bounds))
    console.print(table)
    if not result.left_out:
        return
    console.print(f"{len(result.left_out):,} prompts are left out of the curve; curve.json names them all:")
    for one in result.left_out[:_NAMED]:
        console.print(f"  {one.prompt}: {one.reason}")
