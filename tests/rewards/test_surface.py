"""Each surface measure has the value that a reader would count, in English and in Chinese."""

from __future__ import annotations

from math import log1p

import numpy as np
import pytest

from guerdon.rewards.surface import NAMES, SurfaceFeatures

ENGLISH = SurfaceFeatures().compute(
    ["Alice has 12 apples and Bob has 30. How many apples have Alice and Bob?"],
    ['Alice and Bob have 42 apples, I think! See https://e.org (a "page"):\n- 12 + 30 = 42\n- 2 * 3 = 7'],
)
CHINESE = SurfaceFeatures().compute(["你好吗？"], ["我很好，谢谢你！你好吗？"])


def measured(found, name: str) -> float:
    return float(found.values[0, NAMES.index(name)])


def test_every_text_has_them_all() -> None:
    found = SurfaceFeatures().compute(["p", "", "p"], ["", " \n", "\ud83d"])
    assert found.values.shape == (3, len(NAMES))
    assert np.isfinite(found.values).all()
    assert found.reasons == ("", "", "")


WORDS = "alice and bob have 42 apples i think see https e org a page 12 30 42 2 3 7"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log characters", log1p(95)),
        ("log words", log1p(20)),
        ("letters per word", len(WORDS.replace(" ", "")) / 20),
        ("distinct words, share", 19 / 20),
        ("distinct bigrams, share", 1.0),
        ("capitals, share of characters", 4 / 95),
        ("digits, share of characters", 11 / 95),
        ("non-ASCII, share of characters", 0.0),
        ("log line breaks", log1p(2)),
        ("log list items", log1p(2)),
        ("has a code block", 0.0),
        ("log question marks", 0.0),
        ("log exclamation marks", log1p(1)),
        ("log quotation marks", log1p(2)),
        ("log parentheses", log1p(1)),
        ("commas per word", 1 / 20),
        ("has a link", 1.0),
        ("ends with a closing mark", 0.0),
        ("begins with a capital", 1.0),
        ("begins with a small letter", 0.0),
        ("first person, share of words", 1 / 20),
        ("words of the prompt, share of the response", 7 / 20),
        ("bigrams of the prompt, share of the response", 2 / 19),
        ("words of the prompt that the response has, share", 7 / 10),
        ("is a copy of a part of the prompt", 0.0),
        ("log ratio of words to the prompt's", log1p(20) - log1p(15)),
        ("log numbers", log1p(7)),
        ("numbers of the prompt, share of the response's", 2 / 7),
        ("numbers of the prompt that the response has, share", 1.0),
        ("log right equations", log1p(1)),
        ("log wrong equations", log1p(1)),
        ("has a wrong equation", 1.0),
    ],
)
def test_english(name: str, value: float) -> None:
    assert measured(ENGLISH, name) == pytest.approx(value), name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log characters", log1p(12)),
        ("log words", log1p(9)),
        ("log sentences", log1p(2)),
        ("letters per word", 1.0),
        ("distinct words, share", 6 / 9),
        ("punctuation, share of characters", 3 / 12),
        ("non-ASCII, share of characters", 1.0),
        ("log question marks", log1p(1)),
        ("log exclamation marks", log1p(1)),
        ("commas per word", 1 / 9),
        ("ends with a closing mark", 1.0),
        ("words of the prompt, share of the response", 5 / 9),
        ("bigrams of the prompt, share of the response", 2 / 8),
        ("trigrams of the prompt, share of the response", 1 / 7),
        ("words of the prompt that the response has, share", 1.0),
        ("absolute log ratio of words to the prompt's", log1p(9) - log1p(3)),
    ],
)
def test_chinese(name: str, value: float) -> None:
    assert measured(CHINESE, name) == pytest.approx(value), name


@pytest.mark.parametrize(
    ("text", "right", "wrong"),
    [
        ("48/2 = 24", 1, 0),
        ("2 + 3 * 4 = 14", 1, 0),
        ("10 - 4 - 3 = 3", 1, 0),
        ("$1,200 x 2 = $2,400", 1, 0),
        ("20% * 50 = 10", 1, 0),
        ("6 ÷ 4 = 1.5 and 6 × 4 = 25", 1, 1),
        ("1 / 0 = 5", 0, 0),
        ("x = 5", 0, 0),
        ("100 / 3 = 33.3", 1, 0),
    ],
)
def test_equations_are_reckoned(text: str, right: int, wrong: int) -> None:
    found = SurfaceFeatures().compute([""], [text])
    assert measured(found, "log right equations") == pytest.approx(log1p(right))
    assert measured(found, "log wrong equations") == pytest.approx(log1p(wrong))


def test_a_copy_and_the_place_of_an_overlap_are_seen() -> None:
    prompt = "Correct this: She go home early today. Thanks, greatly appreciated."
    found = SurfaceFeatures().compute([prompt] * 2, ["She go home early today.", "appreciated"])
    copies = found.values[:, NAMES.index("is a copy of a part of the prompt")]
    places = found.values[:, NAMES.index("where in the prompt its words come from, 0 to 1")]
    assert copies.tolist() == [1.0, 1.0]
    assert places[0] < 0.6 < places[1] == pytest.approx(9 / 10)
