"""`guerdon data info | check | split | convert`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.sources import AS_IT_IS, Beside, Data, ReadingOptions
from guerdon.cli.tables import new_table, output
from guerdon.data.data_options import SplitConfig
from guerdon.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

    from guerdon.data.check import CheckReport, InfoReport, SourceReport, Spread
    from guerdon.types import AnyRow

_SUBSETS_SHOWN = 20
_CHARACTERS_SHOWN = 500


def info(data: Data, /, json: Path | None = None, reading: ReadingOptions = AS_IT_IS) -> None:
    """Tell what a data file holds and how it was understood: layout, columns, examples; lengths, ties, scores.

    Args:
        data: The rows.
        json: Also write the report to this file (- for standard output, instead of the table).
        reading: How DATA is read.
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.check import describe_data

    with terminal():
        report = describe_data(data, **reading)
    if not _printed(report, json):
        _show(_understood(report), *_info_tables(report), *_examples(report))
    if report.faults:
        _note(f"{report.faults} rows cannot be used and are left out; see: guerdon data check {data}")


def check(data: Data, /, json: Path | None = None, reading: ReadingOptions = AS_IT_IS) -> None:
    """Report every row that cannot be used, with file and line; repeated rows and contradictions too.

    Ends with status 2 if there is a faulty row.

    Args:
        data: The rows.
        json: Also write the report to this file (- for standard output, instead of the text).
        reading: How DATA is read.
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.check import check_data
    from guerdon.data.formats import known_layouts
    from guerdon.data.layouts import LayoutError

    unknown = False

    def show(fault: DataError) -> None:
        nonlocal unknown
        unknown = unknown or isinstance(fault, LayoutError)
        if str(json) != "-":
            print(fault)

    with terminal():
        report = check_data(data, on_fault=show, **reading)
    if not _printed(report, json):
        if unknown:
            print(f"Known layouts, by the columns they need (a|b: either):\n{known_layouts()}")
        _show(_check_table(report))
    if report.faults:
        raise DataError(
            f"{data}: {report.faults} of {report.rows + report.faults} rows cannot be used. Put them right, or "
            f"keep the others: guerdon data convert {data} NEW.jsonl --skip-faulty"
        )


def _printed(report: SourceReport, json: Path | None) -> bool:
    """Writes a report where it is wanted as JSON; whether that is standard output."""
    if json is None:
        return False
    if str(json) == "-":
        sys.stdout.write(report.to_json())
        return True
    report.save(json)
    return False


def split(
    data: Data,
    out: Annotated[Positional[Path], arg(metavar="FOLDER")],
    /,
    config: OmitArgPrefixes[SplitConfig] = SplitConfig(),  # noqa: B008  # frozen
    reading: ReadingOptions = AS_IT_IS,
) -> None:
    """Divide a data file into train and test by group (by default the prompt), never by row.

    Args:
        data: The rows.
        out: A new folder; train, test and, if asked for, validation are written there.
        config: How to divide.
        reading: How DATA is read.
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.convert import split_data

    with terminal():
        files = split_data(data, out, config, **reading)
    _show(_split_table(out, files))


def convert(
    data: Data,
    out: Annotated[Positional[str], arg(metavar="FILE")],
    /,
    skip_faulty: bool = False,
    reading: ReadingOptions = AS_IT_IS,
) -> None:
    """Bring any known layout into Guerdon's own; the ending of FILE chooses the format.

    Args:
        data: The rows.
        out: A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), or - for JSON Lines on standard output.
        skip_faulty: Leave out rows that cannot be used, and say which; without it one of them is an error.
        reading: How DATA is read.
    """
    from guerdon.cli.progress import terminal
    from guerdon.data.convert import convert_data

    with terminal():
        done = convert_data(
            data,
            sys.stdout.buffer if out == "-" else out,
            skip_faulty=skip_faulty,
            on_fault=lambda fault: _note(f"left out: {fault}"),
            **reading,
        )
    if out != "-":
        _note(f"{done.rows} rows written to {out}" + (f", {done.left_out} left out" if done.left_out else ""))


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _show(*tables: Table) -> None:
    console = output()
    for table in tables:
        console.print(str(table.title), style="bold", soft_wrap=True)
        table.title = None
        console.print(table)


