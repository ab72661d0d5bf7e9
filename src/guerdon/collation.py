"""Token sequences as arrays, and rows of them as the tensors that a model reads.

Three layouts give the same scores:

* padded: one row a sequence, padded to the longest of its batch;
* shared: one row a *group* of sequences that begin alike. The row is prefix + suffix_1 + ... + suffix_k, the mask
  hides the suffixes from each other, and the positions of each suffix restart where the prefix ends, so that every
  token sees exactly what it would see in a row of its own (compare arXiv:2410.20305). For full causal attention only;
* packed: all groups one behind the other in a single row, without padding; `guerdon.row_attention` lets each suffix
  read its prefix and itself, and nothing else.

A batch is cut out of a `TokenTable` by a fixed number of array operations, however many tokens it has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Layout = Literal["padded", "shared", "packed"]

Integers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Tokens:
    """One sequence as the model reads it."""

    ids: tuple[int, ...]
    types: tuple[int, ...] | None = None
    """Segment ids for encoders that have them (`token_type_ids`)."""
    ends: tuple[int, ...] | None = None
    """Where scores are read, if not at the last token alone: the end of every step, for a process reward."""

    def __len__(self) -> int:
        return len(self.ids)


class TokenTable:
    """Sequences of tokens, end to end: one array each for their ids, their segments and their ends."""

    def __init__(self, sequences: Sequence[Tokens]) -> None:
        self.lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        self.starts = _starts(self.lengths)
        self.ids = _joined([one.ids for one in sequences])
        typed = len(sequences) > 0 and sequences[0].types is not None
        self.types = _joined([one.types or () for one in sequences]) if typed else None
        ends = [one.ends or (len(one) - 1,) for one in sequences]
        self.has_ends = any(one.ends is not None for one in sequences)
        """Whether scores are read elsewhere than at last tokens."""
        self.end_counts = np.fromiter(map(len, ends), np.int64, len(ends))
        self.end_starts, self.ends = _starts(self.end_counts), _joined(ends)

    @classmethod
    def of(cls, tokens: Sequence[Tokens] | TokenTable) -> TokenTable:
        """The table of sequences; a table as it is."""
        return tokens if isinstance(tokens, TokenTable) else cls(tokens)

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, item: int) -> Tokens:
        """One sequence."""
        start, stop = self.starts[item], self.starts[item] + self.lengths[item]
        first, last = self.end_starts[item], self.end_starts[item] + self.end_counts[item]
        return Tokens(
            tuple(self.ids[start:stop].tolist()),
            None if self.types is None else tuple(self.types[start:stop].tolist()),
            tuple(self.ends[first:last].tolist()) if self.has_ends else None,
        )

    def ids_of(self, item: int) -> Integers:
        """The ids of one sequence, shape (tokens,)."""
        start = self.starts[item]
        return self.ids[start : start + self.lengths[item]]


def _joined(parts: Sequence[Sequence[int]]) -> Integers:
    return np.fromiter(chain.from_iterable(parts), np.int64, sum(map(len, parts)))


def _starts(lengths: Integers) -> Integers:
    """Where each part of a concatenation begins."""
    starts: Integers = np.cumsum(lengths) - lengths
    return starts


def _counted(lengths: Integers) -> Integers:
    """0, 1, ... within each part of a concatenation."""
    counted: Integers = np.arange(lengths.sum()) - np.repeat(_starts(lengths), lengths)
    return counted


@dataclass(frozen=True, slots=True)
class SharedRow:
    """Sequences that one row holds: `items` index the caller's list; their first `prefix` tokens are equal."""

    items: tuple[int, ...]
    prefix: int
    length: int
    """Tokens of the row: the prefix once, and every suffix."""


def items_of(rows: Iterable[SharedRow]) -> list[int]:
    """The sequences of rows, in their order."""
    return [item for row in rows for item in row.items]


