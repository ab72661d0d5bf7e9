"""Integrated gradients add up on every architecture, and are what a plain sum along the path gives."""

from __future__ import annotations

from copy import copy, deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch

from guerdon.explain.gradients import _Forward, differentiable, gradient_attribution
from guerdon.explain.tokens import tokenized
from guerdon.hf import Lora
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Message
from scorers_to_explain import FIRST, PROMPT


def path_sum(reward: TransformerReward, prompt: str, response: str, steps: int = 150) -> np.ndarray:
    """(x - x') . mean of the gradient along the path, by hand, of the tokens of the response."""
    text = tokenized(reward, prompt, response)
    layer = reward.net.classifier.get_input_embeddings()
    ids = text.batch["input_ids"]
    mask = reward.tokenizer.mask_token_id  # the tiny decoder's ellipsis is several tokens
    blank = reward.contract.pad_token_id if mask is None else mask
    where = torch.tensor([part == "response" for part in text.parts])
    with torch.no_grad():
        whole, masked = layer(ids), layer(ids.masked_fill(where, blank))
    total = torch.zeros_like(whole)
    for step in range(steps):
        point = (masked + (step + 0.5) / steps * (whole - masked)).requires_grad_()
        hook = layer.register_forward_hook(lambda *_, point=point: point)
        score = reward.net(**text.batch)[0, 0]
        hook.remove()
        total += torch.autograd.grad(score, point)[0] / steps
    values = ((whole - masked) * total).sum(dim=-1)[0].detach().numpy()
    return values[[unit is not None and unit.part == "response" for unit in text.units]]


@pytest.mark.parametrize("name", ["encoder_reward", "decoder_reward"])
def test_it_is_the_sum_along_the_path(name: str, request: pytest.FixtureRequest) -> None:
    reward: TransformerReward = request.getfixturevalue(name)
    before = reward.score([PROMPT], [FIRST])
    found = gradient_attribution(reward, PROMPT, FIRST, most_gap=1e-4)
    assert found.error < 0.01
    np.testing.assert_allclose(
        found.values, path_sum(reward, PROMPT, FIRST), rtol=0, atol=0.01 * abs(found.values).max()
    )
    assert all(weight.requires_grad for weight in reward.net.classifier.get_input_embeddings().parameters())
    np.testing.assert_array_equal(reward.score([PROMPT], [FIRST]), before)


def test_a_decoder_reads_what_is_kept_once(decoder_reward: TransformerReward) -> None:
    text = tokenized(decoder_reward, PROMPT, FIRST)
    forward = _Forward(decoder_reward, text)
    point = decoder_reward.net.classifier.get_input_embeddings()(text.batch["input_ids"]).detach()
    own = torch.linspace(0.5, 1.5, 4)[:, None, None] * point
    own[:, : text.parts.index("response")] = point[0, : text.parts.index("response")]
    with torch.no_grad():
        expected = forward(own)
        forward.keep(text.parts.index("response"))
        together = forward(own)
    assert forward.kept > 3
    assert len(set(expected.tolist())) == 4
    torch.testing.assert_close(together, expected, rtol=0, atol=1e-5)


def test_without_a_mask_token_an_ellipsis_stands_for_words(decoder_reward: TransformerReward) -> None:
    text = tokenized(decoder_reward, PROMPT, FIRST)
    assert _Forward(decoder_reward, text).blank == decoder_reward.contract.pad_token_id  # here it is several tokens
    reward = copy(decoder_reward)
    reward.tokenizer = deepcopy(decoder_reward.tokenizer)
    reward.tokenizer.add_tokens(["…"])
    with torch.no_grad():
        reward.net = deepcopy(decoder_reward.net)
        weight = reward.net.classifier.resize_token_embeddings(len(reward.tokenizer)).weight
        weight[-1] = weight[20]
    assert _Forward(reward, text).blank == reward.tokenizer.convert_tokens_to_ids("…")


