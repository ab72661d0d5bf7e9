"""Rows to a file in Guerdon's own layout; the ending of the name chooses the format."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import itertools
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias, cast

from guerdon.data.formats import READ_COLUMNS, READ_ENDINGS, read_record
from guerdon.data.json_files import Record
from guerdon.data.places import COMPRESSIONS, ENDINGS, split_ending
from guerdon.data.values import EXTRA_COLUMN, JSON_COLUMNS, TEXT_COLUMNS, looks_like_chat, plain
from guerdon.errors import DataError, OutputError
from guerdon.files import atomic_write
from guerdon.text.messages import messages_to_dicts
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference, Steps

_Spooled: TypeAlias = Iterator[tuple[Record, list[str]]]
"""Records, and the names of their own columns."""
_BATCH = 1024
_TEXTS = ("prompt", "chosen", "rejected", "response", "responses", "generated", "steps")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNSAFE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
"""What no text file should hold as it is."""


def row_record(row: AnyRow) -> Record:
    """The row as a JSON-ready record in Guerdon's own layout; what has its default value is left out.

    Reading the record gives an equal row back.
    """
    record: Record = {"prompt": prompt_value(row.prompt)}
    if isinstance(row, Comparison):
        record |= {"chosen": row.chosen, "rejected": row.rejected}
        record |= {"preference": row.preference} if row.preference != 1.0 else {}
        record |= {"margin": row.margin} if row.margin is not None else {}
    elif isinstance(row, Rating):
        only_score = row.scores.keys() == {"score"}
        record |= {"response": row.response}
        record |= {"score": row.scores["score"]} if only_score else {"scores": dict(row.scores)}
    elif isinstance(row, Ranking):
        record |= {"responses": list(row.responses), "scores": list(row.scores)}
    elif isinstance(row, Steps):
        record |= {"steps": list(row.steps), "labels": list(row.labels)}
    common = {"reference": row.reference, "subset": row.subset, "group": row.group, "id": row.id}
    record |= {name: value for name, value in common.items() if value}
    if isinstance(row, Reference) and row.generated:
        record["generated"] = list(row.generated)
    if texts := [name for name in _TEXTS if any(map(_needs_mark, _strings(record.get(name))))]:
        record[TEXT_COLUMNS] = texts
    return record | _own_columns(row, record)


def _needs_mark(text: str) -> bool:
    """Whether a text would be read as something else: as a chat, or as a prompt that is missing."""
    return not text or looks_like_chat(text)


def _strings(value: Any) -> list[str]:
    """The texts that a value of a record consists of; none where it is a chat."""
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _own_columns(row: AnyRow, record: Record) -> Record:
    """The row's own columns; those that would be read as something else in a column by themselves."""
    own = {
        name: value
        for name, value in ((str(name), plain(value)) for name, value in row.extra.items())
        if value is not None
    }
    clashing = [name for name in own if name in record or name in READ_COLUMNS or name.endswith(READ_ENDINGS)]
    if not clashing or (set(own).isdisjoint(record) and _reads_as(record | own, row, own)):
        return own
    return {name: value for name, value in own.items() if name not in clashing} | {
        EXTRA_COLUMN: {name: own[name] for name in clashing}
    }


def _reads_as(record: Record, row: AnyRow, own: Record) -> bool:
    try:
        return read_record(record) == [replace(row, extra=own)]
    except DataError:
        return False


def prompt_value(prompt: Prompt) -> Any:
    """The prompt as JSON has it: a string, or a list of messages."""
    return prompt if isinstance(prompt, str) else messages_to_dicts(prompt)


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isascii() or not _SURROGATE.search(text) else json.dumps(value)


def check_ending(path: str | Path) -> None:
    """Makes sure that the ending of an output name is known.

    Raises:
        OutputError: it is not.
    """
    if split_ending(path)[0] not in ENDINGS:
        raise OutputError(f"cannot write {path}: unknown ending; known: {', '.join(ENDINGS)}, each also .gz or .zst")


def write_rows(rows: Iterable[AnyRow], out: str | Path | BinaryIO) -> int:
    """Writes rows in Guerdon's own layout; the file is whole or not there. Rows may be a stream of any length.

    Reading the file gives equal rows back. In tables (CSV, TSV, Parquet) a column of lists or objects holds them as
    JSON text; Parquet keeps lists of chat turns, texts and numbers as such where the whole column is alike. Own columns
    whose cells hold JSON are named in a column `guerdon_json`.

    Args:
        rows: what to write.
        out: the file; its ending is one of `.jsonl .ndjson .json .csv .tsv .parquet`, each also `.gz` or `.zst`. Or a
            stream, which gets JSON Lines.

    Returns:
        The number of rows written.

    Raises:
        OutputError: the ending is unknown, or the file cannot be written.
    """
    if not isinstance(out, str | Path):
        return _write_lines(rows, out)
    check_ending(out)
    ending, packing = split_ending(out)
    with atomic_write(out, "wb") as file, _packed(file, packing) as stream:
        if ending in (".jsonl", ".ndjson"):
            return _write_lines(rows, stream)
        if ending == ".json":
            return _write_array(rows, stream)
        return _write_table(rows, stream, ending)