def _check_table(report: CheckReport) -> Table:
    table = new_table(f"{report.source}", "check", "rows")
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


def _understood(report: InfoReport) -> Table:
    table = new_table(f"{report.source}, as it was understood", "what", "")
    table.columns[1].justify = "left"
    one = len(report.layouts) == 1
    table.add_row("layout", ", ".join(name if one else f"{name} ({n} rows)" for name, n in report.layouts.items()))
    if report.map:
        table.add_row("columns of other names", ", ".join(f"{name} = {path}" for name, path in report.map.items()))
    if report.columns:
        table.add_row("columns read", ", ".join(report.columns))
    table.add_row("columns not read, kept beside the rows", ", ".join(report.not_read) or "none")
    return table


def _examples(report: InfoReport) -> list[Table]:
    tables = []
    for place, texts in enumerate(report.examples, start=1):
        table = new_table(f"example {place}, as a scorer is given it", "part", "text", show_lines=True)
        table.columns[1].justify = "left"
        for name, text in texts:
            more = len(text) - _CHARACTERS_SHOWN
            table.add_row(name, text if more <= 0 else f"{text[:_CHARACTERS_SHOWN]} ... ({more} characters more)")
        tables.append(table)
    return tables


def _info_tables(report: InfoReport) -> list[Table]:
    rows = new_table(report.source, "what", "count")
    facts = report.kinds | {"distinct prompts": report.prompts, "groups": report.groups, "chat prompts": report.chats}
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
    table = new_table(title, "of", "n", "mean", "least", "median", "95 %", "most")
    for name, spread in spreads.items():
        values = (spread.mean, spread.low, spread.median, spread.p95, spread.high)
        table.add_row(
            name, str(spread.n), *(f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}" for value in values)
        )
    return table


def _subset_table(subsets: dict[str, int]) -> Table:
    table = new_table("subsets", "subset", "rows")
    for name, count in list(subsets.items())[:_SUBSETS_SHOWN]:
        table.add_row(name or "(none)", str(count))
    if len(subsets) > _SUBSETS_SHOWN:
        table.add_row(f"and {len(subsets) - _SUBSETS_SHOWN} more", str(sum(list(subsets.values())[_SUBSETS_SHOWN:])))
    return table


def _split_table(folder: Path, parts: dict[str, list[AnyRow]]) -> Table:
    from guerdon.types import group_key

    table = new_table(str(folder), "file", "rows", "groups")
    for name, rows in parts.items():
        table.add_row(name, str(len(rows)), str(len({group_key(row) for row in rows})))
    return table


def audit(
    data: Data,
    /,
    out: Path = Path("audit"),
    beside: Beside = (),
    annotator: str | None = None,
    seed: int = 0,
    reading: ReadingOptions = AS_IT_IS,
) -> None:
    """Find out what is wrong with labels: what they lean on, doubles, contradictions, circles, likely errors.

    The folder then holds audit.html and audit.json.

    Args:
        data: Judgements.
        out: Folder for the page and the JSON file.
        beside: Another part of the split, which should share nothing with DATA. The option may be given several times.
        annotator: Column that names who judged; by default one of the usual names.
        seed: Seed of folds and of what is drawn.
        reading: How DATA is read; intervals draw groups instead of prompts where it names them.
    """
    from guerdon.cli.audit import show_labels, staged
    from guerdon.cli.progress import RunProgress, terminal
    from guerdon.cli.tables import output
    from guerdon.evaluate.audit.audit_files import audit_data

    with terminal() as console, RunProgress(console) as progress:
        found = audit_data(
            data,
            out,
            beside=beside,
            annotator=annotator,
            seed=seed,
            on_stage=lambda stage: staged(console, progress, stage),
            **reading,
        )
    show_labels(found)
    output().print(f"page: {out / 'audit.html'}", soft_wrap=True)
