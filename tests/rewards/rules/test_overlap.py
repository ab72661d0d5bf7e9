"""chrF, beside sacrebleu's."""

from __future__ import annotations

import math

import pytest

from guerdon.rewards.rules import ChrF
from guerdon.rewards.rules.overlap import chrf

TEXTS = [
    "The cat sat on the mat.",
    "A cat sat on a mat",
    "木星是最大的行星。",
    "最大的行星是木星",
    "x",
    "",
    "the the the",
]


def test_it_is_sacrebleus() -> None:
    import sacrebleu

    for text in TEXTS:
        for reference in TEXTS[:-2]:
            expected = sacrebleu.sentence_chrf(text, [reference]).score / 100
            assert chrf(text, reference) == pytest.approx(expected), (text, reference)


def test_as_a_reward() -> None:
    found = ChrF().score(["?"] * 4, [TEXTS[0], TEXTS[1], "", "x"], references=[TEXTS[0], TEXTS[0], TEXTS[0], None])
    assert found[0] == pytest.approx(1)
    assert 0.4 < found[1] < 1
    assert found[2] == 0
    assert math.isnan(found[3])
