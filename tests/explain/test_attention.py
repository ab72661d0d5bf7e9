"""Attention is what Transformers gives eagerly, read where the score is, and leaves the model as it was."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from guerdon.explain.attention import attention_paid
from guerdon.explain.gradients import gradient_attribution
from guerdon.explain.tokens import tokenized
from guerdon.rewards.transformer import TransformerReward
from scorers_to_explain import FIRST, PROMPT


@pytest.mark.parametrize("pooling", ["native", "mean", "last"])
def test_heads_and_rollout(pooling: str, tiny_bert: str, tiny_llama: str) -> None:
    reward = TransformerReward.create(tiny_llama if pooling == "last" else tiny_bert, pooling=pooling)
    model, before = reward.net.classifier, reward.score([PROMPT], [FIRST])
    implementation = model.config._attn_implementation
    found = attention_paid(reward, PROMPT, FIRST)
    assert model.config._attn_implementation == implementation != "eager"
    np.testing.assert_array_equal(reward.score([PROMPT], [FIRST]), before)

    text = tokenized(reward, PROMPT, FIRST)
    given = {name: tensor for name, tensor in text.batch.items() if name not in ("row", "column")}
    model.set_attn_implementation("eager")
    with torch.no_grad():
        layers = model(**given, output_attentions=True).attentions
    model.set_attn_implementation(implementation)
    shown = [unit is not None for unit in text.units]
    row = {"native": 0, "last": -1}.get(pooling, slice(None))
    expected = np.stack([layer[0, :, row].numpy() for layer in layers])
    expected = expected.mean(axis=2) if pooling == "mean" else expected
    np.testing.assert_allclose(found.heads, expected[:, :, shown], rtol=0, atol=1e-6)

    matrix = torch.eye(len(shown))
    for layer in layers:
        matrix = (0.5 * layer[0].mean(dim=0) + 0.5 * torch.eye(len(shown))) @ matrix
    rolled = matrix[row].reshape(-1, len(shown)).mean(dim=0).numpy()
    np.testing.assert_allclose(found.rollout, rolled[shown], rtol=0, atol=1e-5)
    assert found.rollout.sum() + found.special == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found.onto(found.units, layer=1), found.heads[1].mean(axis=0), rtol=1e-6)


def test_it_does_not_know_what_is_liked(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    paid, given = attention_paid(reward, PROMPT, FIRST), gradient_attribution(reward, PROMPT, FIRST)
    with torch.no_grad():
        for weight in reward.net.classifier.classifier.parameters():
            weight.neg_()
    np.testing.assert_array_equal(attention_paid(reward, PROMPT, FIRST).heads, paid.heads)
    np.testing.assert_allclose(gradient_attribution(reward, PROMPT, FIRST).values, -given.values, rtol=0, atol=1e-6)
