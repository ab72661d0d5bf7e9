"""How a verb takes data: `DATA`, and the options that say how it is read."""

from __future__ import annotations

from typing import Annotated

from tyro.conf import OmitArgPrefixes, Positional, UseAppendAction, arg

from guerdon.data.data_options import ColumnOptions, ReadOptions

Data = Annotated[
    Positional[str],
    arg(
        metavar="DATA",
        help="A file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a folder, a quoted pattern, several parted by "
        "commas, a hub name (owner/name[:config][:split]), a published "
        "set (rewardbench2, judgebench:gpt, rm-bench:FILE ...), - (JSON Lines on standard input), or starter.",
    ),
]
Beside = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="DATA")]
"""Other parts of a split, the option given once for each."""
ColumnsRead = OmitArgPrefixes[ColumnOptions]
AS_THEY_ARE: ColumnOptions = {}
"""Default of `ColumnsRead`."""
ReadingOptions = OmitArgPrefixes[ReadOptions]
AS_IT_IS: ReadOptions = {}
"""Default of `ReadingOptions`."""
