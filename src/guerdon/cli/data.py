"""`guerdon data info | check | split | convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from guerdon.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.data.check import CheckReport, InfoReport, Spread
    from guerdon.types import AnyRow

Source = Annotated[str, arg(metavar="DATA")]
_SUBSETS_SHOWN = 20


def info(
    data: Positional[Source],
    /,
    group: str | None = None,
    group_regex: str | None = None,
    question: str | None = None,
    json: Path | None = None,
) -> None:
    """Tell what a data file holds: kinds, subsets, lengths, ties, scores.

    Args:
        data: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        group: Column that says what belongs together.
        group_regex: Regular expression whose first capture group in that column is the group.
        question: Question of an annotation export that says what is preferred, where there are several.
        json: Also write the report to this file (- for standard output, instead of the table).
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.check import describe_data

    printed = str(json) == "-"
    with terminal():
        report = describe_data(
            data, group=group, group_regex=group_regex, question=question, json=None if printed else json
        )
    if printed:
        sys.stdout.write(report.to_json())
    else:
        _show(*_info_tables(report))
    if report.faults:
        _note(f"{report.faults} rows cannot be used and are left out; see: guerdon data check {data}")


def check(data: Positional[Source], /, question: str | None = None, json: Path | None = None) -> None:
    """Report every row that cannot be used, with file and line; repeated rows and contradictions too.

    Ends with status 2 if there is a faulty row.

    Args:
        data: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        question: Question of an annotation export that says what is preferred, where there are several.
        json: Also write the report to this file (- for standard output, instead of the text).
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.check import check_data
    from guerdon.data.formats import LayoutError, known_layouts

    printed = str(json) == "-"
    unknown = False

    def show(fault: DataError) -> None:
        nonlocal unknown
        unknown = unknown or isinstance(fault, LayoutError)
        if not printed:
            print(fault)

    with terminal():
        report = check_data(data, question=question, json=None if printed else json, on_fault=show)
    if printed:
        sys.stdout.write(report.to_json())
    else:
        if unknown:
            print(f"Known layouts, by the columns they need (a|b: either):\n{known_layouts()}")
        _show(_check_table(report))
    if report.faults:
        raise DataError(
            f"{data}: {report.faults} of {report.rows + report.faults} rows cannot be used. Put them right, or "
            f"keep the others: guerdon data convert {data} NEW.jsonl --skip-faulty"
        )


def split(
    data: Positional[Source],
    out: Annotated[Positional[Path], arg(metavar="FOLDER")],
    /,
    test: float = 0.2,
    validation: float = 0.0,
    by: str = "prompt",
    regex: str | None = None,
    question: str | None = None,
    seed: int = 0,
    ending: str = ".jsonl",
    allow_leaks: bool = False,
) -> None:
    """Divide a data file into train and test by group, never by row.

    Args:
        data: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        out: A new folder; train, test and, if asked for, validation are written there.
        test: Share of the rows for the test part.
        validation: Share of the rows for the validation part; 0 for none.
        by: What stays on one side: prompt (or the column group of rows that have one), dialogue (the first user turn),
            or any column.
        regex: With a column: regular expression whose first capture group in it is the group.
        question: Question of an annotation export that says what is preferred, where there are several.
        seed: Random seed: another seed, another division.
        ending: Format of the parts, for example .jsonl.gz or .parquet.
        allow_leaks: Write the parts although a prompt is in two of them.
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.convert import split_data

    with terminal():
        parts = split_data(
            data,
            out,
            test=test,
            validation=validation,
            by=by,
            regex=regex,
            question=question,
            seed=seed,
            ending=ending,
            allow_leaks=allow_leaks,
        )
    _show(_split_table(out, {f"{name}{ending}": part for name, part in parts.named().items()}))


