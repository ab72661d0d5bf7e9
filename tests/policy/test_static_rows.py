"""Memory that stays: the responses that growing memory gives, on a CPU as on a GPU, whatever was there before."""

from __future__ import annotations

from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from guerdon.policy import static_rows
from guerdon.policy.decode import Sample, Sampling, decode
from guerdon.policy.model import Policy
from guerdon.policy.static_rows import StaticMemory, replays_steps

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16, 17], [12, 13]]


def model_of(folder: str) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder).eval()


def sample(
    model: Any, memory: StaticMemory | None, count: int = 8, prompts: Any = PROMPTS, **options: Any
) -> list[Sample]:
    eos, seed = options.pop("eos_ids", ()), options.pop("seed", 3)
    sampling = Sampling(**({"max_new_tokens": 12} | options))
    generator = torch.Generator().manual_seed(seed)
    found = decode(model, prompts, count, sampling, pad_id=0, eos_ids=eos, generator=generator, memory=memory)
    return list(chain(*found))


def assert_same(found: list[Sample], expected: list[Sample], tolerance: float = 1e-5) -> None:
    assert [one.ids for one in found] == [one.ids for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one.logps, other.logps, atol=tolerance)
        assert one.finished == other.finished


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_greedy_is_what_generate_gives(name: str, request: pytest.FixtureRequest) -> None:
    model = model_of(request.getfixturevalue(name))
    for prompt, found in zip(PROMPTS, sample(model, StaticMemory(model), 1, temperature=0.0), strict=True):
        expected = model.generate(
            torch.tensor([prompt]), do_sample=False, max_new_tokens=12, eos_token_id=None, pad_token_id=0
        )
        assert list(found.ids) == expected[0, len(prompt) :].tolist()


@pytest.mark.parametrize("options", [{}, {"top_p": 0.8}, {"temperature": 0.5}], ids=str)
def test_responses_are_those_of_growing_memory(options: dict[str, Any], tiny_llama: str) -> None:
    model = model_of(tiny_llama)
    assert_same(sample(model, StaticMemory(model), **options), sample(model, None, **options))


def test_what_was_there_before_is_forgotten(tiny_llama: str) -> None:
    """Longer, shorter, wider, narrower: every batch is answered as in memory of its own."""
    model = model_of(tiny_llama)
    memory = StaticMemory(model)
    long = [[*range(20, 90)], [9, 8, 7]]
    for prompts, count, tokens in ((long, 3, 8), (PROMPTS, 2, 5), (PROMPTS, 8, 60), (long[1:], 1, 3), (long, 3, 8)):
        options: dict[str, Any] = {"prompts": prompts, "max_new_tokens": tokens}
        assert_same(sample(model, memory, count, **options), sample(model, None, count, **options))


def test_rows_that_end_leave_by_quarters_and_disturb_none(tiny_llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tiny_llama)
    monkeypatch.setattr(static_rows, "_FEWEST_ROWS", 2)
    whole = sample(model, None, 8, max_new_tokens=20)
    tokens = [token for one in whole for token in one.ids]
    ends = tuple(np.unique(tokens))[::12]
    memory = StaticMemory(model)
    found = sample(model, memory, 8, max_new_tokens=20, eos_ids=ends)
    assert_same(found, sample(model, None, 8, max_new_tokens=20, eos_ids=ends))
    assert {rows for rows, *_ in memory._steps} >= {32, 8}


def test_ends_are_found_however_seldom_they_are_looked_for(tiny_llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(tiny_llama)
    ends = tuple({one.ids[3] for one in sample(model, None)})
    expected = sample(model, None, eos_ids=ends, max_new_tokens=11)
    monkeypatch.setattr("guerdon.policy.decode._tokens_between_checks", lambda _: 4)
    for memory in (None, StaticMemory(model)):
        assert_same(sample(model, memory, eos_ids=ends, max_new_tokens=11), expected)


def test_new_weights_are_sampled_from(tiny_llama: str) -> None:
    """In place, as an optimiser changes them, and elsewhere, as a model that was moved has them."""
    model = model_of(tiny_llama)
    memory = StaticMemory(model)
    before = sample(model, memory)
    with torch.no_grad():
        model.lm_head.weight.neg_()
    changed = sample(model, memory)
    assert [one.ids for one in changed] != [one.ids for one in before]
    assert_same(changed, sample(model, None))
    model.lm_head.weight.data = -model.lm_head.weight.data
    assert_same(sample(model, memory), before)


@pytest.mark.slow
def test_the_step_is_one_graph_for_a_compiler(tiny_llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Inductor is given on a GPU has no break."""
    model = model_of(tiny_llama)
    monkeypatch.setattr(static_rows.torch, "compile", partial(torch.compile, backend="eager"))
    memory = StaticMemory(model, compiled=True)
    assert_same(sample(model, memory), sample(model, None))
    assert not memory._failed
    assert model.config._attn_implementation == "sdpa"


def test_a_compiler_that_fails_is_done_without(
    tiny_llama: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise RuntimeError("no C compiler")

    model = model_of(tiny_llama)
    monkeypatch.setattr(static_rows.torch, "compile", fails)
    assert_same(sample(model, StaticMemory(model, compiled=True)), sample(model, None))
    assert "without a compiler: RuntimeError: no C compiler" in caplog.text
    assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("wrong", ["tokens", "log-probabilities"])
def test_a_compiled_step_that_draws_otherwise_is_done_without(
    wrong: str, tiny_llama: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def miscompiled(step: Any, **_: Any) -> Any:
        def other() -> Any:
            tokens, logps = step()
            return (tokens + 1, logps) if wrong == "tokens" else (tokens, logps - 1)

        return other

    model = model_of(tiny_llama)
    monkeypatch.setattr(static_rows.torch, "compile", miscompiled)
    assert_same(sample(model, StaticMemory(model, compiled=True)), sample(model, None))
    assert "without a compiler: RuntimeError: it draws other tokens than a plain step" in caplog.text


def test_a_cpu_replays_nothing(tiny_llama: str) -> None:
    assert not replays_steps(model_of(tiny_llama))


@pytest.mark.gpu
@pytest.mark.parametrize("adapters", [False, True])
def test_a_gpu_replays_what_a_cpu_computes(adapters: bool, tiny_llama: str) -> None:
    here = Policy.load(tiny_llama, device="cpu", dtype="float32")
    there = Policy.load(tiny_llama, device="cuda", dtype="float32")
    if adapters:
        for policy in (here, there):
            torch.manual_seed(0)
            policy.add_lora(2, 4)
            policy.model.eval()
    assert replays_steps(there.model)
    for count in (8, 3, 8):
        expected = here.sample_tokens(PROMPTS, count, Sampling(40), torch.Generator().manual_seed(1))
        found = there.sample_tokens(PROMPTS, count, Sampling(40), torch.Generator().manual_seed(1))
        assert_same(list(chain(*found)), list(chain(*expected)), 1e-4)


@pytest.mark.gpu
def test_compiled_steps_on_a_gpu_give_the_same(tiny_llama: str) -> None:
    model = model_of(tiny_llama).to("cuda")
    memory = StaticMemory(model, compiled=True)
    assert_same(sample(model, memory, max_new_tokens=40), sample(model, None, max_new_tokens=40), 1e-4)
    assert not memory._failed