@pytest.mark.parametrize("backbone", ["tiny_roberta", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"])
def test_it_adds_up_on_every_architecture(backbone: str, request: pytest.FixtureRequest) -> None:
    reward = TransformerReward.create(request.getfixturevalue(backbone))
    chat = (Message("user", "Hello."), Message("assistant", "Hi."), Message("user", PROMPT))
    found = gradient_attribution(reward, chat, FIRST, parts=("prompt", "response"))
    assert found.error < 0.01
    assert found.total == pytest.approx(float(reward.score([chat], [FIRST])[0]), abs=1e-5)
    words = found.at("word")
    assert "".join(text for text, _ in words.part("response")) == FIRST
    if backbone != "tiny_sliding":  # its last token does not see that far
        assert any(value for text, value in words.part("prompt") if "egg" in text)


def test_mean_pooling_attributes_and_adapters(tiny_bert: str) -> None:
    reward = TransformerReward.create(
        tiny_bert, pooling="mean", attributes=("helpful", "brief"), lora=Lora(rank=2, alpha=4)
    )
    reward.contract = replace(reward.contract, weights=(2.0, -1.0), shift=(1.0, 5.0), scale=(0.5, 3.0))
    found = gradient_attribution(reward, PROMPT, FIRST)
    assert found.error < 0.01
    assert found.total == pytest.approx(float(reward.score([PROMPT], [FIRST])[0]), abs=1e-5)


def test_it_is_what_the_library_gives_for_the_layer(encoder_reward: TransformerReward) -> None:
    """The path in one part is captum's LayerIntegratedGradients."""
    from captum.attr import LayerIntegratedGradients

    text = tokenized(encoder_reward, PROMPT, FIRST)
    ids = text.batch["input_ids"]
    where = torch.tensor([part == "response" for part in text.parts])

    def forward(ids: torch.Tensor) -> torch.Tensor:
        rest = {
            name: text.batch[name].expand(len(ids), -1) for name in ("attention_mask", "token_type_ids", "position_ids")
        }
        rows = torch.arange(len(ids))
        return encoder_reward.net(input_ids=ids, **rest, row=rows, column=rows)[:, 0]

    layer = encoder_reward.net.classifier.get_input_embeddings()
    with differentiable(encoder_reward):
        expected = (
            LayerIntegratedGradients(forward, layer)
            .attribute(ids, baselines=ids.masked_fill(where, encoder_reward.tokenizer.mask_token_id), n_steps=80)[0]
            .sum(dim=-1)
        )
    found = gradient_attribution(encoder_reward, PROMPT, FIRST, most_gap=1e-4)
    shown = [unit is not None and unit.part == "response" for unit in text.units]
    np.testing.assert_allclose(found.values, expected[shown].numpy(), rtol=0, atol=2e-3)


def test_rounding_in_bfloat16_is_not_chased(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.to("cpu", "bfloat16")
    found = gradient_attribution(reward, PROMPT, FIRST)
    assert found.gap < 0.05 * max(1, abs(found.total))
    assert found.passes < 500


def test_gradient_times_input_is_that(encoder_reward: TransformerReward) -> None:
    text = tokenized(encoder_reward, PROMPT, FIRST)
    layer = encoder_reward.net.classifier.get_input_embeddings()
    kept: list[torch.Tensor] = []
    hook = layer.register_forward_hook(lambda *given: kept.append(given[2]))
    with differentiable(encoder_reward):
        for weight in layer.parameters():
            weight.requires_grad_(True)
        score = encoder_reward.net(**text.batch)[0, 0]
        hook.remove()
        expected = (kept[0] * torch.autograd.grad(score, kept[0])[0]).sum(dim=-1)[0].detach().numpy()
    found = gradient_attribution(encoder_reward, PROMPT, FIRST, method="gradient-x-input")
    where = [unit is not None and unit.part == "response" for unit in text.units]
    np.testing.assert_allclose(found.values, expected[where], rtol=0, atol=1e-5)
    assert np.isnan(found.error)


def test_tokens_of_a_cut_prompt_keep_their_characters(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert, max_length=24, overlong="cut")
    found = gradient_attribution(reward, "egg " * 30 + PROMPT, "Eight minutes.", parts=("prompt", "response"))
    assert "".join(text for text, _ in found.at("word").part("response")) == "Eight minutes."
    assert found.error < 0.01
