"""A GPU samples what its own log-probabilities say, and answers greedily as a CPU does."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.policy.decode import Sample, Sampling
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet, TokenizedGroup, response_batches
from guerdon.types import Dtype, Prompt

pytestmark = pytest.mark.gpu

PROMPTS: list[Prompt] = ["How do I boil an egg?", "planet?", "最大的行星", "planet?"]
Samples = list[list[Sample]]


def on(device: str, name: str, dtype: Dtype = "float32") -> Policy:
    return Policy.load(name, device=device, dtype=dtype)


def sample(policy: Policy, each: int = 1, *, seed: int = 0, ends: tuple[int, ...] = (), **options: Any) -> Samples:
    """Answers that end at one of `ends` alone."""
    policy.eos_ids = ends
    prompts = policy.encode_prompts(PROMPTS, max_new_tokens=16)
    sampling = Sampling(**({"max_new_tokens": 16} | options))
    return policy.sample_tokens(prompts, each, sampling, torch.Generator().manual_seed(seed))


def recomputed(policy: Policy, found: Samples, temperature: float = 1.0) -> list[np.ndarray]:
    """The log-probabilities of samples by one pass over prompt and response, as an update computes them."""
    prompts = policy.encode_prompts(PROMPTS, max_new_tokens=16)
    groups = [
        TokenizedGroup(tuple(prompt), tuple(one.ids for one in own)) for prompt, own in zip(prompts, found, strict=True)
    ]
    net, pad_id = PolicyNet(policy.model), policy.tokenizer.pad_token_id
    logps: dict[int, np.ndarray] = {}
    for items, batch in response_batches(groups, budget=10_000, pad_id=pad_id, shared=net.reads_groups):
        with torch.inference_mode():
            own = net({name: tensor.to(policy.model.device) for name, tensor in batch.items()}, temperature)
        for place, item in enumerate(items):
            logps[item] = own[(batch["response"] == place).to(own.device)].float().cpu().numpy()
    return [logps[item] for item in sorted(logps)]


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen", "tiny_sliding", "tiny_gemma_like"])
def test_greedy_answers_are_those_of_a_cpu(name: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    found, expected = (sample(on(device, folder), temperature=0.0) for device in ("cuda", "cpu"))
    for mine, theirs in zip(chain(*found), chain(*expected), strict=True):
        assert mine.ids == theirs.ids
        np.testing.assert_allclose(mine.logps, theirs.logps, atol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_logps_are_those_of_a_plain_pass(temperature: float, tiny_llama: str) -> None:
    policy = on("cuda", tiny_llama)
    found = sample(policy, 3, temperature=temperature)
    for one, expected in zip(chain(*found), recomputed(policy, found, temperature), strict=True):
        np.testing.assert_allclose(one.logps, expected, atol=1e-4)


def test_logps_in_bfloat16_are_those_of_a_plain_pass_within_its_bound(tiny_llama: str) -> None:
    policy = on("cuda", tiny_llama, "bfloat16")
    found = sample(policy, 8)
    gaps = [
        np.abs(np.array(one.logps) - expected)
        for one, expected in zip(chain(*found), recomputed(policy, found), strict=True)
    ]
    print("GAP", np.concatenate(gaps).mean(), np.concatenate(gaps).max())
    assert np.concatenate(gaps).mean() < 0.02  # a CPU: 0.004


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_sliding"])
def test_the_seed_decides_the_answers(name: str, request: pytest.FixtureRequest) -> None:
    policy = on("cuda", request.getfixturevalue(name))
    state = torch.cuda.get_rng_state()
    first, again, other = ([one.ids for one in chain(*sample(policy, 4, seed=seed, top_p=0.9))] for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.cuda.get_rng_state(), state), "nobody else's random numbers are used up"
    assert len(set(first)) > len(PROMPTS)


def test_answers_end_and_disturb_none(tiny_llama: str) -> None:
    """Every answer is the unended one of the same seed, up to its first end token."""
    policy = on("cuda", tiny_llama)
    whole = sample(policy, 8, seed=3)
    seen = [token for one in chain(*whole) for token in one.ids]
    ends = tuple(int(token) for token in np.unique(seen)[::3])
    lengths = set()
    for long, short in zip(chain(*whole), chain(*sample(policy, 8, seed=3, ends=ends)), strict=True):
        stop = next((place + 1 for place, token in enumerate(long.ids) if token in ends), None)
        assert short.ids == long.ids[:stop]
        assert short.finished == (stop is not None)
        lengths.add(len(short.ids))
    assert len(lengths) > 3


def test_tokens_come_as_often_as_they_are_probable(tiny_llama: str) -> None:
    policy = on("cuda", tiny_llama)
    found = sample(policy, 2000, max_new_tokens=1)[0]
    tokens, counts = np.unique([one.ids[0] for one in found], return_counts=True)
    probability = {one.ids[0]: np.exp(one.logps[0]) for one in found}
    expected = np.array([probability[token] for token in tokens])
    np.testing.assert_allclose(counts / 2000, expected, atol=4 * np.sqrt(0.25 / 2000))


def test_the_gpu_is_taken_unasked_in_bfloat16(tiny_llama: str) -> None:
    policy = Policy.load(tiny_llama)
    assert policy.model.device.type == "cuda"
    assert policy.model.dtype == torch.bfloat16
    assert all(len(own) == 2 for _, own in policy.sample_texts(PROMPTS, num_generations=2))


def test_what_a_gpu_saves_a_cpu_reads(tiny_llama: str, tmp_path: Path) -> None:
    policy = on("cuda", tiny_llama)
    policy.add_lora(2, 4)
    policy.save(tmp_path, training={})
    found, expected = (sample(one, temperature=0.0) for one in (on("cpu", str(tmp_path)), on("cpu", tiny_llama)))
    assert [one.ids for one in chain(*found)] == [one.ids for one in chain(*expected)]
