"""Texts go through a network in chunks: made ahead, fetched once each, and in batches that the memory takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.errors import ModelError, TextError
from guerdon.rewards import streaming, transformer
from guerdon.rewards.embedding import TextEncoder
from guerdon.rewards.streaming import budget_on, chunks_of, read_in_chunks, within_memory
from guerdon.rewards.transformer import ProcessReward, TransformerReward
from guerdon.types import Prompt

Texts = tuple[list[Prompt], list[str]]


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHUNK_TEXTS", 3)


@pytest.mark.usefixtures("small_chunks")
def test_chunks_hold_like_lengths_longest_first_and_equal_texts_side_by_side() -> None:
    prompts = ["ask", "a longer question", "ask", "ask", "ask", "a longer question", "ask"]
    responses = ["four", "12", "four", "two words", "12", "this is the longest of all", "four"]
    assert chunks_of(prompts, responses, by_prompt=False) == [[5, 1, 3], [0, 2, 6], [4]]
    assert chunks_of(prompts, responses, by_prompt=True) == [[5, 1, 3], [0, 2, 6], [4]]
    assert chunks_of(["bb", "a", "bb"], ["1", "a long response", "22"], by_prompt=True) == [[2, 0, 1]]
    assert chunks_of(["bb", "a", "bb"], ["1", "a long response", "22"], by_prompt=False) == [[1, 2, 0]]
    assert chunks_of([], [], by_prompt=False) == []


def test_chunks_of_long_texts_hold_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "CHUNK_CHARACTERS", 20)
    prompts = ["p" * 9] * 4
    responses = ["r" * size for size in (3, 9, 40, 8)]
    assert chunks_of(prompts, responses, by_prompt=False) == [[2], [1], [3], [0]]
    assert chunks_of(prompts, responses, by_prompt=True) == [[2], [1, 3, 0]], "what is computed once counts once"


def test_a_chunk_is_made_while_the_one_before_is_computed_and_fetched_behind_the_next() -> None:
    events: list[str] = []
    second = threading.Event()

    def make(places: Sequence[int]) -> str:
        assert threading.current_thread() is not threading.main_thread()
        if places[0] == 2:
            second.set()
        return f"{places}"

    def begin(made: str, places: Sequence[int]) -> Callable[[], np.ndarray]:
        assert made == f"{places}"
        assert second.wait(timeout=20)  # chunk 1 is made before chunk 0 has begun
        events.append(f"begin {places[0]}")

        def wait() -> np.ndarray:
            events.append(f"fetch {places[0]}")
            return np.full((len(places), 1 + places[0]), places[0], dtype=np.float32)

        return wait

    found = read_in_chunks([[0, 1], [2, 3], [4]], make, begin, 2, device=torch.device("cuda"))
    assert events == ["begin 0", "begin 2", "fetch 0", "begin 4", "fetch 2", "fetch 4"]
    assert found.shape == (5, 5)
    np.testing.assert_array_equal(found[:, 0], [0, 0, 2, 2, 4])
    assert np.isnan(found[0, 1:]).all()
    assert not np.isnan(found[4]).any()
    assert read_in_chunks([], make, begin, 2, device=torch.device("cuda")).shape == (0, 2)


def test_a_cpu_makes_one_chunk_after_the_other() -> None:
    made: list[int] = []

    def make(places: Sequence[int]) -> int:
        assert threading.current_thread() is threading.main_thread()
        made.append(places[0])
        return len(made)

    def begin(number: int, places: Sequence[int]) -> Callable[[], np.ndarray]:
        assert made[-1] == places[0]
        return lambda: np.full((len(places), 1), number, dtype=np.float32)

    found = read_in_chunks([[1], [0, 2]], make, begin, 1, device=torch.device("cpu"))
    assert found[:, 0].tolist() == [2, 1, 2]


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", "tiny_gemma_like"])
def test_scores_do_not_depend_on_chunks(name: str, request: pytest.FixtureRequest, texts: Texts) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    prompts, responses = texts
    together = reward.score(prompts, responses)
    alone = np.concatenate([reward.score([p], [r]) for p, r in zip(prompts, responses, strict=True)])
    assert len(prompts) > 3
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("small_chunks")
def test_solutions_of_several_chunks_have_their_own_numbers_of_steps(tiny_llama: str) -> None:
    reward = TransformerReward.create(tiny_llama, pooling="steps", step_unit="line", aggregation="min")
    assert isinstance(reward, ProcessReward)
    responses = ["two\nnumbers\nadded", "one", "boil\nan egg", "a\nb\nc\nd\ne", "egg"]
    found = reward.step_scores(["add"] * 5, responses)
    assert (~np.isnan(found)).sum(axis=1).tolist() == [3, 1, 2, 5, 1]
    for response, own in zip(responses, found, strict=True):
        alone = reward.step_scores(["add"], [response])[0]
        np.testing.assert_allclose(own[: len(alone)], alone, rtol=0, atol=1e-5)


@pytest.mark.usefixtures("small_chunks")
def test_values_are_fetched_once_a_chunk(tiny_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = TransformerReward.create(tiny_bert)
    reward.tokens_per_batch = 16  # about a text to a batch
    passes, fetches = [], []
    forward, fetched = reward.net.forward, streaming.fetched
    monkeypatch.setattr(reward.net, "forward", lambda **batch: passes.append(1) or forward(**batch))
    monkeypatch.setattr(transformer, "fetched", lambda values: fetches.append(1) or fetched(values))
    reward.score(["egg"] * 7, ["boil it" + " and wait" * n for n in range(7)])
    assert len(fetches) == 3
    assert len(passes) == 7


@pytest.mark.usefixtures("small_chunks")
def test_a_text_that_cannot_be_read_has_its_number_among_all(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert, overlong="error")
    responses = ["egg", "boil " * 200, *["an egg"] * 6]
    with pytest.raises(TextError) as caught:
        reward.score(["egg"] * 8, responses)
    assert caught.value.index == 1


@pytest.mark.usefixtures("small_chunks")
def test_what_was_lost_in_reading_is_told_of_all_texts(tiny_bert: str, caplog: pytest.LogCaptureFixture) -> None:
    reward = TransformerReward.create(tiny_bert, overlong="cut")
    reward.score(["egg " * 200] * 2 + ["egg"] * 6, [f"boil {n}" for n in range(8)])
    assert caplog.messages == ["2 of 8 prompts were cut on the left to fit max_length"]


def crowded(forward: Callable[..., torch.Tensor], most: int) -> Callable[..., torch.Tensor]:
    """A network for which the memory suffices up to so many padded tokens."""

    def compute(**batch: Any) -> torch.Tensor:
        if batch["input_ids"].numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(**batch)

    return compute


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama"])
def test_batches_shrink_until_the_memory_suffices(
    name: str, request: pytest.FixtureRequest, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = TransformerReward.create(request.getfixturevalue(name))
    expected = reward.score(*texts)
    reward.tokens_per_batch = 4096
    longest = max(map(len, reward.encode(*texts).tokens))
    monkeypatch.setattr(reward.net, "forward", crowded(reward.net.forward, longest))
    np.testing.assert_allclose(reward.score(*texts), expected, rtol=0, atol=1e-5)
    assert longest / 2 < reward.tokens_per_batch <= longest


def test_a_text_for_which_the_memory_never_suffices_is_told(
    tiny_bert: str, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = TransformerReward.create(tiny_bert)
    monkeypatch.setattr(reward.net, "forward", crowded(reward.net.forward, 2))
    with pytest.raises(ModelError, match=r"CUDA out of memory, for one text of \d+ tokens\. Fix: --device cpu"):
        reward.score(*texts)
    assert within_memory(lambda budget: budget, 8, 100) == (8, 8)


def test_a_gpu_gets_larger_batches() -> None:
    assert budget_on("cuda:0") > 16 * budget_on(torch.device("cpu"))


@pytest.mark.usefixtures("small_chunks")
def test_vectors_do_not_depend_on_chunks(tiny_bert: str) -> None:
    encoder = TextEncoder(tiny_bert, "cpu", False)
    texts = [f"boil {n} eggs" + " and wait" * n for n in range(8)] + ["龘 龘"]
    found = encoder.embed(texts)
    assert not found[-1].any()
    for text, vector in zip(texts, found, strict=True):
        np.testing.assert_allclose(TextEncoder(tiny_bert, "cpu", False).embed([text])[0], vector, rtol=0, atol=1e-6)
