from __future__ import annotations

import random

import numpy as np
import pytest

from guerdon.data.near_duplicates import nearest_texts, plain
from guerdon.data.starter import starter_items
from guerdon.text.language import is_chinese


def shingles(text: str) -> set[str]:
    text, width = plain(text), 2 if is_chinese(plain(text)) else 5
    if len(text) < 15 + width - 1:
        width = max(1, len(text))
    return {text[at : at + width] for at in range(len(text) - width + 1)} if text else set()


def edited(text: str, rng: random.Random, share: float) -> str:
    """So many of its words (Chinese: characters) dropped, doubled, or exchanged."""
    words = list(text) if is_chinese(text) else text.split(" ")
    for place in rng.sample(range(len(words)), max(1, round(share * len(words)))):
        words[place] = rng.choice(("", words[place] * 2, "的" if is_chinese(text) else "other"))
    return ("" if is_chinese(text) else " ").join(words)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(
        dict.fromkeys(text for item in starter_items() for text in (item.reference, *(w.text for w in item.worse)))
    )


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.8])
def test_it_is_what_comparing_all_with_all_finds(texts, threshold):
    rng = random.Random(0)
    some = [*texts[:120], *(edited(text, rng, 0.1) for text in texts[60:120]), "", "?!", "Yes.", "yes"]
    sets = [shingles(text) for text in some]
    found = nearest_texts(some, threshold=threshold)
    for place, own in enumerate(sets):
        every = [len(own & s) / max(1, len(own | s)) if other != place else 0.0 for other, s in enumerate(sets)]
        best = max(every)
        assert found.found[place] == (best >= threshold)
        if best >= threshold:
            assert found.similarity[place] == pytest.approx(best)
            assert every[found.place[place]] == pytest.approx(best)


@pytest.mark.parametrize("share", [0.15])
def test_planted_edits_are_found_across_two_parts(texts, share):
    """The goal is all of the exact and 95% of the near duplicates."""
    rng = random.Random(1)
    half = texts[: len(texts) // 2]
    there = [text for text in half if len(plain(text)) >= (12 if is_chinese(text) else 30)]
    found = nearest_texts([edited(text, rng, share) for text in there], half)
    assert np.mean(found.found) >= 0.97
    exact = nearest_texts([f" {text.upper()} " for text in half if plain(text)], half)
    assert exact.found.all()
    assert exact.similarity == pytest.approx(1.0)


def test_strangers_are_not_found_and_short_texts_only_as_a_whole():
    assert not nearest_texts(["Put the egg into boiling water.", "The sun is a star like many others."]).found.any()
    assert not nearest_texts(["The answer is 12.", "The answer is 13."]).found.any()
    assert nearest_texts(["The answer is 12!", "the answer is  12"]).similarity.tolist() == [1, 1]
    assert nearest_texts(["煮鸡蛋要八分钟。"], ["煮鸡蛋要八分钟！", "x"]).place.tolist() == [0]
    assert nearest_texts([]).place.tolist() == nearest_texts([], ["a"]).place.tolist() == []
    assert nearest_texts(["", "..."]).place.tolist() == [-1, -1]


def test_texts_of_one_code_are_not_compared():
    found = nearest_texts(["the same text, word by word"] * 3, apart=[0, 0, 1])
    assert found.place[:2].tolist() == [2, 2]
    assert found.place[2] in (0, 1)
    assert not nearest_texts(["the same text, word by word"] * 3, apart=[0, 0, 0]).found.any()
