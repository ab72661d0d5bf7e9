"""Token sequences into batches: by token budget and length, and with a shared prefix computed once.

Scoring, training and policies use the same batches, so they see the same numbers. Two layouts give the same scores:

* padded: one row a sequence, padded to the longest of its batch;
* shared: one row a *group* of sequences that begin alike. The row is prefix + suffix_1 + ... + suffix_k, the mask
  hides the suffixes from each other, and the positions of each suffix restart where the prefix ends, so that every
  token sees exactly what it would see in a row of its own (compare arXiv:2410.20305). For full causal attention only.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


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


@dataclass(frozen=True, slots=True)
class SharedRow:
    """Sequences that one row holds: `items` index the caller's list; their first `prefix` tokens are equal."""

    items: tuple[int, ...]
    prefix: int
    length: int
    """Tokens of the row: the prefix once, and every suffix."""


Batch = dict[str, Tensor]
"""Keyword arguments of `RewardNet.forward`:

`input_ids` (rows, length); `attention_mask` (rows, length), or for shared rows bool (rows, 1, length, length);
`position_ids` (rows, length), for decoders; `token_type_ids` (rows, length), where the model has them;
`row` and `column` (n,): where the last token of each sequence stands; for sequences with ends of their own, (m,) where
each of these stands, and `sequence` (m,): which sequence it is of.
"""


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many leading tokens all sequences share, leaving each at least one token of its own."""
    shared = takewhile(lambda tokens: len(set(tokens)) == 1, zip(*sequences, strict=False))
    return min(sum(1 for _ in shared), min(map(len, sequences)) - 1)


def lay_out(
    tokens: Sequence[Tokens], items: Iterable[int], prompt_of: Sequence[Hashable], *, longest: int, shared: bool
) -> list[SharedRow]:
    """Puts the sequences of `items` (indices of `tokens`) into rows: one each, or, `shared`, those of one prompt.

    `prompt_of` says what the prompt of each sequence is, parallel to `tokens`; equal keys may share a row, whose common
    prefix is then computed once. A row of several sequences has at most `longest` tokens (a single one may be longer).
    """
    if not shared:
        return [SharedRow((item,), 0, len(tokens[item])) for item in items]
    groups: dict[Hashable, list[int]] = {}
    for item in items:
        groups.setdefault(prompt_of[item], []).append(item)
    return [row for members in groups.values() for row in _rows_of_group(tokens, members, longest)]


def _rows_of_group(tokens: Sequence[Tokens], members: list[int], longest: int) -> Iterator[SharedRow]:
    prefix = common_prefix([tokens[item].ids for item in members]) if len(members) > 1 else 0
    start = 0
    while start < len(members):
        length, end = len(tokens[members[start]]), start + 1
        while end < len(members) and length + len(tokens[members[end]]) - prefix <= longest:
            length += len(tokens[members[end]]) - prefix
            end += 1
        several = end - start > 1
        yield SharedRow(tuple(members[start:end]), prefix if several else 0, length)
        start = end


def default_budget() -> int:
    """Padded tokens of a batch: a GPU is full with more than two cores are."""
    return 16384 if torch.cuda.is_available() else 1024


def by_budget(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Cuts rows into batches of like length whose padded size (rows x longest) is within `budget` tokens.

    Gives indices of `lengths`, each once; longest first, so that the batch that needs most memory is the first one.
    """
    batches: list[list[int]] = []
    longest = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batches and (len(batches[-1]) + 1) * longest <= budget:
            batches[-1].append(index)
        else:
            batches.append([index])
            longest = lengths[index]
    return batches


def pad(sequences: Iterable[Sequence[int]], value: int, *, left: bool = False) -> Tensor:
    """Stacks sequences of ids into (rows, length of the longest), int64."""
    rows = [torch.tensor(list(sequence), dtype=torch.long) for sequence in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=value, padding_side="left" if left else "right")


def collate_padded(tokens: Sequence[Tokens], *, pad_id: int, positions: bool, left: bool = False) -> Batch:
    """One row a sequence, padded on its right or its left.

    `pad_id` is any valid id: padding is found by the mask, never by its id (pad may equal EOS). `positions` gives
    `position_ids` (decoders), counted from each row's first real token.
    """
    length = max(len(sequence) for sequence in tokens)
    ends = [[(length - len(one) if left else 0) + end for end in one.ends or (len(one) - 1,)] for one in tokens]
    batch = {
        "input_ids": pad((sequence.ids for sequence in tokens), pad_id, left=left),
        "attention_mask": pad(([1] * len(sequence) for sequence in tokens), 0, left=left),
        **_reads(tokens, range(len(tokens)), ends),
    }
    if positions:
        batch["position_ids"] = pad((range(len(sequence)) for sequence in tokens), 0, left=left)
    if tokens[0].types is not None:
        batch["token_type_ids"] = pad((sequence.types or () for sequence in tokens), 0, left=left)
    return batch


