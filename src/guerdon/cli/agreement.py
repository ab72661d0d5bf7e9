"""`guerdon collect agreement`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from guerdon.cli.sources import AS_IT_IS, ReadingOptions
from guerdon.cli.tables import new_table, output
from guerdon.collect.collect_config import Pooling, Who
from guerdon.metrics import Interval, format_bounds, format_interval, format_value

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from guerdon.collect.agreement_run import AgreementReport
    from guerdon.collect.label_agreement import LabelAgreement

_PAIRS_SHOWN = 10
_LEFT_OUT = "-"


def agreement(
    data: Annotated[
        Positional[str],
        arg(
            metavar="DATA",
            help="What `guerdon collect serve` made (a file, its folder, postgresql://USER@HOST/DATABASE), or any rows "
            "with a column that names who judged, or with votes.",
        ),
    ],
    /,
    json: Path | None = None,
    soft_labels: Annotated[str | None, arg(metavar="FILE")] = None,
    pooling: Pooling = "dawid-skene",
    annotator: str | None = None,
    who: Who = "people",
    reading: ReadingOptions = AS_IT_IS,
) -> None:
    """Measure how far annotators agree, how good each is, and how much of what they say is noise.

    Krippendorff's alpha, Fleiss' and Cohen's kappa, Dawid-Skene and crowd Bradley-Terry; gold questions, where a
    collection has them. Intervals draw prompts.

    Args:
        data: Judgements.
        json: Also write the report to this file (- for standard output, instead of the tables).
        soft_labels: Write one row for each item, with how sure its label is: what `guerdon train` and `fit` read.
        pooling: How those labels are made: by the confusion matrices of annotators, by shares of votes, or by strengths
            (comparisons only).
        annotator: Column of rows that names who judged; by default one of the usual names.
        who: Whose judgements, of a collection.
        reading: How rows are read; --question is for a collection too.
    """
    from guerdon.cli.progress import terminal
    from guerdon.collect.agreement_run import annotator_agreement

    with terminal():
        found = annotator_agreement(
            data,
            soft_labels=sys.stdout.buffer if soft_labels == "-" else soft_labels,
            pooling=pooling,
            annotator=annotator,
            who=who,
            **reading,
        )
    if str(json) == "-":
        sys.stdout.write(found.to_json())
    elif json is not None:
        found.save(json)
    if str(json) != "-" and soft_labels != "-":
        show(found)
    if soft_labels not in (None, "-"):
        print(f"{found.soft_rows:,} rows in {soft_labels}. Next: guerdon data info {soft_labels}", file=sys.stderr)


def show(found: AgreementReport) -> None:
    """Prints the tables."""
    console = output()
    for one in found.questions:
        _show_question(console, one)
        if one.quality and one.several:
            console.print(_annotators_table(one))
        if len(one.pairs) > 1:
            console.print(_pairs_table(one))
    console.print("Agreement: share of two judgements of an item that are equal. Ranges are 95% intervals, by prompts.")


def _show_question(console: Console, one: LabelAgreement) -> None:
    people = f"{one.annotators:,} annotators" if one.annotators else "annotators not named"
    console.print(f"{one.name}: {one.judgements:,} judgements of {one.items:,} items, {people}", style="bold")
    if not one.several:
        console.print(
            "No item was judged twice, so nothing can be said of agreement. Fix: --overlap 2, when it is served"
        )
        return
    table = new_table("", f"{one.several:,} items judged more than once", "")
    table.add_row("agreement", format_interval(one.agreement))
    for level, value in one.alpha.items():
        table.add_row(f"Krippendorff's alpha, {level}", format_interval(value))
    for name, value in (
        ("Fleiss' kappa", one.fleiss),
        ("Cohen's kappa, mean of pairs", one.cohen),
        ("wrong judgements, errors alike", one.noise),
        ("wrong judgements, Dawid-Skene", one.noise_dawid_skene),
        ("wrong labels, Dawid-Skene", Interval(one.pooled_noise)),
    ):
        if value.point == value.point:
            table.add_row(name, format_interval(value))
    console.print(table)


def _annotators_table(one: LabelAgreement) -> Table:
    gold = any(annotator.gold for annotator in one.quality)
    compared = any(annotator.reliability for annotator in one.quality)
    headings = ["annotator", "items", "agreement", "right (Dawid-Skene)"]
    headings += ["right (Bradley-Terry)"] * compared + ["gold right"] * gold
    table = new_table(f"{one.name}: annotators", *headings, title_style="bold")
    for each in one.quality:
        cells = [each.agreement, each.accuracy, *[each.reliability] * compared, *[each.gold] * gold]
        table.add_row(each.name, f"{each.judged:,}", *(_cell(value) for value in cells))
    return table


def _pairs_table(one: LabelAgreement) -> Table:
    shown = one.pairs[:_PAIRS_SHOWN]
    more = f", those who share the most items of {len(one.pairs):,}" if len(one.pairs) > len(shown) else ""
    table = new_table(
        f"{one.name}: pairs of annotators{more}", "annotators", "items", "Cohen's kappa", title_style="bold"
    )
    for pair in shown:
        table.add_row(f"{pair.first}, {pair.second}", f"{pair.items:,}", format_interval(pair.kappa))
    return table


def _cell(value: Interval | None) -> str:
    if value is None or value.point != value.point:
        return _LEFT_OUT
    return f"{format_value(value.point)} {format_bounds(value)}".rstrip()