@contextlib.contextmanager
def _packed(file: IO[Any], packing: str) -> Iterator[BinaryIO]:
    if packing == COMPRESSIONS[0]:
        # No name and time inside: the same rows give the same bytes.
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
            yield cast(BinaryIO, packed)
    elif packing == COMPRESSIONS[1]:
        import pyarrow as pa

        # On a twin of the file, because pyarrow closes what it is given and `file` has yet to be synced.
        with (
            os.fdopen(os.dup(file.fileno()), "wb") as twin,
            pa.PythonFile(twin, mode="w") as target,
            pa.CompressedOutputStream(target, "zstd") as packed,
        ):
            yield packed
    else:
        yield cast(BinaryIO, file)


def _write_lines(rows: Iterable[AnyRow], stream: BinaryIO) -> int:
    count = 0
    for row in rows:
        stream.write(f"{_json(row_record(row))}\n".encode())
        count += 1
    return count


def _write_array(rows: Iterable[AnyRow], stream: BinaryIO) -> int:
    count = 0
    for row in rows:
        stream.write(f"{',' if count else '['}\n{_json(row_record(row))}".encode())
        count += 1
    stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _write_table(rows: Iterable[AnyRow], stream: BinaryIO, ending: str) -> int:
    """Spools the records to disk first: a table names all its columns, and their types, before the first row."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as spool:
        kinds: dict[str, set[str]] = {}
        count, marked = 0, False
        for row in rows:
            record = row_record(row)
            for name, value in record.items():
                kinds.setdefault(name, set()).add(_kind(value))
            own = [name for name in row.extra if name in record]
            marked = marked or any(_needs_json(record[name]) for name in own)
            spool.write(json.dumps([record, own]) + "\n")
            count += 1
        spool.seek(0)
        records = (json.loads(line) for line in spool)
        if ending == ".parquet":
            _write_parquet(records, kinds, stream)
        else:
            _write_csv(records, list(kinds), stream, "," if ending == ".csv" else "\t", marked=marked)
    return count


def _kind(value: Any) -> str:
    if isinstance(value, list) and value:
        inner = {_kind(item) for item in value}
        if inner == {"str"} or inner <= {"int", "float"}:
            return "texts" if inner == {"str"} else "numbers"
        if all(isinstance(item, dict) and item.keys() == {"role", "content"} for item in value):
            return "turns" if all(isinstance(item["content"], str) for item in value) else "json"
    names = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}
    if isinstance(value, int) and not -(2**53) <= value <= 2**53:  # beyond, a column of floats would round it
        return "json"
    if isinstance(value, str) and _SURROGATE.search(value):
        return "json"
    return names.get(type(value), "json")


def _needs_json(value: Any) -> bool:
    """Whether the cell of an own column cannot hold a value as it is: readers take it for a text, or for nothing."""
    return not isinstance(value, str) or not value or bool(_UNSAFE.search(value))


def _as_cells(record: Record, own: Sequence[str], typed: Collection[str] = ()) -> Record:
    """The record with texts for what a cell cannot hold; own columns in which they are JSON are named beside them.

    Own columns are read as they stand, whereas readers of the others know what to expect; `typed` columns hold their
    values as they are.
    """
    cells, marked = dict(record), []
    for name, value in record.items():
        if name in typed:
            continue
        if name in own and _needs_json(value):
            cells[name] = json.dumps(value)
            marked.append(name)
        elif not isinstance(value, str):
            cells[name] = _json(value)
    return cells | ({JSON_COLUMNS: json.dumps(marked)} if marked else {})


def _write_csv(records: _Spooled, columns: list[str], stream: BinaryIO, delimiter: str, *, marked: bool) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    names = [*columns, *([JSON_COLUMNS] * marked)]
    plainly, quoted = (
        csv.writer(text, delimiter=delimiter, lineterminator="\n", quoting=quoting)
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    lines = itertools.chain([{name: name for name in names}], (_as_cells(*entry) for entry in records))
    for cells in lines:
        line = [cells.get(name, "") for name in names]
        # Only with this quoting is a carriage return by itself not the end of a line.
        (quoted if any("\r" in cell for cell in line) else plainly).writerow(line)
    text.flush()
    text.detach()


def _write_parquet(
    records: Iterator[tuple[Record, list[str]]], kinds: Mapping[str, set[str]], stream: BinaryIO
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    turn = pa.struct([("role", pa.string()), ("content", pa.string())])
    native = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "str": pa.string(),
        "texts": pa.list_(pa.string()),
        "numbers": pa.list_(pa.float64()),
        "turns": pa.list_(turn),
    }

    def column_type(found: set[str]) -> Any:
        found = found - {"null"}
        if found == {"int", "float"}:
            return native["float"]
        return native.get(next(iter(found))) if len(found) == 1 else None

    types = {name: column_type(found) for name, found in kinds.items()}
    typed = [name for name, kind in types.items() if kind is not None]
    columns = [(name, kind or pa.string()) for name, kind in types.items()]
    schema = pa.schema([*columns, (JSON_COLUMNS, pa.string())] if len(typed) < len(types) else columns)
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := [_as_cells(*entry, typed) for entry in itertools.islice(records, _BATCH)]:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
