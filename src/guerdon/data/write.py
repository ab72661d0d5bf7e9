"""Rows to a file in Guerdon's own layout; the ending of the name chooses the format."""

from __future__ import annotations

import contextlib
import csv
import datetime
import gzip
import io
import itertools
import json
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from guerdon.data.files import COMPRESSIONS, ENDINGS, Record, split_ending
from guerdon.errors import OutputError
from guerdon.files import atomic_write
from guerdon.text.messages import messages_to_dicts
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference

_BATCH = 1024


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
    common = {"reference": row.reference, "subset": row.subset, "group": row.group, "id": row.id}
    record |= {name: value for name, value in common.items() if value}
    if isinstance(row, Reference) and row.generated:
        record["generated"] = list(row.generated)
    return record | {name: plain(value) for name, value in row.extra.items() if name not in record}


def plain(value: Any) -> Any:
    """The value in the types that JSON has: a number that is not finite becomes null, a date its ISO form."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def prompt_value(prompt: Prompt) -> Any:
    """The prompt as JSON has it: a string, or a list of messages."""
    return prompt if isinstance(prompt, str) else messages_to_dicts(prompt)


def json_line(row: AnyRow) -> str:
    """The row as one line of JSON Lines, without the newline."""
    return json.dumps(row_record(row), ensure_ascii=False)


def check_ending(path: str | Path) -> None:
    """Makes sure that the ending of an output name is known.

    Raises:
        OutputError: it is not.
    """
    if split_ending(path)[0] not in ENDINGS:
        raise OutputError(f"cannot write {path}: unknown ending; known: {', '.join(ENDINGS)}, each also .gz or .zst")


def write_rows(rows: Iterable[AnyRow], path: str | Path) -> int:
    """Writes rows in Guerdon's own layout; the file is whole or not there. Rows may be a stream of any length.

    In tables (CSV, TSV, Parquet) a column of lists or objects holds them as JSON text; Parquet keeps lists of chat
    turns, texts and numbers as such where the whole column is alike.

    Args:
        rows: what to write.
        path: the file; its ending is one of `.jsonl .ndjson .json .csv .tsv .parquet`, each also `.gz` or `.zst`.

    Returns:
        The number of rows written.

    Raises:
        OutputError: the ending is unknown, or the file cannot be written.
    """
    check_ending(path)
    ending, packing = split_ending(path)
    with atomic_write(path, "wb") as file, _packed(file, packing) as stream:
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
        stream.write(f"{json_line(row)}\n".encode())
        count += 1
    return count


def _write_array(rows: Iterable[AnyRow], stream: BinaryIO) -> int:
    count = 0
    for row in rows:
        stream.write(f"{',' if count else '['}\n{json_line(row)}".encode())
        count += 1
    stream.write(b"\n]\n" if count else b"[]\n")
    return count


def _write_table(rows: Iterable[AnyRow], stream: BinaryIO, ending: str) -> int:
    """Spools the records to disk first: a table names all its columns, and their types, before the first row."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", newline="") as spool:
        kinds: dict[str, set[str]] = {}
        count = 0
        for row in rows:
            record = row_record(row)
            for name, value in record.items():
                kinds.setdefault(name, set()).add(_kind(value))
            spool.write(json.dumps(record) + "\n")
            count += 1
        spool.seek(0)
        records = (json.loads(line) for line in spool)
        if ending == ".parquet":
            _write_parquet(records, kinds, stream)
        else:
            _write_csv(records, list(kinds), stream, "," if ending == ".csv" else "\t")
    return count


def _kind(value: Any) -> str:
    if isinstance(value, list) and value:
        inner = {_kind(item) for item in value}
        if inner == {"str"} or inner <= {"int", "float"}:
            return "texts" if inner == {"str"} else "numbers"
        if all(isinstance(item, dict) and item.keys() == {"role", "content"} for item in value):
            return "turns" if all(isinstance(item["content"], str) for item in value) else "json"
    names = {bool: "bool", int: "int", float: "float", str: "str", type(None): "null"}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "json"
    return names.get(type(value), "json")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _write_csv(records: Iterator[Record], columns: list[str], stream: BinaryIO, delimiter: str) -> None:
    text = io.TextIOWrapper(stream, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({name: _cell(value) for name, value in record.items()})
    text.flush()
    text.detach()


def _write_parquet(records: Iterator[Record], kinds: Mapping[str, set[str]], stream: BinaryIO) -> None:
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
    schema = pa.schema([(name, kind or pa.string()) for name, kind in types.items()])
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        while batch := list(itertools.islice(records, _BATCH)):
            for record in batch:
                record |= {name: _json_cell(record[name]) for name in record if types[name] is None}
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))


def _json_cell(value: Any) -> str | None:
    return None if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
