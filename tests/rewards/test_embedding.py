"""Frozen vectors are those of plain Transformers, computed once a text; what cannot be read has no reward."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.errors import ContractError
from guerdon.rewards.embedding import CosineReward, EmbeddingFeatures, TextEncoder, text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import load_scorer
from guerdon.rewards.truncation import report_totals
from guerdon.types import Comparison

TEXTS = ["How do I boil an egg?", "Put it into boiling water.", "木星是太阳系中最大的行星。", "the largest planet"]


@pytest.fixture
def encoder(tiny_bert: str) -> TextEncoder:
    return TextEncoder(tiny_bert, "cpu", False)


def plain_vector(folder: str, text: str) -> np.ndarray:
    """The mean of the last hidden states of one text alone, of length 1, by Transformers."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        hidden = model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=128)).last_hidden_state
    return torch.nn.functional.normalize(hidden.mean(dim=1), dim=1)[0].numpy()


def test_vectors_are_those_of_transformers(encoder: TextEncoder, tiny_bert: str) -> None:
    texts = [*TEXTS, "boiling water " * 200]
    found = encoder.embed(texts)
    for vector, text in zip(found, texts, strict=True):
        np.testing.assert_allclose(vector, plain_vector(tiny_bert, text), rtol=0, atol=2e-6)


def test_a_text_is_computed_once(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encoder.embed([*TEXTS, *TEXTS])
    monkeypatch.setattr(encoder, "model", None)  # it would fail
    np.testing.assert_array_equal(encoder.embed(TEXTS[::-1]), first[:4][::-1])


def test_features_are_the_response_its_product_and_the_cosine(encoder: TextEncoder) -> None:
    features = EmbeddingFeatures(encoder)
    found = features.compute([TEXTS[0]] * 2, TEXTS[1:3])
    asked, said = encoder.embed([TEXTS[0]])[0], encoder.embed(TEXTS[1:3])
    assert found.values.shape == (2, 65) == (2, len(features.names()))
    np.testing.assert_allclose(found.values[:, :32], said)
    np.testing.assert_allclose(found.values[:, 32:64], said * asked)
    np.testing.assert_allclose(found.values[:, 64], said @ asked, rtol=1e-5)


def test_cosine(encoder: TextEncoder, tiny_bert: str) -> None:
    reward = CosineReward(encoder)
    same, other = reward.score([TEXTS[0]] * 2, [TEXTS[0], TEXTS[1]])
    assert same == pytest.approx(1.0, abs=1e-6)
    assert other == pytest.approx(
        float(plain_vector(tiny_bert, TEXTS[0]) @ plain_vector(tiny_bert, TEXTS[1])), abs=1e-5
    )
    again = load_scorer(reward.name)
    np.testing.assert_array_equal(again.score(TEXTS, TEXTS), reward.score(TEXTS, TEXTS))


def test_a_text_that_the_vocabulary_cannot_read_has_no_reward_and_does_not_fail_others(encoder: TextEncoder) -> None:
    prompts, responses = ["boiling water"] * 3, ["the largest planet", "Ⰳⰴⰵ ⰶⰷⰸ", ""]
    judged = JudgedResponses.of([Comparison(prompt="p", chosen=TEXTS[1], rejected=TEXTS[3])])
    for reward in (CosineReward(encoder), LinearReward.fit(EmbeddingFeatures(encoder), judged, penalty=30.0)):
        found = reward.score_with_reasons(prompts, responses)
        assert np.isnan(found.values).tolist() == [False, True, True]
        assert "are unknown to" in found.reasons[1]
        assert found.reasons[0] == ""


def test_what_is_saved_comes_back_to_the_last_bit_and_only_with_its_encoder(
    encoder: TextEncoder, tiny_bert: str, tmp_path: Path
) -> None:
    judged = JudgedResponses.of([Comparison(prompt="p", chosen=TEXTS[1], rejected=TEXTS[3])])
    reward = LinearReward.fit(EmbeddingFeatures(encoder), judged, penalty=30.0)
    reward.save(tmp_path)
    np.testing.assert_array_equal(load_scorer(tmp_path).score(TEXTS, TEXTS), reward.score(TEXTS, TEXTS))
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    assert card["features"]["encoder"] == tiny_bert
    card["features"]["sha256"] = "0" * 64
    (tmp_path / "guerdon.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ContractError, match="has other weights than when it was fitted"):
        load_scorer(tmp_path)


def test_all_who_ask_for_an_encoder_share_it(tiny_bert: str) -> None:
    assert text_encoder(tiny_bert) is text_encoder(tiny_bert)


@pytest.mark.slow
def test_ten_thousand_pairs_of_kept_vectors_fit_in_ten_seconds(encoder: TextEncoder) -> None:
    rng = np.random.default_rng(0)
    taste = rng.normal(size=384)
    vectors = rng.normal(size=(22_000, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    encoder.width = 384
    encoder._kept = {str(number): vector for number, vector in enumerate(vectors)}
    rows = []
    for number in range(10_000):
        first, second = sorted((2_000 + number, 12_000 + number), key=lambda one: -vectors[one] @ taste)
        rows.append(Comparison(prompt=str(number % 2_000), chosen=str(first), rejected=str(second)))
    start = time.process_time()
    judged = JudgedResponses.of(rows)
    reward = LinearReward.fit(EmbeddingFeatures(encoder), judged, penalty=30.0)
    took = time.process_time() - start
    print(f"10,000 pairs: {took:.1f} s")
    scores = reward.score(judged.prompts, judged.responses)
    assert judged.agreement(judged.margins(scores.astype(np.float64))) > 0.9
    assert took <= 10


@pytest.mark.slow
def test_minilm_finds_the_passage_that_answers() -> None:
    query = "How long does a soft-boiled egg take?"
    passages = ["Boil it for six minutes if you like the yolk soft.", "Jupiter is the largest planet.", "A dog barked."]
    assert load_scorer("cosine").score([query] * 3, passages).argmax() == 0


def test_texts_that_are_cut_are_counted_once(tiny_bert: str, caplog: pytest.LogCaptureFixture) -> None:
    encoder = TextEncoder(tiny_bert, None, False)
    encoder.embed(["egg " * 126, "egg " * 127, "egg " * 300, "egg"])  # [CLS] and [SEP] take two of 128
    for _ in range(2):
        report_totals([CosineReward(encoder)])
    (said,) = caplog.messages
    assert said.startswith("2 of 4 texts were read by ")
    assert said.endswith("to their first 128 tokens alone")
