from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guerdon.data.split import group_folds, leaks, split_rows
from guerdon.errors import ConfigError, DataError
from guerdon.types import Comparison, Ranking, Rating, Reference


def pair(prompt: str, group: str = "", chosen: str = "good", rejected: str = "bad") -> Comparison:
    return Comparison(prompt=prompt, chosen=chosen, rejected=rejected, group=group)


@given(
    sizes=st.lists(st.integers(1, 20), min_size=3, max_size=40),
    test=st.floats(0.05, 0.5),
    validation=st.sampled_from([0.0, 0.1, 0.3]),
    seed=st.integers(0, 5),
)
@settings(deadline=None)
def test_groups_stay_whole_and_every_row_is_somewhere(
    sizes: list[int], test: float, validation: float, seed: int
) -> None:
    rows = [pair(f"{group} {at}", f"g{group}") for group, size in enumerate(sizes) for at in range(size)]
    parts = split_rows(rows, test=test, validation=validation, seed=seed)
    named = [parts.train, parts.validation, parts.test]
    assert all(part or not validation for part in named)
    assert parts.train
    assert parts.test
    assert sorted(row.prompt for part in named for row in part) == sorted(row.prompt for row in rows)
    groups = [{row.group for row in part} for part in named]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert abs(len(parts.test) - test * len(rows)) <= max(sizes)


def test_shares_are_met_and_the_order_of_rows_does_not_matter() -> None:
    rows = [pair(f"prompt {at // 3}", chosen=f"good {at}") for at in range(3000)]
    parts = split_rows(rows, test=0.2, validation=0.1)
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (2100, 300, 600)
    backwards = split_rows(rows[::-1], test=0.2, validation=0.1)
    assert backwards.test == parts.test[::-1]
    assert split_rows(rows, seed=1).test != split_rows(rows, seed=0).test
    assert parts.test == sorted(parts.test, key=rows.index), "the order within a part is kept"


def test_new_rows_hardly_change_an_old_split() -> None:
    rows = [pair(f"prompt {at}") for at in range(1000)]
    before = {row.prompt for row in split_rows(rows[:900]).test}
    after = {row.prompt for row in split_rows(rows).test}
    assert len(before & after) > 0.9 * len(before)


def test_prompts_that_differ_in_case_and_space_are_one_group() -> None:
    rows = [pair("What  is it?"), pair("what is IT?"), pair("Other")]
    parts = split_rows(rows, test=0.4)
    assert sorted(len(part) for part in (parts.train, parts.test)) == [1, 2]
    assert leaks(parts.train, parts.test) == []


def test_too_few_groups_and_shares_that_do_not_fit() -> None:
    with pytest.raises(DataError, match="2 rows, all have the same prompt, cannot be split into 2 parts"):
        split_rows([pair("a"), pair("a")])
    with pytest.raises(DataError, match="2 rows, in 1 group, cannot be split into 2 parts"):
        split_rows([pair(prompt, "g") for prompt in "ab"])
    with pytest.raises(DataError, match="2 groups, cannot be split into 3 parts"):
        split_rows([pair("a"), pair("b")], validation=0.1)
    for shares in ({"test": 0.0}, {"test": 1.0}, {"test": 0.6, "validation": 0.4}, {"validation": -0.1}):
        with pytest.raises(ConfigError, match="shares of the rows"):
            split_rows([pair("a"), pair("b")], **shares)


def test_leaks_name_the_prompt_and_count_the_responses() -> None:
    train = [pair("Q?", "g1"), Rating(prompt="R?", response="a", scores={"score": 1.0})]
    test = [
        pair(" q?", "g2", chosen="GOOD", rejected="new"),
        Ranking(prompt="r?", responses=("a", "b"), scores=(1.0, 0.0)),
        Reference(prompt="S?", reference="good"),
    ]
    assert leaks(train, test) == [
        "the prompt 'q?' is in training too with 1 of its responses",
        "the prompt 'r?' is in training too with 1 of its responses",
    ]
    assert leaks(train, [pair("Q?", chosen="x", rejected="y")]) == ["the prompt 'Q?' is in training too"]
    assert leaks(train, [pair("new " * 100)]) == []


# --- folds


@given(
    keys=st.lists(st.sampled_from(["a", "A ", "b", " b\n", "c", "D", "d  d", "D d"]), min_size=4, max_size=60),
    folds=st.integers(2, 4),
    seed=st.integers(0, 3),
)
@settings(deadline=None)
def test_no_two_folds_share_a_group(keys: list[str], folds: int, seed: int) -> None:
    groups = [" ".join(key.casefold().split()) for key in keys]
    if len(set(groups)) < folds:
        with pytest.raises(DataError, match=f"cannot be divided into {folds} folds"):
            group_folds(keys, folds, seed)
        return
    dealt = group_folds(keys, folds, seed).tolist()
    assert len(set(zip(groups, dealt, strict=True))) == len(set(groups)), "a group lies in one fold"
    assert set(dealt) == set(range(folds))
    sizes = [len({group for group, own in zip(groups, dealt, strict=True) if own == fold}) for fold in range(folds)]
    assert max(sizes) - min(sizes) <= 1


def test_folds_depend_on_the_seed_and_not_on_the_order() -> None:
    keys = [f"prompt {at}" for at in range(50)]
    assert group_folds(keys[::-1], 5).tolist() == group_folds(keys, 5).tolist()[::-1]
    assert group_folds(keys, 5, seed=1).tolist() != group_folds(keys, 5).tolist()
