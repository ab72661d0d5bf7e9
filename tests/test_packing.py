"""Every sequence lands in exactly one batch, within the budget, and sees exactly what it would see alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guerdon.collation import Tokens, items_of
from guerdon.packing import batches, by_budget, common_prefix, lay_out

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
