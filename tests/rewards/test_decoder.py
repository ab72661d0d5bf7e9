"""Hidden states of a decoder are those of plain Transformers, and a reward on them is learnt and saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.errors import ContractError
from guerdon.rewards.decoder import DecoderFeatures
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.likelihood import frozen_policy
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import load_scorer
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Comparison

PROMPTS = ["How do I boil an egg?", "How do I boil an egg?", "最大的行星是哪一颗？"]
RESPONSES = ["Put it into boiling water.", "egg", "木星是太阳系中最大的行星。"]


def plain_states(folder: str, prompt: str, response: str) -> np.ndarray:
    """Means of the response's states in the middle and in the last layer, one text alone, by Transformers."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    start = tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False
    )
    asked = tokenizer(start, add_special_tokens=False)["input_ids"]
    said = tokenizer(response, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        states = model(torch.tensor([asked + said]), output_hidden_states=True).hidden_states
    layers = (model.config.num_hidden_layers // 2, -1)
    return torch.cat([states[layer][0, len(asked) :].mean(dim=0) for layer in layers]).numpy()


@pytest.mark.parametrize("tiny", ["tiny_llama", "tiny_qwen", "tiny_sliding"])
def test_states_are_those_of_transformers_behind_the_prompt(tiny: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(tiny)
    features = DecoderFeatures(frozen_policy(folder, "cpu"), folder)
    found = features.compute(PROMPTS, RESPONSES).values
    assert found.shape == (3, len(features.names()))
    for vector, prompt, response in zip(found, PROMPTS, RESPONSES, strict=True):
        np.testing.assert_allclose(vector, plain_states(folder, prompt, response), rtol=0, atol=2e-5)
    alone = np.concatenate([features.compute([p], [r]).values for p, r in zip(PROMPTS, RESPONSES, strict=True)])
    np.testing.assert_array_equal(alone, found)  # kept from the call before
    again = DecoderFeatures(frozen_policy(folder, "cpu"), folder).compute(PROMPTS[1:2], RESPONSES[1:2]).values
    np.testing.assert_allclose(again, found[1:2], rtol=0, atol=1e-5)


def test_the_same_response_reads_otherwise_behind_another_prompt(tiny_llama: str) -> None:
    features = DecoderFeatures(frozen_policy(tiny_llama, "cpu"), tiny_llama)
    one, other = features.compute(["What is that?", "What is an egg?"], ["egg", "egg"]).values
    assert np.abs(one - other).max() > 1e-3


def test_a_response_without_words_has_features_and_one_too_long_says_why(tiny_llama: str) -> None:
    features = DecoderFeatures(frozen_policy(tiny_llama, "cpu"), tiny_llama)
    found = features.compute(["p", "p"], ["", "boiling water " * 600])
    assert np.abs(found.values[0]).max() > 0
    assert np.isfinite(found.values).all()
    assert found.reasons[0] == ""
    assert "too long" in found.reasons[1]


def test_a_reward_on_states_is_learnt_and_saved(tmp_path: Path, tiny_llama: str) -> None:
    rows = [Comparison(prompt=f"p{i}", chosen=f"a good answer {i}", rejected=f"no idea at all {i}") for i in range(40)]
    fitted = fit_reward(rows, tmp_path / "model", FitConfig(members=("longest", "decoder"), policy=tiny_llama))
    assert fitted.judged.agreement(fitted.margins["decoder"]) > 0.9
    prompts, chosen = [row.prompt for row in rows], [row.chosen for row in rows]
    again = load_scorer(tmp_path / "model").score(prompts, chosen)
    np.testing.assert_allclose(again, fitted.reward.score(prompts, chosen), atol=1e-5)


@pytest.mark.parametrize(("field", "message"), [("sha256", "has other weights"), ("policy", "policy")])
def test_a_reward_on_other_states_is_refused(field: str, message: str, tmp_path: Path, tiny_llama: str) -> None:
    judged = JudgedResponses.of([Comparison(prompt="p", chosen=RESPONSES[0], rejected=RESPONSES[1])])
    features = DecoderFeatures(frozen_policy(tiny_llama, "cpu"), tiny_llama)
    LinearReward.fit(features, judged, penalty=300.0).save(tmp_path)
    card = json.loads((tmp_path / "guerdon.json").read_text(encoding="utf-8"))
    if field == "sha256":
        card["features"]["sha256"] = "0" * 64
    else:
        del card["features"]["policy"]  # as a reward on responses alone, by an older version, has it
    (tmp_path / "guerdon.json").write_text(json.dumps(card), encoding="utf-8")
    with pytest.raises(ContractError, match=message):
        load_scorer(tmp_path)
