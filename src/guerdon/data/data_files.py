"""Raw records from JSON Lines, JSON, CSV, TSV, Parquet, standard input and the hub, streamed in constant memory."""

from __future__ import annotations

import codecs
import contextlib
import csv
import gzip
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from guerdon.data.json_files import (
    LINE_LIMIT,
    READ_ERRORS,
    WRAPPERS,
    Record,
    Records,
    array_records,
    json_line_records,
    not_utf8,
)
from guerdon.data.places import ENDINGS, FILE_ENDINGS, places_of, split_ending
from guerdon.data.values import DECIMAL_COMMA, TEXT_COLUMNS, DecimalComma
from guerdon.errors import DataError, MissingExtraError
from guerdon.hub import is_offline
from guerdon.types import Origin

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

_HUB_NAME = re.compile(r"(?P<name>\w[\w.-]*/\w[\w.-]*)(?::(?P<config>[\w.-]+/?))??(?::(?P<split>[\w.-]+))?")
_WRAPPED = re.compile(rb'[^\[]{0,200}"(%s)"\s*:\s*\[\s*\{' % "|".join(WRAPPERS).encode())
_SEPARATOR = re.compile("sep=(.)")
_BATCH_BYTES = 16 * 2**20
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def iter_records(source: str, *, quoted: bool = True) -> Records:
    """Streams the raw records of a source; a record that cannot be read is a `DataError` in its place.

    Args:
        source: a file (`.jsonl .ndjson .json .csv .tsv .parquet .arrow`, each also `.gz` or `.zst`), a folder or a
            pattern of them, several parted by commas, `-` for JSON Lines on standard input, or a hub name
            `owner/name[:config][:split]`; a config that ends with / is a folder of it.
        quoted: whether cells of a table may be quoted; else a quotation mark is a character like any other.

    Yields:
        Where the record stands, and the record or what is wrong with it. The message begins with `file:line`.

    Raises:
        DataError: the source does not exist, has an unknown ending, or is not what its ending says.
        MissingExtraError: a hub name without the package `datasets`.
    """
    if source == "-":
        yield from _text_records(cast(io.BufferedReader, sys.stdin.buffer), "<stdin>", ".jsonl")
        return
    for place in places_of(source):
        if isinstance(place, Path):
            yield from _file_records(place, quoted)
        else:
            yield from _hub_records(place)


def _file_records(path: Path, quoted: bool) -> Records:
    name = str(path)
    ending, _ = split_ending(path)
    if path.is_file() and ending not in FILE_ENDINGS:
        sheet = ". Fix: save the sheet as CSV" if ending in (".xlsx", ".xls", ".ods") else ""
        raise DataError(
            f"{name}: unknown file ending {ending!r}; known: {', '.join(ENDINGS)}, each also .gz or .zst{sheet}"
        )
    try:
        with open_bytes(path) as stream:
            if ending == ".arrow":
                yield from _arrow_records(stream, name)
            elif ending == ".parquet":
                yield from _parquet_records(stream, name)
            else:
                yield from _text_records(stream, name, ending, quoted)
    except READ_ERRORS as error:
        raise DataError(f"{name}: cannot be read: {error}") from error


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


def _text_records(stream: io.BufferedReader, name: str, ending: str, quoted: bool = True) -> Records:
    head = stream.peek(4096)[:4096]
    _refuse_binary(head, name)
    if ending in (".csv", ".tsv"):
        return csv_records(stream, name, _delimiter(head, "," if ending == ".csv" else "\t"), quoted=quoted)
    first = head.removeprefix(b"\xef\xbb\xbf").lstrip().split(b"\n", 1)[0].strip()
    if (ending == ".json" and not _starts_like_json_lines(head)) or first in (b"{", b"["):
        return array_records(stream, name)  # rows over several lines, whatever the ending says
    return json_line_records(stream, name)


def _refuse_binary(head: bytes, name: str) -> None:
    if head[:4] == b"PAR1":
        raise DataError(f"{name}: this is a Parquet file; give it the ending .parquet")
    if head.startswith(b"version https://git-lfs"):
        raise DataError(f"{name}: this is a pointer of Git LFS, not the file itself. Fix: git lfs pull")
    if head.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
        raise DataError(f"{name}: this is a web page, not data. Fix: load the raw file")
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
    if not first.startswith(b"{") or _WRAPPED.match(first):
        return False
    return first.endswith(b"}") or b"\n" not in head


def _delimiter(head: bytes, expected: str) -> str:
    """What parts the cells of the first line: what the ending says, unless only another usual sign stands there.

    Spreadsheets of countries with a decimal comma write semicolons, and Excel reads which from a line `sep=;`.
    """
    first = head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace").strip("\r\n")
    if stated := _SEPARATOR.fullmatch(first):
        return stated[1]
    bare = re.sub(r'"[^"]*"', "", first)
    return next((sign for sign in (expected, ";", "\t", ",", "|") if sign in bare), expected)


