"""Hidden states of a decoder are those of plain Transformers, and a reward on them is learnt and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from guerdon.rewards.decoder import DecoderFeatures, DecoderStates
from guerdon.rewards.load import load_scorer
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Comparison

TEXTS = ["How do I boil an egg?", "Put it into boiling water.", "egg"]


def plain_states(folder: str, text: str) -> np.ndarray:
    """Mean of the middle and of the last hidden states without the first token, each of length 1, by Transformers."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text)["input_ids"]
    if tokenizer.bos_token_id is not None and ids[0] != tokenizer.bos_token_id:
        ids = [tokenizer.bos_token_id, *ids]
    with torch.no_grad():
        states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
    means = [states[layer][0, 1:].mean(dim=0) for layer in (len(states) // 2, -1)]
    return torch.cat([mean / mean.norm() for mean in means]).numpy() / np.sqrt(2)


@pytest.mark.parametrize("tiny", ["tiny_llama", "tiny_qwen"])
def test_states_are_those_of_transformers(tiny: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(tiny)
    states = DecoderStates(folder, "cpu", False)
    found = states.embed(TEXTS)
    assert found.shape == (3, len(DecoderFeatures(states).names()))
    for vector, text in zip(found, TEXTS, strict=True):
        np.testing.assert_allclose(vector, plain_states(folder, text), rtol=0, atol=2e-6)


def test_a_reward_on_states_is_learnt_and_saved(tmp_path: Path, tiny_llama: str) -> None:
    rows = [Comparison(prompt=f"p{i}", chosen=f"a good answer {i}", rejected=f"no idea at all {i}") for i in range(40)]
    fitted = fit_reward(rows, tmp_path / "model", FitConfig(members=("longest", "decoder"), policy=tiny_llama))
    assert fitted.judged.agreement(fitted.margins["decoder"]) > 0.9
    prompts, chosen = [row.prompt for row in rows], [row.chosen for row in rows]
    again = load_scorer(tmp_path / "model").score(prompts, chosen)
    np.testing.assert_allclose(again, fitted.reward.score(prompts, chosen), atol=1e-5)
