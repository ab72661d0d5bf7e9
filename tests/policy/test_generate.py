"""A policy answers every prompt, in order, in its own chat format, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from guerdon.errors import ModelError
from guerdon.policy.generate import _generation_prompt, sample_answers
from guerdon.types import Message

PROMPTS = ["How do I boil an egg?", (Message("system", "Be brief."), Message("user", "planet?")), "怎样煮鸡蛋？"]


def answers(policy: str, **options: Any) -> list[list[str]]:
    return list(sample_answers(policy, PROMPTS, **({"max_new_tokens": 6, "per_prompt": 2} | options)))


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_gemma_like"])
def test_every_prompt_has_its_answers(name: str, request: pytest.FixtureRequest) -> None:
    found = answers(request.getfixturevalue(name))
    assert [len(texts) for texts in found] == [2, 2, 2]
    assert len({text for texts in found for text in texts}) > 3, "they are sampled"
    assert not [text for texts in found for text in texts if "<|im_end|>" in text or "boil an egg" in text]


def test_the_seed_decides_the_answers(tiny_llama: str) -> None:
    assert answers(tiny_llama, seed=1) == answers(tiny_llama, seed=1) != answers(tiny_llama, seed=2)


def test_near_zero_temperature_is_greedy_whatever_the_batch(tiny_llama: str) -> None:
    """So a prompt padded beside longer ones is answered as it is alone."""
    side_by_side = answers(tiny_llama, temperature=1e-4, per_prompt=1)
    assert side_by_side == answers(tiny_llama, temperature=1e-4, per_prompt=1, batch_size=1)


def test_a_prompt_is_rendered_as_the_model_was_taught(tiny_llama: str) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    rendered = _generation_prompt(tokenizer, "egg?")
    assert rendered == "<|im_start|>user\negg?<|im_end|>\n<|im_start|>assistant\n"
    tokenizer.chat_template = None
    assert _generation_prompt(tokenizer, "egg?") == "egg?\n\n"


@pytest.mark.parametrize("policy", ["no/such-policy", "tiny_bert"])
def test_what_is_no_policy_is_a_model_error(policy: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load the policy"):
        answers(policy if "/" in policy else str(tmp_path))
