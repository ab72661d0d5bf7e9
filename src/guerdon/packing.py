"""Which token sequences are computed together: by token budget and length, and with a shared prefix computed once.

Scoring, training and policies use the same batches, so they see the same numbers. How rows become tensors, and why the
layouts give the same scores, stands in `guerdon.collation`.
"""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from guerdon.collation import Batch, Layout, SharedRow, Tokens, TokenTable, collate


def common_prefix(sequences: Sequence[Sequence[int] | np.ndarray[Any, Any]]) -> int:
    """How many leading tokens all sequences share, leaving each at least one token of its own."""
    shared = min(map(len, sequences)) - 1
    first = np.asarray(sequences[0][:shared])
    for other in sequences[1:]:
        differ = first[:shared] != np.asarray(other[:shared])
        shared = int(differ.argmax()) if differ.any() else shared
    return shared


def lay_out(
    tokens: Sequence[Tokens] | TokenTable,
    items: Iterable[int],
    prompt_of: Sequence[Hashable],
    *,
    longest: int,
    shared: bool,
) -> list[SharedRow]:
    """Puts the sequences of `items` (indices of `tokens`) into rows: one each, or, `shared`, those of one prompt.

    `prompt_of` says what the prompt of each sequence is, parallel to `tokens`; equal keys may share a row, whose common
    prefix is then computed once. A row of several sequences has at most `longest` tokens (a single one may be longer).
    """
    table = TokenTable.of(tokens)
    if not shared:
        return [SharedRow((item,), 0, int(table.lengths[item])) for item in items]
    groups: dict[Hashable, list[int]] = {}
    for item in items:
        groups.setdefault(prompt_of[item], []).append(item)
    return [row for members in groups.values() for row in _rows_of_group(table, members, longest)]


def _rows_of_group(table: TokenTable, members: list[int], longest: int) -> Iterator[SharedRow]:
    prefix = common_prefix([table.ids_of(item) for item in members]) if len(members) > 1 else 0
    lengths: list[int] = table.lengths[members].tolist()
    start = 0
    while start < len(members):
        length, end = lengths[start], start + 1
        while end < len(members) and length + lengths[end] - prefix <= longest:
            length += lengths[end] - prefix
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


def computed_tokens(rows: Sequence[SharedRow], layout: Layout) -> int:
    """How many tokens a batch of rows computes, padding included."""
    lengths = [row.length for row in rows]
    return sum(lengths) if layout == "packed" else len(lengths) * max(lengths)


def pad(sequences: Iterable[Sequence[int]], value: int, *, left: bool = False) -> Tensor:
    """Stacks sequences of ids into (rows, length of the longest), int64."""
    rows = [torch.tensor(list(sequence), dtype=torch.long) for sequence in sequences]
    return pad_sequence(rows, batch_first=True, padding_value=value, padding_side="left" if left else "right")


def reads_shared_rows(backbone: Any, config: Any) -> bool:
    """Whether a causal model computes shared rows exactly.

    Transformers takes a 4-D mask as it is and so drops sliding windows silently; recurrent layers and ALiBi do not
    read positions or masks at all; its `eager` attention adds a mask of truth values instead of hiding by it. Only full
    attention by `sdpa` with `position_ids` qualifies. `config` is the whole model's.
    """
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    windowed = any(getattr(text, name, None) for name in ("sliding_window", "attention_chunk_size", "alibi"))
    if getattr(text, "use_sliding_window", True) is False:  # Qwen2 states a window and switches it off
        windowed = False
    return (
        kinds == {"full_attention"}
        and not windowed
        and config._attn_implementation == "sdpa"
        and "position_ids" in inspect.signature(backbone.forward).parameters
    )


def batches(
    tokens: Sequence[Tokens] | TokenTable,
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
    table = TokenTable.of(tokens)
    rows = lay_out(table, items, prompt_of, longest=budget, shared=shared)
    for chosen in by_budget([row.length for row in rows], budget):
        members = [rows[index] for index in chosen]
        yield members, collate(table, members, pad_id=pad_id, positions=positions)
