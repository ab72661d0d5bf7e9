"""Raw records from JSON Lines, JSON, CSV, TSV, Parquet, standard input and the hub, streamed in constant memory."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from guerdon.data.jsonarray import array_records
from guerdon.data.records import LINE_LIMIT, Record, Records, as_record
from guerdon.data.table_files import hub_records, parquet_records
from guerdon.errors import DataError
from guerdon.types import Origin

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
COMPRESSIONS = (".gz", ".zst")
_HUB_NAME = re.compile(r"(?P<name>[\w.-]+/[\w.-]+)(?::(?P<split>[\w.-]+))?")
_READ_ERRORS = (OSError, EOFError, zlib.error)
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def iter_records(source: str) -> Records:
    """Streams the raw records of a source; a record that cannot be read is a `DataError` in its place.

    Args:
        source: a file (`.jsonl .ndjson .json .csv .tsv .parquet`, each also `.gz` or `.zst`), `-` for JSON Lines on
            standard input, or a hub name `owner/name[:split]`.

    Yields:
        Where the record stands, and the record or what is wrong with it. The message begins with `file:line`.

    Raises:
        DataError: the source does not exist, has an unknown ending, or is not what its ending says.
        MissingExtraError: a hub name without the package `datasets`.
    """
    if source == "-":
        yield from _text_records(cast(io.BufferedReader, sys.stdin.buffer), "<stdin>", ".jsonl")
        return
    path = Path(source)
    if not path.exists():
        yield from _hub_records(source)
    elif path.is_dir():
        raise DataError(f"{source} is a folder; give one file in it, for example {_example_in(path)}")
    else:
        yield from _file_records(path)


def split_ending(path: str | Path) -> tuple[str, str]:
    """The ending that names the format and the one that names the compression, each `""` where there is none."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return (suffixes[-1] if suffixes else ""), packed


def _file_records(path: Path) -> Records:
    name = str(path)
    ending, _ = split_ending(path)
    if path.is_file() and ending not in ENDINGS:
        raise DataError(f"{name}: unknown file ending {ending!r}; known: {', '.join(ENDINGS)}, each also .gz or .zst")
    try:
        with open_bytes(path) as stream:
            if ending == ".parquet":
                yield from parquet_records(stream, name)
            else:
                yield from _text_records(stream, name, ending)
    except _READ_ERRORS as error:
        raise DataError(f"{name}: cannot be read: {error}") from error


def _hub_records(source: str) -> Records:
    match = _HUB_NAME.fullmatch(source)
    if match is None or split_ending(match["name"])[0] in ENDINGS:
        raise DataError(f"{source}: no such file (a hub set is given as owner/name or owner/name:split)")
    yield from hub_records(match["name"], match["split"])


def _example_in(folder: Path) -> str:
    fitting = sorted(path for path in folder.iterdir() if split_ending(path)[0] in ENDINGS)
    return str(fitting[0] if fitting else folder / "data.jsonl")


@contextlib.contextmanager
def open_bytes(path: Path) -> Iterator[io.BufferedReader]:
    """Opens a file for reading bytes, unpacked. What it is packed with is seen from its first bytes, not its name."""
    # Small buffers for packed files: of a file that is cut off, the rows before the last buffer are still read.
    with io.BufferedReader(io.FileIO(path), 2**20) as raw:
        magic = raw.peek(4)[:4]
        if magic[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as packed:
                yield io.BufferedReader(cast(io.RawIOBase, packed), 2**16)
        elif magic == _ZSTD_MAGIC:
            import pyarrow as pa

            with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd") as packed:
                yield io.BufferedReader(packed, 2**16)
        else:
            yield cast("io.BufferedReader[Any]", raw)


def _text_records(stream: io.BufferedReader, name: str, ending: str) -> Records:
    head = stream.peek(4096)[:4096]
    _refuse_binary(head, name)
    if ending in (".csv", ".tsv"):
        return csv_records(stream, name, "," if ending == ".csv" else "\t")
    if ending == ".json" and not _starts_like_json_lines(head):
        return array_records(stream, name)
    return json_line_records(stream, name)


def _refuse_binary(head: bytes, name: str) -> None:
    if head[:4] == b"PAR1":
        raise DataError(f"{name}: this is a Parquet file; give it the ending .parquet")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{name}: this is UTF-16 text; save it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head)
    if controls > len(head) // 20 and (b"\x00" in head or not _is_utf8(head)):
        raise DataError(f"{name}: this is a binary file, not text; known endings: {', '.join(ENDINGS)}")