def convert(
    data: Positional[Source],
    out: Annotated[Positional[str], arg(metavar="FILE")],
    /,
    group: str | None = None,
    group_regex: str | None = None,
    question: str | None = None,
    skip_faulty: bool = False,
) -> None:
    """Bring any known layout into Guerdon's own; the ending of FILE chooses the format.

    Args:
        data: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), - or starter.
        out: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), or - for JSON Lines on standard output.
        group: Column whose value becomes the group of each row.
        group_regex: Regular expression whose first capture group in that column is the group.
        question: Question of an annotation export that says what is preferred, where there are several.
        skip_faulty: Leave out rows that cannot be used, and say which; without it one of them is an error.
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.convert import convert_data

    with terminal():
        done = convert_data(
            data,
            out,
            group=group,
            group_regex=group_regex,
            question=question,
            skip_faulty=skip_faulty,
            on_fault=lambda fault: _note(f"left out: {fault}"),
        )
    if out != "-":
        _note(f"{done.rows} rows written to {out}" + (f", {done.left_out} left out" if done.left_out else ""))


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _show(*tables: Table) -> None:
    from rich.console import Console

    # File names and subsets are shown as they are: no [markup], no :emoji:, no colours for numbers in them.
    console = Console(markup=False, emoji=False, highlight=False)
    for table in tables:
        console.print(str(table.title), style="bold", soft_wrap=True)
        table.title = None
        console.print(table)


def _table(title: str, *columns: str) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for at, column in enumerate(columns):
        table.add_column(column, justify="left" if at == 0 else "right", overflow="fold")
    return table


def _check_table(report: CheckReport) -> Table:
    table = _table(f"{report.source}", "check", "rows")
    for kind, count in report.kinds.items():
        table.add_row(f"usable: {kind}", str(count))
    table.add_row("cannot be used", str(report.faults), style="red" if report.faults else "green")
    repeats = _line_pairs(report.repeat_lines, report.repeats)
    table.add_row(f"repeat an earlier row{repeats}", str(report.repeats))
    contradictions = _line_pairs(report.contradiction_lines, report.contradictions)
    table.add_row(f"contradict another row{contradictions}", str(report.contradictions))
    return table


def _line_pairs(pairs: list[tuple[int, int]], total: int) -> str:
    if not pairs:
        return ""
    shown = ", ".join(f"{line} = {other}" for line, other in pairs)
    return f" (lines {shown}{' ...' if total > len(pairs) else ''})"


def _info_tables(report: InfoReport) -> list[Table]:
    rows = _table(report.source, "what", "count")
    for kind, count in report.kinds.items():
        rows.add_row(kind, str(count))
    facts = {"distinct prompts": report.prompts, "groups": report.groups, "chat prompts": report.chats}
    if "Comparison" in report.kinds:
        facts |= {"ties": report.ties, "soft preferences": report.soft, "with margin": report.margins}
    for name, count in facts.items():
        rows.add_row(name, str(count))
    if report.longer_chosen is not None:
        rows.add_row("longer response chosen", f"{report.longer_chosen:.1%}")
    tables = [rows, _spreads("characters", report.lengths)]
    if report.scores:
        tables.append(_spreads("scores", report.scores))
    if set(report.subsets) != {""}:
        tables.append(_subset_table(report.subsets))
    return tables


def _spreads(title: str, spreads: dict[str, Spread]) -> Table:
    table = _table(title, "of", "n", "mean", "least", "median", "95 %", "most")
    for name, spread in spreads.items():
        values = (spread.mean, spread.low, spread.median, spread.p95, spread.high)
        table.add_row(
            name, str(spread.n), *(f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}" for value in values)
        )
    return table


def _subset_table(subsets: dict[str, int]) -> Table:
    table = _table("subsets", "subset", "rows")
    for name, count in list(subsets.items())[:_SUBSETS_SHOWN]:
        table.add_row(name or "(none)", str(count))
    if len(subsets) > _SUBSETS_SHOWN:
        table.add_row(f"and {len(subsets) - _SUBSETS_SHOWN} more", str(sum(list(subsets.values())[_SUBSETS_SHOWN:])))
    return table


def _split_table(folder: Path, parts: dict[str, list[AnyRow]]) -> Table:
    from guerdon.types import group_key

    table = _table(str(folder), "file", "rows", "groups")
    for name, rows in parts.items():
        table.add_row(name, str(len(rows)), str(len({group_key(row) for row in rows})))
    return table