def collate(tokens: Sequence[Tokens], rows: Sequence[SharedRow], *, pad_id: int, positions: bool) -> Batch:
    """Rows to a batch; see `collate_padded`. Scores come out in the order of `items_of(rows)`."""
    if any(len(row.items) > 1 for row in rows):
        return collate_shared(tokens, rows, pad_id=pad_id)
    return collate_padded([tokens[item] for item in items_of(rows)], pad_id=pad_id, positions=positions)


def items_of(rows: Iterable[SharedRow]) -> list[int]:
    """The sequences of rows, in their order."""
    return [item for row in rows for item in row.items]


def collate_shared(tokens: Sequence[Tokens], rows: Sequence[SharedRow], *, pad_id: int) -> Batch:
    """One row a group. Scores come out in the order of `rows`, and of `items` within each."""
    length = max(row.length for row in rows)
    ids, positions, mask, at_row, ends = [], [], [], [], []
    for index, row in enumerate(rows):
        flat, place = list(tokens[row.items[0]].ids[: row.prefix]), list(range(row.prefix))
        segment = [0] * row.prefix  # 0 the prefix, k the k-th suffix
        for number, item in enumerate(row.items, start=1):
            suffix = tokens[item].ids[row.prefix :]
            moved = len(flat) - row.prefix
            of_item = tokens[item].ends or (len(tokens[item]) - 1,)
            ends.append([end if end < row.prefix else end + moved for end in of_item])
            flat += suffix
            place += range(row.prefix, row.prefix + len(suffix))
            segment += [number] * len(suffix)
            at_row.append(index)
        ids.append(flat)
        positions.append(place)
        mask.append(_shared_mask(torch.tensor(segment), length))
    return {
        "input_ids": pad(ids, pad_id),
        "attention_mask": torch.stack(mask).unsqueeze(1),
        "position_ids": pad(positions, 0),
        **_reads([tokens[item] for item in items_of(rows)], at_row, ends),
    }


def _reads(tokens: Sequence[Tokens], rows: Sequence[int], ends: Sequence[Sequence[int]]) -> Batch:
    """`row` and `column`, and `sequence` where a sequence has ends of its own."""
    counts = torch.tensor([len(own) for own in ends])
    found = {
        "row": torch.tensor(rows).repeat_interleave(counts),
        "column": torch.tensor([end for own in ends for end in own]),
    }
    if any(one.ends is not None for one in tokens):
        found["sequence"] = torch.arange(len(ends)).repeat_interleave(counts)
    return found


def _shared_mask(segment: Tensor, length: int) -> Tensor:
    """Who sees whom, bool (length, length): a token sees the prefix and its own segment, up to itself.

    Padding sees itself only: a row of the mask that hides everything would give NaN.
    """
    n = len(segment)
    mask = torch.eye(length, dtype=torch.bool)
    sees = (segment.unsqueeze(0) == 0) | (segment.unsqueeze(0) == segment.unsqueeze(1))
    mask[:n, :n] = sees & torch.ones(n, n, dtype=torch.bool).tril()
    return mask


def reads_shared_rows(backbone: Any, config: Any) -> bool:
    """Whether a causal model computes shared rows exactly.

    Transformers takes a 4-D mask as it is and so drops sliding windows silently; recurrent layers and ALiBi do not
    read positions or masks at all. Only full attention with `position_ids` qualifies. `config` is the whole model's.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    windowed = any(getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size", "alibi"))
    if getattr(text, "use_sliding_window", True) is False:  # Qwen2 states a window and switches it off
        windowed = False
    return (
        kinds == {"full_attention"}
        and not windowed
        and config._attn_implementation in ("sdpa", "eager")
        and "position_ids" in inspect.signature(backbone.forward).parameters
    )


def batches(
    tokens: Sequence[Tokens],
    items: Iterable[int],
    prompt_of: Sequence[Hashable],
    *,
    budget: int,
    pad_id: int,
    shared: bool,
    positions: bool,
) -> Iterator[tuple[list[SharedRow], Batch]]:
    """Cuts sequences into batches of `budget` padded tokens, longest first; for the rest see `lay_out` and `collate`.

    Yields:
        The rows of a batch, and the batch. A row that is longer than the budget is a batch of its own.
    """
    rows = lay_out(tokens, items, prompt_of, longest=budget, shared=shared)
    for chosen in by_budget([row.length for row in rows], budget):
        members = [rows[index] for index in chosen]
        yield members, collate(tokens, members, pad_id=pad_id, positions=positions)
