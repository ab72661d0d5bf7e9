"""Sampling: what Transformers gives greedily, true frequencies and log-probabilities, whatever the batch."""

from __future__ import annotations

from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from guerdon.errors import ConfigError
from guerdon.policy.decode import Sample, Sampling, decode, draw, nucleus, supports_batched_decoding

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17], [12, 13]]


def model_of(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def sample(model: Any, prompts: list[list[int]], count: int = 1, seed: int = 0, **options: Any) -> list[list[Sample]]:
    eos = options.pop("eos_ids", ())
    sampling = Sampling(**({"max_new_tokens": 12} | options))
    generator = torch.Generator().manual_seed(seed)
    return decode(model, prompts, count, sampling, pad_id=0, eos_ids=eos, generator=generator)


def forward_logps(model: Any, prompt: list[int], ids: tuple[int, ...], temperature: float = 1.0) -> torch.Tensor:
    """The log-probabilities of an answer by one plain pass over prompt and answer."""
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return torch.log_softmax(logits / temperature, dim=1).gather(1, torch.tensor(ids).unsqueeze(1)).squeeze(1)


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_greedy_is_what_generate_gives(name: str, request: pytest.FixtureRequest) -> None:
    model = model_of(request.getfixturevalue(name))
    for prompt, (found,) in zip(PROMPTS, sample(model, PROMPTS, temperature=0.0), strict=True):
        expected = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=None, pad_token_id=0
        )
        assert list(found.ids) == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_logps_are_those_of_a_plain_pass(temperature: float, tiny_llama: str) -> None:
    model = model_of(tiny_llama)
    for prompt, samples in zip(PROMPTS, sample(model, PROMPTS, 3, temperature=temperature), strict=True):
        for found in samples:
            expected = forward_logps(model, prompt, found.ids, temperature)
            np.testing.assert_allclose(found.logps, expected, atol=1e-5)


def test_rows_that_end_leave_and_disturb_none(tiny_llama: str) -> None:
    """Every answer is the unended one of the same seed, up to its first end token."""
    model = model_of(tiny_llama)
    whole = sample(model, PROMPTS, 8, seed=3)
    seen = [token for samples in whole for found in samples for token in found.ids]
    ends = tuple(token for token, _ in zip(*np.unique(seen, return_counts=True), strict=True))[::3]
    cut = sample(model, PROMPTS, 8, seed=3, eos_ids=ends)
    lengths = set()
    for long, short in zip(chain(*whole), chain(*cut), strict=True):
        stop = next((place + 1 for place, token in enumerate(long.ids) if token in ends), None)
        assert short.ids == long.ids[:stop]
        assert short.finished == (stop is not None)
        np.testing.assert_allclose(short.logps, long.logps[:stop], atol=1e-5)
        lengths.add(len(short.ids))
    assert len(lengths) > 3


def test_a_prompt_is_answered_beside_others_as_alone(tiny_llama: str) -> None:
    model = model_of(tiny_llama)
    beside = sample(model, PROMPTS, temperature=0.0)
    assert beside == [*beside[:3], beside[1]], "equal prompts share their computation"
    for prompt, found in zip(PROMPTS, beside, strict=True):
        (alone,) = sample(model, [prompt], temperature=0.0)
        assert alone[0].ids == found[0].ids
        np.testing.assert_allclose(alone[0].logps, found[0].logps, atol=1e-5)


def test_tokens_come_as_often_as_they_are_probable() -> None:
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0, -3.0]]).expand(20_000, -1)
    token, logp = draw(logits, torch.rand(20_000, dtype=torch.float64), Sampling(temperature=0.7))
    expected = torch.softmax(logits[0] / 0.7, dim=0)
    counts = torch.bincount(token, minlength=5) / 20_000
    assert counts[2] == 0
    np.testing.assert_allclose(counts, expected, atol=0.015)
    torch.testing.assert_close(logp, expected.log()[token])


@pytest.mark.parametrize("number", [0.0, 1 - 2**-53])
def test_the_extremes_draw_possible_tokens(number: float) -> None:
    logits = torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]])
    token, _ = draw(logits, torch.tensor([number], dtype=torch.float64), Sampling())
    assert token.item() == (1 if number == 0 else 2)


def test_the_nucleus_is_the_smallest_that_holds_enough() -> None:
    probabilities = torch.tensor([[0.1, 0.5, 0.15, 0.25]])
    for top_p, kept in ((0.5, {1}), (0.51, {1, 3}), (0.75, {1, 3}), (0.76, {1, 2, 3}), (1e-9, {1})):
        assert set(nucleus(probabilities, top_p)[0].nonzero()[:, 0].tolist()) == kept


def test_only_plain_caches_are_decoded_here(tiny_llama: str, tiny_sliding: str) -> None:
    assert supports_batched_decoding(model_of(tiny_llama))
    assert not supports_batched_decoding(model_of(tiny_sliding))


def test_all_faults_of_a_sampling_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"max_new_tokens.*temperature.*top_p"):
        Sampling(max_new_tokens=0, temperature=-1, top_p=0)
