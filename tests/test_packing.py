"""Every sequence lands in exactly one batch, within the budget, and sees exactly what it would see alone."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from guerdon.packing import (
    Batch,
    SharedRow,
    Tokens,
    batches,
    by_budget,
    collate_padded,
    collate_shared,
    common_prefix,
    items_of,
    lay_out,
)

PAD = 0
SEQUENCE = st.lists(st.integers(0, 2), min_size=1, max_size=9).map(tuple)
SEQUENCES = st.lists(SEQUENCE, min_size=1, max_size=12)


def tokens_of(sequences: list[tuple[int, ...]]) -> list[Tokens]:
    return [Tokens(ids) for ids in sequences]


# --- cutting


@given(st.lists(st.integers(1, 50), max_size=30), st.integers(1, 120))
def test_rows_are_cut_once_each_within_the_budget_and_longest_first(lengths: list[int], budget: int) -> None:
    cut = by_budget(lengths, budget)
    assert sorted(index for batch in cut for index in batch) == list(range(len(lengths)))
    for batch in cut:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    flat = [lengths[i] for batch in cut for i in batch]
    assert flat == sorted(flat, reverse=True)


@given(st.lists(SEQUENCE, min_size=1, max_size=5))
def test_the_common_prefix_is_the_longest_that_leaves_each_a_token(sequences: list[tuple[int, ...]]) -> None:
    n = common_prefix(sequences)
    shortest = min(map(len, sequences))
    assert n < shortest
    assert len({s[:n] for s in sequences}) == 1
    assert n == shortest - 1 or len({s[: n + 1] for s in sequences}) > 1


@given(SEQUENCES, st.integers(1, 30), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_shared_rows_hold_each_sequence_once_and_only_of_one_prompt(
    sequences: list[tuple[int, ...]], longest: int, prompts: list[int]
) -> None:
    rows = lay_out(tokens_of(sequences), range(len(sequences)), prompts, longest=longest, shared=True)
    assert sorted(item for row in rows for item in row.items) == list(range(len(sequences)))
    for row in rows:
        members = [sequences[i] for i in row.items]
        assert len({prompts[i] for i in row.items}) == 1
        assert len({m[: row.prefix] for m in members}) == 1
        assert row.length == row.prefix + sum(len(m) - row.prefix for m in members)
        assert len(members) == 1 or row.length <= longest


# --- layouts


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
    batch = collate_padded([Tokens((5, 6, 7), (0, 1, 1)), Tokens((5,), (1,))], pad_id=9, positions=False)
    assert batch["token_type_ids"].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert batch["input_ids"].tolist() == [[5, 6, 7], [5, 9, 9]]
    assert "position_ids" not in batch


def seen(batch: Batch, row: int, column: int) -> list[tuple[int, int]]:
    """(position, id) of every token that the token at `column` sees."""
    mask = batch["attention_mask"][row, 0, column]
    return sorted(zip(batch["position_ids"][row][mask].tolist(), batch["input_ids"][row][mask].tolist(), strict=True))


@given(SEQUENCES, st.integers(1, 40), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_in_a_shared_row_every_token_sees_what_it_would_see_alone(
    sequences: list[tuple[int, ...]], longest: int, prompts: list[int]
) -> None:
    rows = lay_out(tokens_of(sequences), range(len(sequences)), prompts, longest=longest, shared=True)
    batch = collate_shared(tokens_of(sequences), rows, pad_id=PAD)
    order = [item for row in rows for item in row.items]
    for item, row, end in zip(order, batch["row"].tolist(), batch["column"].tolist(), strict=True):
        ids = sequences[item]
        assert seen(batch, row, end) == list(enumerate(ids))
        prefix = rows[row].prefix
        own = range(end - (len(ids) - prefix) + 1, end + 1)
        columns = [*range(prefix), *own]
        for position, column in enumerate(columns):
            assert seen(batch, row, column) == list(enumerate(ids[: position + 1]))


@given(SEQUENCES)
def test_nothing_sees_padding_and_no_row_of_the_mask_is_empty(sequences: list[tuple[int, ...]]) -> None:
    rows = [SharedRow((i,), 0, len(s)) for i, s in enumerate(sequences)]
    mask = collate_shared(tokens_of(sequences), rows, pad_id=PAD)["attention_mask"][:, 0]
    assert mask.any(dim=2).all()
    for row, ids in zip(mask, sequences, strict=True):
        assert not row[: len(ids), len(ids) :].any()
        assert torch.equal(row[len(ids) :, : len(ids)].any(), torch.tensor(False))


# --- both together


@given(SEQUENCES, st.integers(4, 60), st.booleans(), st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_batches_hold_the_items_asked_for_once_in_the_order_of_their_scores(
    sequences: list[tuple[int, ...]], budget: int, shared: bool, prompts: list[int]
) -> None:
    tokens = tokens_of(sequences)
    items = list(range(0, len(sequences), 2))
    found: list[int] = []
    packed = batches(tokens, items, prompts, budget=budget, pad_id=PAD, shared=shared, positions=True)
    for held, batch in packed:
        order = items_of(held)
        found += order
        rows, length = batch["input_ids"].shape
        assert rows * length <= budget or rows == 1
        for item, row, end in zip(order, batch["row"].tolist(), batch["column"].tolist(), strict=True):
            assert batch["input_ids"][row, end] == sequences[item][-1]
            assert batch["position_ids"][row, end] == len(sequences[item]) - 1
    assert sorted(found) == items
