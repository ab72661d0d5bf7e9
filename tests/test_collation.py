"""However sequences are laid out, every token sees exactly what it would see alone."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from guerdon.collation import (
    Batch,
    SharedRow,
    Tokens,
    TokenTable,
    attention_mask,
    collate,
    collate_padded,
    items_of,
    with_mask,
)
from guerdon.packing import lay_out

PAD = 0
SEQUENCE = st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple)
SEQUENCES = st.lists(SEQUENCE, min_size=1, max_size=12)
PROMPTS = st.lists(st.integers(0, 2), min_size=12, max_size=12)


def tokens_of(sequences: list[tuple[int, ...]]) -> list[Tokens]:
    return [Tokens(ids) for ids in sequences]


def shared_rows(sequences: list[tuple[int, ...]], longest: int, prompts: list[int]) -> list[SharedRow]:
    return lay_out(tokens_of(sequences), range(len(sequences)), prompts, longest=longest, shared=True)


@given(SEQUENCES, st.booleans())
def test_padded_rows_hold_the_sequences_on_either_side(sequences: list[tuple[int, ...]], left: bool) -> None:
    batch = collate_padded(tokens_of(sequences), pad_id=PAD, positions=True, left=left)
    for index, ids in enumerate(sequences):
        real = batch["attention_mask"][index].bool()
        assert tuple(batch["input_ids"][index][real].tolist()) == ids
        assert batch["position_ids"][index][real].tolist() == list(range(len(ids)))
        assert batch["row"][index] == index
        assert batch["column"][index] == real.nonzero().max()


def test_segments_are_padded_with_the_ids() -> None:
    table = TokenTable([Tokens((5, 6, 7), (0, 1, 1)), Tokens((5,), (1,))])
    batch = collate_padded(table, pad_id=9, positions=False)
    assert batch["token_type_ids"].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 9, 9]]
    assert "position_ids" not in batch


def seen(batch: Batch, row: int, column: int) -> list[tuple[int, int]]:
    """(position, id) of every token that the token at `column` sees."""
    mask = batch["attention_mask"][row, 0, column]
    return sorted(zip(batch["position_ids"][row][mask].tolist(), batch["input_ids"][row][mask].tolist(), strict=True))


@given(SEQUENCES, st.integers(1, 40), PROMPTS)
def test_in_a_shared_row_every_token_sees_what_it_would_see_alone(
    sequences: list[tuple[int, ...]], longest: int, prompts: list[int]
) -> None:
    rows = shared_rows(sequences, longest, prompts)
    batch = with_mask(collate(tokens_of(sequences), rows, pad_id=PAD, positions=True))
    if "segments" not in collate(tokens_of(sequences), rows, pad_id=PAD, positions=True):
        assert batch["attention_mask"].dim() == 2, "nothing is shared"
        return
    for item, row, end in zip(items_of(rows), batch["row"].tolist(), batch["column"].tolist(), strict=True):
        ids = sequences[item]
        assert seen(batch, row, end) == list(enumerate(ids))
        prefix = rows[row].prefix
        own = range(end - (len(ids) - prefix) + 1, end + 1)
        columns = [*range(prefix), *own]
        for position, column in enumerate(columns):
            assert seen(batch, row, column) == list(enumerate(ids[: position + 1]))


def test_nothing_sees_padding_and_no_row_of_the_mask_is_empty() -> None:
    segments = torch.tensor([[0, 0, 1, 1, 2, -1, -1], [1, 1, 1, 1, 1, 1, 1]])
    mask = attention_mask(segments)[:, 0]
    assert mask.any(dim=2).all()
    assert not mask[0, :5, 5:].any()
    assert mask[0, 5:].tolist() == torch.eye(7, dtype=torch.bool)[5:].tolist()
    assert torch.equal(mask[1], torch.ones(7, 7, dtype=torch.bool).tril())


@given(SEQUENCES, st.integers(1, 40), PROMPTS)
def test_in_a_packed_row_every_piece_reads_its_prefix_and_itself(
    sequences: list[tuple[int, ...]], longest: int, prompts: list[int]
) -> None:
    rows = shared_rows(sequences, longest, prompts)
    batch = collate(tokens_of(sequences), rows, pad_id=PAD, positions=True, layout="packed")
    ids, positions = batch["input_ids"][0], batch["position_ids"][0]
    assert len(ids) == sum(row.length for row in rows), "no padding"
    keys = batch.get("keys", torch.arange(len(ids)))
    queries, reads = batch["query_starts"].tolist(), batch["key_starts"].tolist()
    assert (queries[-1], reads[-1]) == (len(ids), len(keys))
    assert batch["longest_query"] == np.diff(queries).max()
    assert batch["longest_key"] == np.diff(reads).max()
    for item, column in zip(items_of(rows), batch["column"].tolist(), strict=True):
        piece = next(i for i, stop in enumerate(queries[1:]) if column < stop)
        assert column == queries[piece + 1] - 1
        read = keys[reads[piece] : reads[piece + 1]]
        assert ids[read].tolist() == list(sequences[item])
        assert positions[read].tolist() == list(range(len(sequences[item])))
        own = queries[piece + 1] - queries[piece]
        assert read[-own:].tolist() == list(range(queries[piece], queries[piece + 1])), "causal, aligned at the end"
    assert batch["row"].tolist() == [0] * len(sequences)


def test_ends_within_a_prefix_and_behind_it_are_found_in_every_layout() -> None:
    tokens = [Tokens((1, 2, 3, 4), ends=(1, 3)), Tokens((1, 2, 5), ends=(1, 2)), Tokens((6, 7), ends=(1,))]
    rows = [SharedRow((2,), 0, 2), SharedRow((0, 1), 2, 5)]
    own = [(2, 7), (0, 2), (0, 4), (1, 2), (1, 5)]  # sequence, the id read there
    alone = [SharedRow((item,), 0, len(tokens[item])) for item in (2, 0, 1)]
    for layout, laid in (("shared", rows), ("packed", rows), ("padded", alone)):
        batch = collate(tokens, laid, pad_id=PAD, positions=True, layout=layout)  # type: ignore[arg-type]
        read = batch["input_ids"][batch["row"], batch["column"]].tolist()
        assert [(items_of(laid)[n], i) for n, i in zip(batch["sequence"].tolist(), read, strict=True)] == own