Batch = dict[str, Any]
"""Keyword arguments of `RewardNet.forward`, tensors on the CPU:

`input_ids` (rows, length); `attention_mask` (rows, length), or for shared rows `segments` (rows, length), see
`attention_mask`; `position_ids` (rows, length), for decoders; `token_type_ids` (rows, length), where the model has
them; `row` and `column` (n,): where the last token of each sequence stands; for sequences with ends of their own, (m,)
where each of these stands, and `sequence` (m,): which sequence it is of.

A packed batch is one row; in place of a mask it has the fields of `guerdon.row_attention.Packed`.
"""


def collate(
    tokens: Sequence[Tokens] | TokenTable,
    rows: Sequence[SharedRow],
    *,
    pad_id: int,
    positions: bool,
    layout: Layout = "shared",
) -> Batch:
    """Rows to a batch. Scores come out in the order of `items_of(rows)`.

    Args:
        tokens: what the items of rows index.
        rows: what the batch holds; each has one item where the layout is padded.
        pad_id: any valid id: padding is found by the mask, never by its id (pad may equal EOS).
        positions: give `position_ids` to padded rows too (decoders).
        layout: see above; shared rows that hold one sequence each are padded ones, whose mask is smaller.
    """
    laid = _Laid(TokenTable.of(tokens), rows)
    if layout == "packed":
        return laid.packed()
    if any(len(row.items) > 1 for row in rows):
        return laid.shared(pad_id)
    return laid.padded(pad_id, positions=positions, left=False)


def collate_padded(tokens: Sequence[Tokens] | TokenTable, *, pad_id: int, positions: bool, left: bool = False) -> Batch:
    """All sequences, one row each, padded on the right or the left; positions count from each row's first real token.

    See `collate` for `pad_id` and `positions`.
    """
    table = TokenTable.of(tokens)
    rows = [SharedRow((item,), 0, length) for item, length in enumerate(table.lengths.tolist())]
    return _Laid(table, rows).padded(pad_id, positions=positions, left=left)


