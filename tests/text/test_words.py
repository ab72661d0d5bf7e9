"""What a word is, in English and in Chinese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.text.words import split_words, words_of

TEXT = st.text(alphabet="abC1_'’.,!- \n\t(\"“”（）煮蛋。，**", max_size=60)


@given(TEXT)
def test_words_joined_are_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


@given(TEXT)
def test_each_piece_but_a_wordless_text_has_a_word(text: str) -> None:
    pieces = split_words(text)
    assert all(words_of(piece) for piece in pieces) or not words_of(text)
    assert all(pieces)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't do it - yet!", ["Don't ", "do ", "it - ", "yet!"]),
        ("See (this) one.", ["See ", "(this) ", "one."]),
        ("a,b my_name", ["a,", "b ", "my_name"]),
        ("煮八分钟，好（吗）？", ["煮", "八", "分", "钟，", "好", "（吗）？"]),
        ("用GPT-4写。", ["用", "GPT-", "4", "写。"]),
        ("  so", ["  so"]),
        ("...", ["..."]),
        ("", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words
