"""A policy answers every prompt in its own chat format, the same for the same seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, T5Config

from guerdon.errors import DataError, ModelError, TextError
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.types import Message, Prompt

PROMPTS: list[Prompt] = [
    "How do I boil an egg?",
    (Message("system", "Be brief."), Message("user", "planet?")),
    "怎样煮鸡蛋？",
]


def answers(policy: Policy, prompts: list[Prompt] = PROMPTS, **options: Any) -> list[list[str]]:
    sampling = Sampling(max_new_tokens=6, temperature=options.pop("temperature", 1.0))
    found = dict(policy.sample_texts(prompts, **({"num_generations": 2, "sampling": sampling} | options)))
    assert sorted(found) == list(range(len(prompts)))
    return [found[index] for index in range(len(prompts))]


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_gemma_like", "tiny_sliding"])
def test_every_prompt_has_its_answers(name: str, request: pytest.FixtureRequest) -> None:
    found = answers(Policy.load(request.getfixturevalue(name)))
    assert [len(own) for own in found] == [2, 2, 2]
    assert len({text for own in found for text in own}) > 3, "they are sampled"
    assert not [text for own in found for text in own if "<|im_end|>" in text or "boil an egg" in text]


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_sliding"])
def test_the_seed_decides_the_answers(name: str, request: pytest.FixtureRequest) -> None:
    policy = Policy.load(request.getfixturevalue(name))
    torch.manual_seed(5)
    state = torch.get_rng_state()
    assert answers(policy, seed=1) == answers(policy, seed=1) != answers(policy, seed=2)
    assert torch.equal(torch.get_rng_state(), state), "nobody else's random numbers are used up"


def test_a_prompt_is_answered_in_any_batch_as_alone(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama)
    beside = answers(policy, temperature=0.0, num_generations=1)
    assert beside == answers(policy, temperature=0.0, num_generations=1, batch_size=1)


def test_a_run_that_was_cut_short_goes_on_as_if_it_had_not_been(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama)
    options: dict[str, Any] = {"num_generations": 2, "sampling": Sampling(max_new_tokens=6), "batch_size": 4}
    whole = dict(policy.sample_texts([*PROMPTS, "egg"], **options))
    rest = dict(policy.sample_texts([*PROMPTS, "egg"], **options, done={0, 2}))
    assert rest == {index: whole[index] for index in (1, 3)}


def test_generate_gives_the_same_greedily_and_true_logps(tiny_llama: str) -> None:
    """The way for other models, shown on one that both ways can run."""
    policy = Policy.load(tiny_llama)
    coded, sampling = policy.encode_prompts(PROMPTS, max_new_tokens=6), Sampling(max_new_tokens=6, temperature=0.0)
    ours = policy.sample_tokens(coded, 1, sampling, torch.Generator())
    theirs = policy._generate(coded, 1, sampling, torch.Generator())
    assert [own[0].ids for own in ours] == [own[0].ids for own in theirs]
    for (mine,), (other,) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine.logps, other.logps, atol=1e-5)
        assert mine.finished == other.finished


def test_sequence_to_sequence_policies_answer_too(tiny_llama: str, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = None
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4, decoder_start_token_id=0,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    AutoModelForSeq2SeqLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    policy = Policy.load(str(tmp_path))
    assert [len(own) for own in answers(policy)] == [2, 2, 2]
    coded, sampling = policy.encode_prompts(PROMPTS, max_new_tokens=6), Sampling(max_new_tokens=6)
    found = policy.sample_tokens(coded, 2, sampling, torch.Generator().manual_seed(0))
    assert all(len(sample.ids) == len(sample.logps) for own in found for sample in own)
    assert policy.render("egg?") == "egg?"


def test_a_prompt_is_rendered_as_the_model_was_taught(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama)
    assert policy.render("egg?") == "<|im_start|>user\negg?<|im_end|>\n<|im_start|>assistant\n"
    policy.tokenizer.chat_template = None
    assert policy.render("egg?") == "egg?\n\n"
    policy.tokenizer.chat_template = "{{ raise_exception('no such role') }}"
    with pytest.raises(DataError, match="with the turns user: no such role"):
        policy.render("egg?")


def test_a_template_that_writes_bos_gets_no_second(tiny_gemma_like: str) -> None:
    policy = Policy.load(tiny_gemma_like)
    (ids,) = policy.encode_prompts(["egg?"], max_new_tokens=1)
    assert ids.count(policy.tokenizer.bos_token_id) == 1


def test_a_prompt_without_room_for_the_answer_is_named(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama)
    with pytest.raises(TextError, match="the policy reads 512") as caught:
        list(policy.sample_texts(["egg?", "egg " * 500], sampling=Sampling(max_new_tokens=100)))
    assert caught.value.index == 1


@pytest.mark.parametrize("policy", ["no/such-policy", "broken"])
def test_what_is_no_policy_is_a_model_error(policy: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="cannot load the policy"):
        Policy.load(policy if "/" in policy else str(tmp_path))