class _Laid:
    """The tokens of rows, one behind the other, in pieces: a row's prefix, if it has one, and each of its suffixes."""

    def __init__(self, table: TokenTable, rows: Sequence[SharedRow]) -> None:
        pieces = []
        for number, row in enumerate(rows):
            if row.prefix:
                pieces.append((number, row.items[0], 0, row.prefix, 0))
            pieces += [(number, item, row.prefix, -1, at) for at, item in enumerate(row.items, start=1)]
        self.table = table
        self.row, self.item, self.start, stop, self.segment = np.array(pieces, np.int64).T
        """Of each piece: its row, sequence, first token there, and number in its row; 0 is the prefix."""
        self.length = np.where(self.segment > 0, table.lengths[self.item], stop) - self.start
        self.row_length = np.bincount(self.row, self.length, len(rows)).astype(np.int64)
        self.row_at = _starts(self.row_length)
        """The first token of each row, among all."""
        self.at = _starts(self.length)
        """The first token of each piece, among all."""
        within = _counted(self.length)
        self.source = np.repeat(table.starts[self.item] + self.start, self.length) + within
        self.position = np.repeat(self.start, self.length) + within

    def padded(self, pad_id: int, *, positions: bool, left: bool) -> Batch:
        """A row each, with a mask (rows, length)."""
        moved = self.row_length.max() - self.row_length if left else np.zeros_like(self.row_length)
        real = np.ones(len(self.source), np.int64)
        batch = self._grid(pad_id, moved) | {"attention_mask": self._scatter(real, 0, moved)} | self._reads(moved)
        if positions:
            batch["position_ids"] = self._scatter(self.position, 0, moved)
        return batch

    def shared(self, pad_id: int) -> Batch:
        """A row each, with segments: 0 the prefix, k the k-th suffix, -1 padding."""
        moved = np.zeros_like(self.row_length)
        segments = self._scatter(np.repeat(self.segment, self.length), -1, moved)
        positions = self._scatter(self.position, 0, moved)
        return self._grid(pad_id, moved) | {"segments": segments, "position_ids": positions} | self._reads(moved)

    def packed(self) -> Batch:
        """One row of all tokens, and which of them each piece reads as keys: its row's prefix, and itself."""
        before = np.where(self.segment > 0, self.start, 0)
        key_length = before + self.length
        within = _counted(key_length)
        own = within - np.repeat(before, key_length)
        keys = np.where(
            own < 0, np.repeat(self.row_at[self.row], key_length) + within, np.repeat(self.at, key_length) + own
        )
        return {
            "input_ids": torch.from_numpy(self.table.ids[self.source])[None],
            "position_ids": torch.from_numpy(self.position)[None],
            "query_starts": _bounds(self.length),
            "key_starts": _bounds(key_length),
            "longest_query": int(self.length.max()),
            "longest_key": int(key_length.max()),
            **({"keys": torch.from_numpy(keys)} if before.any() else {}),
            **self._reads(self.row_at, one_row=True),
        }

    def _grid(self, pad_id: int, moved: Integers) -> Batch:
        """Ids and segments of encoders, a row each."""
        batch = {"input_ids": self._scatter(self.table.ids[self.source], pad_id, moved)}
        if self.table.types is not None:
            batch["token_type_ids"] = self._scatter(self.table.types[self.source], 0, moved)
        return batch

    def _scatter(self, values: Integers, padding: int, moved: Integers) -> Tensor:
        """One value a token into (rows, length), each row `moved` to the right."""
        grid = np.full((len(self.row_length), self.row_length.max()), padding, np.int64)
        row = np.repeat(np.arange(len(self.row_length)), self.row_length)
        grid[row, _counted(self.row_length) + moved[row]] = values
        return torch.from_numpy(grid)

    def _reads(self, moved: Integers, *, one_row: bool = False) -> Batch:
        """`row` and `column`, and `sequence` where a sequence has ends of its own; rows begin at columns `moved`."""
        table, suffix = self.table, self.segment > 0
        item, prefix, row = self.item[suffix], self.start[suffix], self.row[suffix]
        first = (self.at - self.row_at[self.row])[suffix]  # column of the suffix, in its row
        counts = table.end_counts[item]
        of = np.repeat(np.arange(len(item)), counts)
        end = table.ends[table.end_starts[item][of] + _counted(counts)]
        column = np.where(end < prefix[of], end, end - prefix[of] + first[of]) + moved[row[of]]
        found = {"row": torch.from_numpy(np.zeros_like(of) if one_row else row[of]), "column": torch.from_numpy(column)}
        return found | ({"sequence": torch.from_numpy(of)} if table.has_ends else {})


def _bounds(lengths: Integers) -> Tensor:
    """0 and the end of each part of a concatenation, int32, shape (parts + 1,)."""
    return torch.from_numpy(np.concatenate(([0], np.cumsum(lengths))).astype(np.int32))


def attention_mask(segments: Tensor) -> Tensor:
    """Who sees whom in shared rows, bool (rows, 1, length, length): a token sees the prefix and its own segment.

    Neither sees what comes later. `segments` (rows, length) is 0 in the prefix, k in the k-th suffix, and -1 in
    padding, which sees itself only: a row of the mask that hides everything would give NaN.
    """
    query, key = segments.unsqueeze(2), segments.unsqueeze(1)
    length = segments.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=segments.device)
    sees = (((key == 0) | (key == query)) & (query >= 0) & causal) | itself
    return sees.unsqueeze(1)


def with_mask(batch: Batch) -> Batch:
    """A batch with the mask of its shared rows in place of their segments: made where the model is, it is not moved."""
    rest = {name: value for name, value in batch.items() if name != "segments"}
    return rest | {"attention_mask": attention_mask(batch["segments"])} if "segments" in batch else rest
