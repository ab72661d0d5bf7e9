"""Records from Parquet files and from the Hugging Face hub; the libraries that read them are imported on use."""

from __future__ import annotations

import io
import shutil
import tempfile
from typing import Any, BinaryIO

from guerdon.data.records import Records
from guerdon.errors import DataError, MissingExtraError
from guerdon.types import Origin

_BATCH_BYTES = 16 * 2**20


def parquet_records(stream: BinaryIO, name: str) -> Records:
    """The rows of a Parquet file; `Origin.line` is the 1-based row.

    Raises:
        DataError: it is not a Parquet file, or it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    with tempfile.TemporaryFile() as unpacked:
        file: BinaryIO = stream
        if not _is_plain(stream):  # Parquet is read from its end, so a packed one is unpacked to disk first
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


def _is_plain(stream: BinaryIO) -> bool:
    return isinstance(getattr(stream, "raw", None), io.FileIO) and stream.seekable()


def hub_records(name: str, split: str | None) -> Records:
    """The rows of a data set on the hub, streamed; `Origin.line` is the 1-based row.

    Args:
        name: `owner/name`.
        split: a split of the set; by default `train`, or the only one that there is.

    Raises:
        MissingExtraError: the package `datasets` is not installed.
        DataError: there is no such set or split, or the hub cannot be reached.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingExtraError(
            f"Reading {name} from the hub (no file of that name exists)", "datasets", "hub"
        ) from error
    source = f"{name}:{split}" if split else name
    try:
        rows: Any = datasets.load_dataset(name, split=split or _default_split(name), streaming=True)
        for number, record in enumerate(rows, start=1):
            yield Origin(source, number), dict(record)
    except DataError:
        raise
    except Exception as error:  # the library raises dozens of kinds: no such set, no network, gated, a broken script
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{source}: no file of that name exists, and it cannot be read from the hub: {reason}"
        ) from error


def _default_split(name: str) -> str:
    import datasets

    splits = datasets.get_dataset_split_names(name)
    if "train" in splits or len(splits) == 1:
        return "train" if "train" in splits else str(splits[0])
    raise DataError(f"{name} has several splits; choose one: {', '.join(f'{name}:{split}' for split in splits)}")
