"""The hand-written items: the rules that their writers kept."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from statistics import mean

import pytest

import guerdon.data.starter.items as items_module
from guerdon.data.starter.items import LANGUAGES, TASKS, Item, deal_parts, load_items, subset_of
from guerdon.types import prompt_text

ITEMS = load_items()
SUBSETS = sorted({item.subset for item in ITEMS})


def norm(text: str) -> str:
    return " ".join(text.split()).casefold()


def test_there_are_200_prompts_over_all_tasks_in_both_languages() -> None:
    assert len({norm(prompt_text(item.prompt)) for item in ITEMS}) == len(ITEMS) >= 200
    counts = Counter((item.task, item.language) for item in ITEMS)
    assert set(counts) == {(task, language) for task in TASKS for language in LANGUAGES}
    assert min(counts.values()) >= 20


def test_records_have_the_documented_keys_in_order() -> None:
    keys = ["id", "task", "language", "prompt", "reference", "worse", "facts"]
    for record in items_module._records():
        assert list(record) == keys + ["tests"] * (record["task"] == "code"), record["id"]
        assert json.loads(json.dumps(record)) == record


def test_ids_name_task_and_language() -> None:
    assert len({item.id for item in ITEMS}) == len(ITEMS)
    for item in ITEMS:
        assert subset_of(item.id).startswith(item.task)
        assert subset_of(item.id).endswith(item.language), item.id


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_an_item_keeps_the_rules(item: Item) -> None:
    texts = [item.reference, *(worse.text for worse in item.worse)]
    assert all(text.strip() for text in texts)
    shortest, longest = (30, 300) if item.language == "zh" else (60, 600)
    assert shortest <= len(item.reference) <= longest

    grades = [worse.grade for worse in item.worse]
    assert len(grades) == 4
    assert len(set(grades)) >= 3
    assert set(grades) <= {0, 1, 2, 3}
    assert all(worse.fault and worse.fault == worse.fault.lower() and " " not in worse.fault for worse in item.worse)

    shares = [len(worse.text) / len(item.reference) for worse in item.worse]
    assert sum(share >= 1.05 for share in shares) == 2, "two of the worse answers are longer"
    assert sum(share <= 0.95 for share in shares) == 2, "two of the worse answers are shorter"

    assert 1 <= len(item.facts) <= 3
    for right, wrong in item.facts:
        assert item.reference.count(right) == 1
        assert right != wrong

    if not isinstance(item.prompt, str):
        assert {message.role for message in item.prompt} <= {"system", "user", "assistant"}
        assert item.prompt[-1].role == "user"
    assert (item.source is not None) == (item.task == "translation")
    assert (item.tests is not None) == (item.task == "code")


def test_no_text_stands_twice() -> None:
    texts = Counter(norm(text) for item in ITEMS for text in (item.reference, *(worse.text for worse in item.worse)))
    assert [text for text, count in texts.items() if count > 1] == []


@pytest.mark.parametrize("subset", SUBSETS)
def test_grades_do_not_follow_length(subset: str) -> None:
    longer, shorter = [], []
    for item in ITEMS:
        if item.subset == subset:
            for worse in item.worse:
                (longer if len(worse.text) > len(item.reference) else shorter).append(worse.grade)
    assert mean(longer) == pytest.approx(mean(shorter), abs=0.2)


def test_a_fifth_of_each_subset_is_the_test_part() -> None:
    for subset in SUBSETS:
        parts = Counter(item.part for item in ITEMS if item.subset == subset)
        assert parts["test"] == round(0.2 * parts.total())


def test_parts_do_not_depend_on_the_order_of_the_items() -> None:
    ids = [item.id for item in ITEMS]
    assert deal_parts(reversed(ids)) == deal_parts(ids) == {item.id: item.part for item in ITEMS}


def test_donors_come_from_the_same_subset_and_part() -> None:
    references = defaultdict(set)
    for item in ITEMS:
        references[item.subset, item.part].add(item.reference)
    for item in ITEMS:
        assert set(item.elsewhere) == references[item.subset, item.part] - {item.reference}
        assert len(item.elsewhere) >= 3
