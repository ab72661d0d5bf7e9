"""Attention by groups of query heads: that of repeated keys, and only while it is wanted."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from guerdon.policy import grouped_attention


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_a_step_is_that_of_repeated_keys(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, seen = AutoModelForCausalLM.from_pretrained(request.getfixturevalue(name)).eval(), []
    grouped = grouped_attention._grouped

    def watched(module: Any, query: torch.Tensor, key: torch.Tensor, *rest: Any, **options: Any) -> Any:
        seen.append((query.shape[1], key.shape[1]))
        return grouped(module, query, key, *rest, **options)

    monkeypatch.setattr(grouped_attention, "_grouped", watched)
    ids = torch.randint(5, 200, (3, 9))
    visible = torch.rand(3, 1, 1, 9) < 0.7
    visible[..., -1] = True

    def last_step(attention: AbstractContextManager[None]) -> torch.Tensor:
        cache = DynamicCache(config=model.config)
        with torch.inference_mode():
            model(input_ids=ids[:, :-1], past_key_values=cache)
            with attention:
                found: torch.Tensor = model(ids[:, -1:], attention_mask=visible, past_key_values=cache).logits
        return found

    expected = last_step(nullcontext())
    torch.testing.assert_close(last_step(grouped_attention.grouped_attention(model)), expected)
    assert seen == [(4, 2)] * model.config.num_hidden_layers, "two query heads for each head of keys"
    torch.testing.assert_close(last_step(nullcontext()), expected)
    assert len(seen) == model.config.num_hidden_layers, "and no longer"