def csv_records(stream: BinaryIO, name: str, delimiter: str, *, quoted: bool = True) -> Records:
    """A table with a header line; an empty cell counts as not there. The line given is the row's first."""
    # Surrogate escapes let one row in a wrong encoding be reported while the rest is read.
    text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    csv.field_size_limit(LINE_LIMIT)
    try:
        cells = (
            csv.reader(text, delimiter=delimiter, strict=True)
            if quoted
            else csv.reader(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
        )
        yield from _csv_rows(cells, name, delimiter)
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
        except READ_ERRORS as error:
            yield origin, DataError(f"{origin}: the file cannot be read beyond here, it is cut off or damaged: {error}")
            return
        if cells is None:
            return
        if not cells or (header is None and origin.line == 1 and _SEPARATOR.fullmatch(delimiter.join(cells))):
            continue
        if header is None:
            header = _header(cells, origin)
        else:
            if delimiter == ";":
                cells = [DecimalComma(cell) if DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
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
    record: Record = {column: cell or None for column, cell in zip(header, cells, strict=True)}
    if '"prompt"' in (record.get(TEXT_COLUMNS) or "") and "prompt" in record:
        record["prompt"] = record["prompt"] or ""  # the empty prompt: it is there, and empty
    return record


def _parquet_records(stream: BinaryIO, name: str) -> Records:
    """The rows of a Parquet file; `Origin.line` is the 1-based row."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as unpacked:
        file: BinaryIO = stream
        plain = isinstance(getattr(stream, "raw", None), io.FileIO) and stream.seekable()
        if not plain:  # Parquet is read from its end, so a packed one is unpacked to disk first
            shutil.copyfileobj(stream, unpacked, 2**20)
            unpacked.seek(0)
            file = unpacked
        try:
            table = pq.ParquetFile(file)
            mean_bytes = sum(table.metadata.row_group(i).total_byte_size for i in range(table.num_row_groups)) // max(
                1, table.metadata.num_rows
            )
            number = 0
            for batch in table.iter_batches(batch_size=max(1, min(4096, _BATCH_BYTES // max(1, mean_bytes)))):
                for record in batch.to_pylist():
                    number += 1
                    yield Origin(name, number), record
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise DataError(f"{name}: not a readable Parquet file: {str(error).splitlines()[0]}") from error


def _arrow_records(stream: BinaryIO, name: str) -> Records:
    """The rows of a file that `datasets.save_to_disk` wrote; `Origin.line` is the 1-based row."""
    import pyarrow as pa

    number = 0
    try:
        for batch in pa.ipc.open_stream(stream):
            for start in range(0, batch.num_rows, 1024):
                for record in batch.slice(start, 1024).to_pylist():
                    number += 1
                    yield Origin(name, number), record
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{name}: not a readable Arrow file: {str(error).splitlines()[0]}") from error


def _meant(source: str) -> str:
    """The files beside which this one would stand that are called almost so."""
    place = Path(source).expanduser()
    with contextlib.suppress(OSError):
        near = get_close_matches(place.name, [one.name for one in place.parent.iterdir()], n=3, cutoff=0.8)
        if near:
            return f"; did you mean {' or '.join(str(place.parent / name) for name in near)}?"
    return ""


def _hub_records(source: str) -> Records:
    """The rows of a data set on the hub, streamed; by default of its split `train`, or of the only one."""
    match = _HUB_NAME.fullmatch(source)
    if match is None or split_ending(match["name"])[0] in ENDINGS:
        raise DataError(
            f"{source}: no such file{_meant(source)} (a set on the hub is owner/name, with :config, :split or "
            ":config:split)"
        )
    name, config, split = match["name"], match["config"], match["split"]
    folder = config if config and config.endswith("/") else None
    config = None if folder else config
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"Reading {name} from the hub (no file of that name exists)", "datasets", "hub"
        ) from error
    try:
        is_offline()  # found out once: the library would try six times
        if split and not match["config"] and split in datasets.get_dataset_config_names(name):
            config, split = split, None
        splits = [split] if split else datasets.get_dataset_split_names(name, config, data_dir=folder)
        if len(splits) > 1 and "train" not in splits:
            names = ", ".join(f"{source}:{one}" for one in splits)
            raise DataError(f"{name} has several splits; choose one: {names}")
        wanted = "train" if "train" in splits else splits[0]
        for number, record in enumerate(
            datasets.load_dataset(name, config, data_dir=folder, split=wanted, streaming=True), start=1
        ):
            yield Origin(source, number), dict(record)
    except DataError:
        raise
    except Exception as error:  # the library raises dozens of kinds: no such set, no network, gated, a broken script
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{source}: no file of that name exists, and it cannot be read from the hub: {reason}"
        ) from error
