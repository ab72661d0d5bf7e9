"""What moves a data set: planted words, features and places come first, with intervals, in both languages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from guerdon.explain.importance import FeatureImportance, ScoredResponse, feature_importance, word_values
from guerdon.explain.methods import attribute
from guerdon.explain.target import Target
from guerdon.explain.units import Case
from guerdon.text.sentences import split_sentences
from guerdon.text.words import words_of
from guerdon.types import Rewards, Scorer

NOUNS = ["egg", "water", "planet", "answer", "pot", "stone", "river", "house", "sorry", "please", "can", "because"]


def responses(count: int, seed: int = 0) -> list[tuple[str, str]]:
    """Two responses of three or four sentences each to every prompt."""
    rng = np.random.default_rng(seed)

    def sentence() -> str:
        words = rng.choice(NOUNS, size=rng.integers(2, 8))
        return " ".join(words).capitalize() + str(rng.choice([".", ".", "!", "?"], p=[0.4, 0.3, 0.2, 0.1]))

    return [
        (f"Tell of {NOUNS[i % len(NOUNS)]} {i}.", " ".join(sentence() for _ in range(rng.integers(3, 5))))
        for i in range(count)
        for _ in range(2)
    ]


class Planted:
    """A fixed noise of the text's words, and one thing besides."""

    def __init__(self, planted: Callable[[str], float]) -> None:
        rng = np.random.default_rng(1)
        self.noise = dict(zip(NOUNS, rng.normal(0, 0.15, len(NOUNS)), strict=True))
        self.planted = planted

    def score(self, prompts: list[str], texts: list[str], **_: object) -> np.ndarray:
        return np.float32(
            [sum(self.noise.get(word, 0) for word in words_of(text)) + self.planted(text) for text in texts]
        )


def importance_of(scorer: Scorer, texts: list[tuple[str, str]]) -> FeatureImportance:
    scored = []
    for prompt, text in texts:
        found = attribute(Target(scorer), Case(prompt, text), grain="word")
        scored.append(ScoredResponse(Case(prompt, text), prompt, found.total, found))
    return feature_importance(scored)


PLANTED: dict[str, Callable[[str], float]] = {
    "sorry": lambda text: -2.0 * words_of(text).count("sorry"),
    "please": lambda text: 2.0 * words_of(text).count("please"),
    "log exclamation marks": lambda text: 1.5 * np.log1p(text.count("!")),
    "log question marks": lambda text: -1.5 * np.log1p(text.count("?")),
    "log characters": lambda text: 12.0 * np.log1p(len(text)),
    "first sentence": lambda text: 0.5 * len(words_of(split_sentences(text)[0])) if text else 0.0,
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_comes_first(name: str) -> None:
    found = importance_of(Planted(PLANTED[name]), responses(40))
    first = found.movers[0]
    assert first.name == name
    assert first.share.low > 0
    effect = {"sorry": -2.0, "please": 2.0}.get(name)
    if effect is not None:
        assert first.effect.point == pytest.approx(effect, abs=0.8)
    assert found.within
    assert (found.responses, found.prompts) == (80, 40)
    assert 0 < found.stability <= 1


def test_shares_of_words_add_up_to_what_is_located() -> None:
    found = importance_of(Planted(lambda text: 0.0), responses(40))
    assert found.located == pytest.approx(1, abs=1e-3)
    assert sum(one.share.point for one in found.of("word")) == pytest.approx(1, abs=1e-3)
    assert {one.name for one in found.of("word")} == set(NOUNS)


def test_prompts_of_one_response_are_compared_with_each_other() -> None:
    found = importance_of(Planted(PLANTED["sorry"]), responses(40)[::2])
    assert not found.within
    assert found.movers[0].name == "sorry"
    one = importance_of(Planted(PLANTED["sorry"]), [("p", text) for _, text in responses(10)])
    assert np.isnan(one.movers[0].share.low)
    assert np.isnan(one.stability)
    assert one.compared == 0


def test_words_of_chinese_are_pairs_of_characters() -> None:
    class ByCharacter:
        def score_with_reasons(self, prompts: list[str], texts: list[str], **_: object) -> Rewards:
            values = {"鸡": 1.0, "蛋": 3.0, "水": 5.0}
            return Rewards(
                np.float32([sum(values.get(letter, 0.0) for letter in text) for text in texts]), ("",) * len(texts)
            )

        def score(self, prompts: list[str], texts: list[str], **_: object) -> np.ndarray:
            return self.score_with_reasons(prompts, texts).values

    found = attribute(Target(ByCharacter()), Case("?", "煮鸡蛋，水 egg 鸡蛋"), grain="word")
    values = word_values(found)
    assert {word: times for word, (times, _) in values.items()} == {"煮鸡": 1, "鸡蛋": 2, "水": 1, "egg": 1}
    assert values["煮鸡"][1] == pytest.approx(0.5)
    assert values["鸡蛋"][1] == pytest.approx(0.5 + 3 + 4)
    assert sum(value for _, value in values.values()) == pytest.approx(found.total)
