"""Units of text: they are the whole text, they go and come, and their values add up."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from guerdon.explain.units import Case, Unit, cut, joined_units, sum_onto, text_without, units_of
from guerdon.types import Message

TEXT = st.text(alphabet="ab A1.!?,;: \n煮蛋。，(", max_size=50)


@given(TEXT)
def test_units_are_the_whole_text(text: str) -> None:
    for level in ("word", "sentence", "segment"):
        assert "".join(text[start:stop] for start, stop in cut(text, level)) == text


@given(TEXT, st.data())
def test_values_of_words_add_up_in_sentences(text: str, data: st.DataObject) -> None:
    case = Case("?", text)
    words, sentences = units_of(case, ["response"], "word"), units_of(case, ["response"], "sentence")
    values = np.array(data.draw(st.lists(st.integers(-9, 9), min_size=len(words), max_size=len(words))), dtype=float)
    assert sum_onto(values, words, sentences).sum() == values.sum()
    joined = joined_units(words, 4)
    assert len(joined) == min(4, len(words))
    assert sum_onto(values, words, joined).sum() == values.sum()


def test_text_goes_or_is_masked() -> None:
    text = "One, two. 三四。"
    assert text_without(text, [(5, 10)]) == "One, 三四。"
    assert text_without(text, [(0, 5), (5, 10)], "[M]") == "[M] [M] 三四。"
    assert text_without(text, [(10, 13)], "…") == "One, two. ……"
    assert text_without(text, []) == text


def test_the_prompt_of_a_chat_loses_what_somebody_wrote_and_no_role() -> None:
    chat = (Message("system", "Be brief."), Message("user", "How long? Say it."))
    case = Case(chat, "Eight minutes.")
    units = units_of(case, ["prompt"], "sentence")
    assert [case.text("prompt")[unit.start : unit.stop] for unit in units] == ["Be brief.", "How long? ", "Say it."]
    changed = case.without([units[1]]).prompt
    assert changed == (Message("system", "Be brief."), Message("user", "Say it."))
    alone = Case((Message("user", "How long?"),), "a")
    assert alone.without([Unit("prompt", 0, 4)]).prompt == (Message("user", "long?"),)


def test_places_are_changed() -> None:
    case = Case("p", "a b", "c")
    assert case.swapped() == Case("p", "c", "a b")
    assert case.without([Unit("response", 0, 2), Unit("other", 0, 1)]) == Case("p", "b", "")