def _is_utf8(head: bytes) -> bool:
    """Whether the beginning of a file, maybe cut within a character, is UTF-8."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _starts_like_json_lines(head: bytes) -> bool:
    """Whether a `.json` file is JSON Lines in truth: its first line is an object by itself (or too long to see)."""
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    if not first.startswith(b"{"):
        return False
    return first.endswith(b"}") or b"\n" not in head


def json_line_records(stream: BinaryIO, name: str) -> Records:
    """One JSON object a line; blank lines are skipped."""
    number = 0
    while True:
        number += 1
        origin = Origin(name, number)
        try:
            line = stream.readline(LINE_LIMIT + 1)
            too_long = len(line) > LINE_LIMIT
            while too_long and line and not line.endswith(b"\n"):
                line = stream.readline(LINE_LIMIT)
        except _READ_ERRORS as error:
            yield origin, DataError(f"{origin}: the file cannot be read beyond here, it is cut off or damaged: {error}")
            return
        if too_long:
            yield (
                origin,
                DataError(f"{origin}: the line is longer than {LINE_LIMIT // 2**20} MiB; is it one row a line?"),
            )
        elif not line:
            return
        elif line.strip():
            yield origin, _parse_line(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line, origin)


def _parse_line(line: bytes, origin: Origin) -> Record | DataError:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(origin, f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}")
    if "\x00" in text:
        return DataError(f"{origin}: the line holds a NUL byte; is the file damaged?")
    try:
        return as_record(json.loads(text), origin)
    except RecursionError:
        return DataError(f"{origin}: broken JSON: nested too deeply")
    except json.JSONDecodeError as error:
        return DataError(f"{origin}: broken JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return DataError(f"{origin}: broken JSON: {error}")


def not_utf8(origin: Origin, detail: str) -> DataError:
    """The fault of a record that is in another encoding."""
    return DataError(f"{origin}: not UTF-8 ({detail}); save the file as UTF-8")


def csv_records(stream: BinaryIO, name: str, delimiter: str) -> Records:
    """A table with a header line; an empty cell counts as not there. The line given is the row's first."""
    # Surrogate escapes let one row in a wrong encoding be reported while the rest is read.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(LINE_LIMIT)
    try:
        yield from _csv_rows(csv.reader(text, delimiter=delimiter, strict=True), name, delimiter)
    finally:
        text.detach()  # the stream is its opener's to close


def _csv_rows(reader: CsvReader, name: str, delimiter: str) -> Records:
    header: list[str] | None = None
    while True:
        origin = Origin(name, reader.line_num + 1)
        try:
            cells = next(reader, None)
        except csv.Error as error:
            yield (
                origin,
                DataError(f"{origin}: broken {'CSV' if delimiter == ',' else 'TSV'}: {error}; is a quote missing?"),
            )
            return
        except _READ_ERRORS as error:
            yield origin, DataError(f"{origin}: the file cannot be read beyond here, it is cut off or damaged: {error}")
            return
        if cells is None:
            return
        if not cells:
            continue
        if header is None:
            header = _header(cells, origin)
        else:
            yield origin, _csv_record(header, cells, origin)


def _header(cells: list[str], origin: Origin) -> list[str]:
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise DataError(f"{origin}: the header names {', '.join(map(repr, twice))} more than once")
    return cells


def _csv_record(header: list[str], cells: list[str], origin: Origin) -> Record | DataError:
    if len(cells) != len(header):
        return DataError(
            f"{origin}: the row has {len(cells)} cells, the header {len(header)}; is a text with commas unquoted?"
        )
    for column, cell in zip(header, cells, strict=True):
        if not cell.isascii() and any("\udc80" <= character <= "\udcff" for character in cell):
            return not_utf8(origin, f"column {column!r}")
    return {column: cell or None for column, cell in zip(header, cells, strict=True)}
