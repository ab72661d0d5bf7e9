"""The corruption operators: each changes the text, by its random source alone, in the way that it says."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator

import pytest

import guerdon.data.starter.items as items_module
from guerdon.data.starter.items import LANGUAGES, Item, load_items, phrases_for
from guerdon.data.starter.operators import COMPOSES, OPERATORS, compose, composed_grade
from guerdon.data.starter.segments import put_after, put_before, sentences

ITEMS = load_items()
CODE_ONLY = {"buggy-code", "commented-out", "empty-body"}
TRANSLATION_ONLY = {"untranslated", "wrong-language"}
PROSE_ONLY = {"wrong-fact", "repeated"}
LONGER = {"padded", "rude", "repeated", "commented-out"}
SAME_LENGTH = {"shuffled"}
SHORTER = {"truncated"}


def outputs(name: str, draws: int = 2) -> Iterator[tuple[Item, str | None]]:
    for item in ITEMS:
        for draw in range(draws):
            yield item, OPERATORS[name].apply(item.reference, item, random.Random(f"{item.id} {draw}"))


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_change_the_text_and_repeat_themselves(name: str) -> None:
    state = random.getstate()
    first, second = list(outputs(name)), list(outputs(name))
    assert first == second
    assert random.getstate() == state, "the global random source is not used"
    applied = [(item, text) for item, text in first if text is not None]
    assert all(text != item.reference and text.strip() for item, text in applied)
    tasks = {item.task for item, _ in applied}
    if name in CODE_ONLY:
        assert tasks == {"code"}
    elif name in TRANSLATION_ONLY:
        assert tasks == {"translation"}
    else:
        assert len(tasks) == (4 if name in PROSE_ONLY else 5)
    assert {item.language for item, _ in applied} == set(LANGUAGES)


@pytest.mark.parametrize("name", OPERATORS)
def test_operators_change_the_length_as_they_say(name: str) -> None:
    for item, text in outputs(name):
        if text is None:
            continue
        if name in LONGER:
            assert len(text) > len(item.reference)
        if name in SHORTER:
            assert len(text) < len(item.reference)
        if name in SAME_LENGTH:
            assert len(text) == len(item.reference)


def test_most_operators_apply_nearly_everywhere() -> None:
    for name in ("wrong-fact", "off-topic", "padded", "rude", "repeated", "truncated", "shuffled", "hedged"):
        fitting = [text for item, text in outputs(name) if not (name in PROSE_ONLY and item.task == "code")]
        assert sum(text is not None for text in fitting) > 0.85 * len(fitting), name


def test_wrong_fact_is_one_edit() -> None:
    for item, text in outputs("wrong-fact"):
        if text is not None:
            assert text in {item.reference.replace(right, wrong) for right, wrong in item.facts}


def test_padded_rude_and_repeated_keep_the_answer() -> None:
    for name in ("padded", "rude", "repeated"):
        for item, text in outputs(name):
            if text is not None and item.task != "code":
                kept = [sentence.strip().rstrip(".。") for sentence in sentences(item.reference)]
                assert all(sentence in text for sentence in kept), (item.id, name)


def test_shuffled_keeps_the_characters_of_prose_and_the_lines_of_code() -> None:
    for item, text in outputs("shuffled"):
        if text is not None:
            pieces = (lambda t: Counter(t.split("\n"))) if item.task == "code" else Counter
            assert pieces(text) == pieces(item.reference)


def test_truncated_is_a_beginning() -> None:
    for item, text in outputs("truncated"):
        assert text is None or item.reference.startswith(text)


def test_untranslated_ends_in_the_source() -> None:
    for item, text in outputs("untranslated"):
        if text is not None:
            assert item.source is not None
            tail = text[-4:]
            assert item.source.endswith(tail)
            assert not item.reference.endswith(tail)


@pytest.mark.parametrize("language", LANGUAGES)
def test_banks_are_varied_and_divided_between_the_parts(language: str) -> None:
    for name, bank in items_module._phrase_banks().items():
        train, test = (phrases_for(part, language, name) for part in ("train", "test"))
        assert train + test == bank[language]
        assert len({*train, *test}) == len(bank[language]) >= (6 if name == "stub-comments" else 12)


def test_nobody_in_despair_is_insulted() -> None:
    protected = [item for item in ITEMS if "988" in item.reference or "12356" in item.reference]
    assert protected
    for item in protected:
        assert OPERATORS["rude"].apply(item.reference, item, random.Random(0)) is None


# --- compositions


@pytest.mark.parametrize(("first", "second"), [(a, b) for a, seconds in COMPOSES.items() for b in seconds])
def test_a_composition_keeps_the_first_fault_and_adds_another(first: str, second: str) -> None:
    applied = 0
    for item, once in outputs(first, draws=1):
        if once is None:
            continue
        twice = compose(first, second, once, item, random.Random(item.id))
        if twice is None:
            continue
        applied += 1
        assert twice not in (once, item.reference)
        assert not item.reference.startswith(twice)
        if {first, second} == {"wrong-fact"}:
            assert sum(wrong in twice for _, wrong in item.facts) >= 2
        if second == "truncated":
            assert sentences(item.reference)[-1].strip() not in twice
    assert applied >= 5
    assert composed_grade(first, second) < OPERATORS[first].grade


def test_what_does_not_compose_gives_none() -> None:
    item = ITEMS[0]
    assert compose("off-topic", "wrong-fact", "anything", item, random.Random(0)) is None


# --- sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("At 6 p.m. Mr. Fox left. He ran.", ["At 6 p.m. Mr. Fox left. ", "He ran."]),
        ("It costs 1.5 m. now.", ["It costs 1.5 m. now."]),
        ('"Yes. No." He left.', ['"Yes. No." ', "He left."]),
        ("- One.\n- Two.", ["- One.\n", "- Two."]),
        ("1. 甲。\n2. 乙。", ["1. 甲。", "\n", "2. 乙。"]),
        ("她说：“好。走吧。”然后走了。", ["她说：“好。走吧。”", "然后走了。"]),
        ("", []),
    ],
)
def test_sentences(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected


def test_sentences_join_to_the_text() -> None:
    for item in ITEMS:
        assert "".join(sentences(item.reference)) == item.reference


def test_putting_sentences_in() -> None:
    assert put_after("One.\n", "Two.", "en") == "One. Two.\n"
    assert put_after("A headline", "Two.", "en") == "A headline. Two."
    assert put_after("一。", "二。", "zh") == "一。二。"
    assert put_before("- One", "So:", "en") == "So:\n- One"
    assert put_before("One", "So:", "en") == "So: One"
