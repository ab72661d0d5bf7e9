"""`guerdon compare`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.evaluate import system_names
from guerdon.cli.progress import RunProgress, terminal
from guerdon.cli.scorers import ScorerOptions
from guerdon.cli.sources import AS_IT_IS, ReadingOptions
from guerdon.cli.tables import new_table, output
from guerdon.metrics import METRICS, format_bounds, format_interval, format_p_value, format_value

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.evaluate.comparison import RewardComparison, SectionComparison

ModelsAndData = Annotated[
    Positional[tuple[str, ...]],
    arg(metavar="MODEL MODEL ... DATA", help="Two or more scorers or comparers, named as MODEL is, and last the data."),
]


def compare(
    models_and_data: ModelsAndData,
    /,
    json: Path | None = None,
    page: Path | None = None,
    resamples: int = 1000,
    seed: int = 0,
    reading: ReadingOptions = AS_IT_IS,
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Tell which of several reward models agrees better with people, and how sure that is.

    Every system judges the same rows. Differences are paired, with 95% intervals that draw whole prompts (or groups)
    and p-values of a permutation test that exchanges systems in whole prompts. The leaderboard is by Bradley-Terry
    strength: of the pairs on which just one of two systems is right, how many that one is.

    Args:
        models_and_data: Two or more models, then DATA: judgements.
        json: File for all values and examples (- is standard output, instead of the tables).
        page: File for an HTML page with examples of where the systems disagree.
        resamples: Bootstrap data sets behind the intervals.
        seed: Seed of the bootstrap and of the permutation test.
        reading: How DATA is read; intervals draw groups instead of prompts where it names them.
        scorer: How the models are loaded, and how they read.
    """
    from guerdon.errors import ConfigError
    from guerdon.evaluate.comparison import compare_rewards
    from guerdon.files import check_writable

    *models, data = models_and_data or ("",)
    if len(models) < 2:
        raise ConfigError(
            f"two models or more and then the data are needed, as in `guerdon compare A B DATA`; got "
            f"{' '.join(models_and_data) or 'nothing'}"
        )
    if resamples < 1:
        raise ConfigError(f"--resamples must be at least 1, got {resamples}")
    for path in (json, page):
        if path is not None and str(path) != "-":
            check_writable(path)
    from guerdon.data.read import load_rows

    rows = load_rows(data, **reading)
    systems = {name: scorer.named(path).load_system() for name, path in system_names(models).items()}
    with terminal() as console, RunProgress(console) as progress:
        found = compare_rewards(systems, rows, seed=seed, resamples=resamples, progress=progress.progressed)
    _write(found, json, page)
    if str(json) != "-":
        show_comparison(found)


def _write(found: RewardComparison, json: Path | None, page: Path | None) -> None:
    if str(json) == "-":
        print(jsonlib.dumps(found.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
    elif json is not None:
        found.save(json)
    if page is not None:
        from guerdon.evaluate.pages import write_comparison_page

        write_comparison_page(found, page)


def show_comparison(found: RewardComparison) -> None:
    """Prints the leaderboard, the tests and what they mean."""
    console = output()
    for section in found.sections:
        console.print(_leaderboard_table(section))
        if section.tests:
            console.print(_tests_table(section))
        for line in section.lines():
            console.print(line)
        console.print()
    for note in found.evaluation.notes:
        console.print(note)


def _leaderboard_table(section: SectionComparison) -> Table:
    drawn = f"95% intervals over {section.clusters:,} {section.unit}s"
    title = f"{section.kind}: {section.rows:,} rows, {section.pairs:,} pairs, {drawn}"
    headings = ("system", METRICS[section.metric].heading, "strength, logits", "place", "is first in")
    table = new_table(title, *headings, title_style="bold")
    for one in section.leaderboard:
        low, high = one.ranks
        table.add_row(
            one.name,
            format_interval(one.value),
            format_interval(one.strength, signed=True, decimals=2),
            f"{low}" if low == high else f"{low} to {high}",
            "" if one.first != one.first else f"{one.first:.0%}",
            style="" if one.is_baseline else "bold",
        )
    return table


def _tests_table(section: SectionComparison) -> Table:
    described = METRICS[section.metric]
    title = "two at a time, on the same rows"
    headings = (
        "a", "b", f"a minus b,\n{described.heading}", "p, adjusted", "only a\nright", "only b\nright", "McNemar p",
        "detectable\ndifference",
    )  # fmt: skip
    table = new_table(title, *headings, title_style="bold")
    table.columns[1].justify = "left"
    for test in section.tests:
        table.add_row(
            test.a,
            test.b,
            f"{format_value(test.difference.point, signed=True)}\n{format_bounds(test.difference)}",
            _bare(test.p_value),
            f"{test.only_a:,}",
            f"{test.only_b:,}",
            _bare(test.mcnemar),
            format_value(test.detectable),
        )
    return table


def _bare(p_value: float) -> str:
    """A p-value under a heading that says what it is."""
    return format_p_value(p_value).removeprefix("p ").removeprefix("= ")
