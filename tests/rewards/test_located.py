"""What linear rewards owe to each character of a text: it adds up to the score, and stands where the features do."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.rewards.decoder import DecoderFeatures
from guerdon.rewards.embedding import EmbeddingFeatures, TextEncoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.likelihood import frozen_policy
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.rewards.terms import TermFeatures, fit_tfidf
from guerdon.types import Comparison

TEXTS = [
    "Put it into boiling water, then cool it.",
    "boil\n boil a BOIL",
    "把鸡蛋放进开水里煮八分钟。",
    "",
    "İs it  so?",
]


def rows() -> list[Comparison]:
    return [
        Comparison(
            prompt="How do I boil an egg?", chosen=f"{TEXTS[i % 3]} good {i}", rejected=f"{TEXTS[i % 2]} bad {i}"
        )
        for i in range(12)
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_characters_of_a_bag_of_words_add_up_to_its_terms(text: str) -> None:
    reward = fit_tfidf(rows())
    prompt, response = reward.located("a prompt", text) or ((), ())
    assert len(prompt) == len("a prompt")
    assert not np.any(prompt)
    assert len(response) == len(text)
    assert np.sum(response) == pytest.approx(reward.contributions(["a prompt"], [text]).sum(), abs=1e-6)
    assert np.sum(response) + reward.shift == pytest.approx(float(reward.score(["a prompt"], [text])[0]), abs=1e-5)


def test_a_term_stands_where_it_occurs() -> None:
    features = TermFeatures.fit(["good egg", "bad egg"])
    weights = np.array([1.0 if name == "good" else 0.0 for name in features.names()])
    _, found = features.located("", "Good, so good", weights)
    np.testing.assert_allclose(found[:4], found[9:], rtol=1e-12)
    assert found[0] > 0
    assert not found[4:9].any()
    assert found.sum() == pytest.approx((features.compute([""], ["Good, so good"]).values @ weights)[0], rel=1e-6)


def test_tokens_of_a_frozen_encoder_add_up_but_for_special_ones(tiny_bert: str, tiny_llama: str) -> None:
    encoder = TextEncoder(tiny_bert, None, False)
    prompt, text = "How do I boil an egg?", TEXTS[0]
    for features in (EmbeddingFeatures(encoder), DecoderFeatures(frozen_policy(tiny_llama, "cpu"), tiny_llama)):
        weights = np.random.default_rng(0).normal(size=len(features.names()))
        asked, said = features.located(prompt, text, weights)
        whole = float(features.compute([prompt], [text]).values[0] @ weights)
        assert (len(asked), len(said)) == (len(prompt), len(text))
        if isinstance(features, DecoderFeatures):  # only tokens of the response are in the mean
            assert not asked.any()
            assert said.sum() == pytest.approx(whole, abs=1e-5)
        else:
            assert asked.any()
            assert said.any()
    blank = encoder.located("龘 龘 龘", np.ones(encoder.width))
    assert not blank.any()


def test_features_without_a_place_have_none() -> None:
    reward = LinearReward.fit(SurfaceFeatures(), JudgedResponses.of(rows()), penalty=3.0)
    assert reward.located("a", "b") is None
