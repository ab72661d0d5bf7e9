from __future__ import annotations

import random
import re
import unicodedata

import pytest

from guerdon.data.starter import starter_rows
from guerdon.perturbations import layout
from guerdon.perturbations.measures import count_of
from guerdon.perturbations.perturbation import SAME_MEANING, phrases
from guerdon.perturbations.table import BIASES, PERTURBATIONS, TRANSFORMATIONS
from guerdon.types import Message

ENGLISH = (
    "To boil an egg, put it into boiling water for about 8 minutes. It is important that the water is hot, because the "
    'egg would not cook otherwise. John said he does not like cold eggs. For example, his mother "always" uses a big '
    "pot of her favorite color."
)
CHINESE = (
    "煮鸡蛋的时候，先把水烧开。然后放入2个鸡蛋，用 timer 计时，因为这样比较快，所以他很喜欢这个方法。"
    "小明的爸爸说“不要太久”，你可以试试。"
)
LISTED = {
    "en": "Use these:\n1. A **pot** of water\n2. An egg that is fresh",
    "zh": "需要准备：\n1. 一口**锅**和水\n2. 新鲜的鸡蛋",
}
ASKED = {"en": "I have an egg. How do I boil it?", "zh": "我有一个鸡蛋。怎么煮鸡蛋？"}
TEXTS = {"en": ENGLISH, "zh": CHINESE}


LAYOUTS = [one for one in TRANSFORMATIONS if one.change.__module__ == layout.__name__]


def letters(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", text) if letter.isalnum())


def changed(name: str, language: str = "en", text: str | None = None, seed: int = 0) -> str:
    found = PERTURBATIONS[name].apply(ASKED[language], text or TEXTS[language], seed=seed)
    assert found is not None
    return found.changed


@pytest.mark.parametrize("language", ["en", "zh"])
def test_there_are_enough_in_either_language(language):
    applied = [
        one
        for one in PERTURBATIONS.values()
        if any(
            one.apply(ASKED[language], text) for text in (TEXTS[language], LISTED[language], TEXTS[language] + "\n好")
        )
    ]
    families = {one.family for one in applied}
    assert len(families - {SAME_MEANING}) >= 12
    assert sum(one.same_meaning for one in applied) >= 12
    missing = {one.name for one in PERTURBATIONS.values() if language in one.languages} - {one.name for one in applied}
    assert missing <= {"quoted"}, "every line of the table does something to one of these texts"


def test_names_are_unique_and_those_that_keep_the_meaning_are_liked_as_much():
    assert len(PERTURBATIONS) == len(BIASES) + len(TRANSFORMATIONS)
    assert {one.liked for one in TRANSFORMATIONS} == {"same"}
    assert not any(one.same_meaning for one in BIASES)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_seed_gives_the_same_text_whatever_was_asked_before(name):
    one = PERTURBATIONS[name]
    language = one.languages[0]
    first = one.apply(ASKED[language], TEXTS[language])
    random.seed(1)
    PERTURBATIONS["typos"].apply("something else", "Another text that is here.")
    assert one.apply((Message("user", ASKED[language]),), TEXTS[language]) == first
    for text in (
        "",
        " \n",
        "1 + 1 = 2",
        "```\nx = 1\n```",
        "Ein Text auf Deutsch, den hier wirklich niemand ändern will.",
    ):
        assert one.apply("p", text) is None


def test_seeds_differ():
    assert len({changed("typos", seed=seed) for seed in range(5)}) > 1
    assert len({changed("padding", "zh", seed=seed) for seed in range(5)}) > 1


@pytest.mark.parametrize("one", [one for one in BIASES if one.measure], ids=lambda one: one.name)
def test_a_measure_rises_with_what_is_put_in(one):
    for language in one.languages:
        found = one.apply(ASKED[language], TEXTS[language])
        assert found is not None
        assert one.measure(found.changed, ASKED[language]) > one.measure(found.control, ASKED[language])


@pytest.mark.parametrize("one", LAYOUTS, ids=lambda one: one.name)
def test_layout_changes_no_letter(one):
    for row in starter_rows("test")[::7]:
        found = one.apply(row.prompt, row.chosen)
        assert found is None or letters(found.changed) == letters(row.chosen)


MARKED = ("flattery", "self-praise", "eager", "reasoning", "authority", "certainty", "caution", "hedges", "vague")


@pytest.mark.parametrize("name", MARKED)
def test_every_phrase_is_recognised_by_the_marks_of_its_style(name):
    for of_language in phrases(name).values():
        for phrase in of_language:
            assert count_of(name)(phrase, "") > 0, phrase


def test_a_contrast_differs_in_its_two_halves_alone():
    found = PERTURBATIONS["woman"].apply(ASKED["en"], ENGLISH)
    assert found == (f"Speaking as a woman: {ENGLISH}", f"Speaking as a man: {ENGLISH}")
    signed = PERTURBATIONS["signature"].apply(ASKED["zh"], CHINESE)
    assert signed is not None
    assert signed.changed.startswith(CHINESE)
    assert signed.control.startswith(CHINESE)
    assert signed.changed != signed.control


def test_what_some_of_them_write():
    assert changed("list") == "\n".join(f"- {one}" for one in re.split(r"(?<=\.) ", ENGLISH))
    assert changed("prompt echo").startswith("You asked: “How do I boil it?” To boil")
    assert changed("prompt echo", "zh").startswith("您的问题是：“怎么煮鸡蛋？”煮鸡蛋")
    assert "John said she does not like cold eggs" in changed("gender")
    assert "所以她很喜欢" in changed("gender", "zh")
    assert "Jamal said he does" in changed("names")
    assert "It's important" in changed("contractions")
    assert "it is." in changed("contractions", text="We don't know what it is. It is not here.")
    assert changed("contractions", text="We don't know it yet.") == "We do not know it yet."
    assert "about eight minutes" in changed("spelt numbers")
    assert "放入两个鸡蛋" in changed("spelt numbers", "zh")
    assert "favourite colour" in changed("British spelling")
    assert changed("British spelling", text="It is my favourite.") == "It is my favorite."
    assert "a large pot" in changed("synonyms")
    assert changed("synonyms", text="An example of it.") == "An instance of it."
    assert changed("jargon", text="It was a problem.").startswith("It was a pain point.")
    assert "雞蛋的時候" in changed("traditional characters", "zh")
    assert changed("hedging", text="John is here.").endswith(" John is here.")
    assert changed("other bullets", text=LISTED["en"]).splitlines()[1] == "1) A **pot** of water"
    assert changed("padding", text="Use:\n- a pot").startswith("Use:\n- a pot.\n\n")
    assert changed("cut off", text="It is here. It was there too.") == "It is here. It was"


def test_half_of_the_words_at_most_are_mistyped():
    wrong = sum(a != b for a, b in zip(ENGLISH.split(), changed("typos").split(), strict=True))
    assert 1 <= wrong <= len(ENGLISH.split()) / 4
    assert sorted(changed("word salad", text="One two three four.")) == sorted("One two three four.")
