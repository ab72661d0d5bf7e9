"""`guerdon audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import OmitArgPrefixes

from guerdon.cli.progress import RunProgress, terminal
from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_IT_IS, Beside, Data, ReadingOptions
from guerdon.cli.tables import new_table, output
from guerdon.evaluate.audit.audit_config import AuditConfig
from guerdon.metrics import format_bounds, format_interval, format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from guerdon.evaluate.audit.audit_results import Audit, BiasLine
    from guerdon.evaluate.audit.label_results import DataAudit


def audit(
    model: Model,
    data: Data,
    /,
    out: Path = Path("audit"),
    beside: Beside = (),
    annotator: str | None = None,
    reading: ReadingOptions = AS_IT_IS,
    config: OmitArgPrefixes[AuditConfig] = AuditConfig(),  # noqa: B008  # frozen
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Find out what a reward is really made of: which changes of a response move it that should not.

    Responses are changed in one thing (padding, lists, flattery, names ...) and the reward is asked which it prefers;
    others are changed so that the meaning stays, and no order should. Beside the reward stand people's own choices. The
    same report audits the labels. The folder then holds audit.html and audit.json.

    Args:
        model: The scorer, or a comparer as module:object.
        data: Judgements; their responses are what is changed, English and Chinese ones.
        out: Folder for the page and the JSON file.
        beside: Another part of the split, which should share nothing with DATA. The option may be given several times.
        annotator: Column that names who judged; by default one of the usual names.
        reading: How DATA is read; intervals draw groups instead of prompts where it names them.
        config: How much is asked.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.evaluate.audit.audit_files import audit_reward

    with terminal() as console, RunProgress(console) as progress:
        found = audit_reward(
            scorer.named(model),
            data,
            out,
            config,
            beside=beside,
            annotator=annotator,
            on_progress=progress.progressed,
            on_stage=lambda stage: staged(console, progress, stage),
            **reading,
        )
    show_audit(found)
    output().print(f"page: {out / 'audit.html'}", soft_wrap=True)


def staged(console: Console, progress: RunProgress, stage: str) -> None:
    """Ends the bar of what was done before, and says what is done now."""
    progress.end_part()
    console.print(f"{stage} ...", style="dim")


def show_audit(found: Audit) -> None:
    """Prints the tables of a reward's audit, those of the labels, and what was found."""
    from guerdon.evaluate.audit.audit_results import family_groups
    from guerdon.perturbations.perturbation import SAME_MEANING

    console = output()
    families = family_groups([line for line in found.lines if line.verdict != "not asked"])
    kept = families.pop(SAME_MEANING, [])
    drawn = f"95% intervals over {found.clusters:,} {found.unit}s"
    title = f"what moves {found.model}: {found.pairs:,} natural pairs, {drawn}"
    console.print(_lines_table(title, "overturned", [line for lines in families.values() for line in lines]))
    if kept:
        console.print(_lines_table("same meaning", "other order", kept))
    if found.natural:
        console.print(_natural_table(found))
    if found.surface is not None:
        length, every = format_interval(found.surface.length), format_interval(found.surface.every)
        console.print(f"Of the variance of its differences, length alone explains {length}, the whole surface {every}.")
    if found.position is not None:
        first, turned = format_interval(found.position.test.rate), format_interval(found.position.turned)
        console.print(f"It prefers what it is shown first in {first} of showings; the order turns {turned} of pairs.")
    console.print()
    show_labels(found.labels)
    console.print()
    console.print(found.headline(), style="bold")
    for note in [one for one in found.notes if one not in found.labels.notes]:
        console.print(note)


def show_labels(found: DataAudit) -> None:
    """Prints what people's choices lean on, and what is wrong with labels."""
    console = output()
    if found.lines:
        title = f"the labels of {found.data}: {found.pairs:,} pairs, {found.clusters:,} {found.unit}s"
        table = new_table(title, "more of", "pairs", "preferred by people", "q", "detectable", title_style="bold")
        for line in found.lines:
            rate = format_interval(line.rate)
            table.add_row(line.name, f"{line.n:,}", rate, _q(line.q), format_value(line.detectable))
        console.print(table)
    if found.annotators:
        headings = ("annotator", "pairs", "prefers the longer", "the others", "q", "models agree")
        table = new_table("annotators", *headings, title_style="bold")
        for one in found.annotators:
            longer, support = format_interval(one.longer.rate), format_interval(one.support)
            others, q = format_value(one.others_longer), _q(one.longer.q)
            table.add_row(one.name, f"{one.longer.n:,}", longer, others, q, support)
        console.print(table)
    for sentence in found.sentences():
        console.print(sentence)


def _people(line: BiasLine) -> str:
    return "" if line.natural is None else format_interval(line.natural.people, decimals=2)


def _q(value: float) -> str:
    return "<0.001" if value < 0.001 else format_value(value)


def _lines_table(title: str, order: str, lines: Sequence[BiasLine]) -> Table:
    people = any(line.natural is not None for line in lines)
    headings = ["change", "finding", "pairs", "preferred", "moves it by", order, "q", "detectable"]
    headings += ["people"] if people else []
    table = new_table(title, *headings, title_style="bold")
    for line in lines:
        table.add_row(
            line.name,
            line.verdict,
            f"{line.test.n:,}",
            f"{format_value(line.test.rate.point, decimals=2)} {format_bounds(line.test.rate, decimals=2)}",
            format_value(line.shift.point, signed=True, decimals=2),
            f"{line.order.point:.1%}" if line.order_pairs else "",
            _q(line.test.q),
            format_value(line.test.detectable, decimals=2),
            *([_people(line)] if people else []),
            style="bold" if line.verdict == "bias" else "",
        )
    return table


def _natural_table(found: Audit) -> Table:
    title = "natural responses: which has more of it, and which is preferred"
    headings = ("more of", "pairs", "by the reward", "by people", "beyond people", "q", "detectable")
    table = new_table(title, *headings, title_style="bold")
    for line in found.natural:
        table.add_row(
            line.name,
            f"{line.n:,}",
            format_interval(line.model, decimals=2),
            format_interval(line.people, decimals=2),
            format_interval(line.excess, signed=True, decimals=2),
            _q(line.q),
            format_value(line.detectable, decimals=2),
            style="bold" if line.flagged else "",
        )
    return table
