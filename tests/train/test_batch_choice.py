"""Layout and size of micro-batches are measured over the run's own steps, and nothing is left behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.utils._python_dispatch import TorchDispatchMode

from guerdon import row_attention
from guerdon.collation import Layout, TokenTable
from guerdon.rewards.transformer import TransformerReward
from guerdon.row_attention import unmasked
from guerdon.runs.loop import Loop, LoopConfig, Step
from guerdon.train import batch_choice
from guerdon.train.batch_choice import budget_within, computing_rows, fastest_batching, measured_batching
from guerdon.train.batches import Batching, RewardTrainee, TokenBudget
from guerdon.train.judgements import Compared, HeadOutputs, Judgement, Listed, Rated
from guerdon.train.train_config import TrainConfig

LAYOUTS: list[Layout] = ["packed", "shared", "padded"]


def test_the_budget_is_what_fits_beside_the_optimiser() -> None:
    assert budget_within(free=10e9, states=2e9, per_token=1e6) == 6144, "0.8 x 8e9 / 1e6 = 6,400"
    assert budget_within(free=1e9, states=2e9, per_token=1e6) == 1024, "at least a thousand"
    assert budget_within(free=1e12, states=0, per_token=1e3) == 131_072


@pytest.fixture
def run(tiny_llama: str, tmp_path: Path) -> Iterator[tuple[Loop, TransformerReward, Batching, list[list[Judgement]]]]:
    reward = TransformerReward.create(tiny_llama)
    prompts = ["How do I boil an egg?", "Which planet?", "怎样煮鸡蛋？", "add two numbers"]
    texts = [(prompt, f"{word} answer " * n) for prompt in prompts for n, word in ((1, "good"), (4, "rude"))]
    tokens = TokenTable(reward.encode(*map(list, zip(*texts, strict=True))).tokens)  # type: ignore[arg-type]
    steps: list[list[Judgement]] = [[Compared(n, n + 1) for n in range(0, len(texts), 2)] for _ in range(3)]
    trainee = RewardTrainee(reward.net, TrainConfig(), HeadOutputs(("score",), ("score",)))
    settings = LoopConfig(steps=3, learning_rate=0.1, save_steps=3, examples_per_step=4)
    loop = Loop(trainee, settings, tmp_path)
    keys = [prompt for prompt, _ in texts]
    batching = Batching(tokens, keys, TokenBudget(512), reward.contract.pad_token_id, "shared", positions=True)
    with unmasked(reward.net.classifier):
        yield loop, reward, batching, steps


def test_the_fastest_is_taken_and_nothing_is_left_behind(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, reward, batching, steps = run
    measured: list[int] = []

    def seconds(loop: Loop, steps: list[Step]) -> float:
        measured.append(len(steps[0].micro_batches))
        return [3.0, 2.0, float("inf"), 1.0, 5.0, 5.0][len(measured) - 1]

    own = batch_choice._seconds
    weights = {name: value.clone() for name, value in reward.net.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for timing in (own, seconds):
        monkeypatch.setattr(batch_choice, "_seconds", timing)
        found = fastest_batching(loop, reward.net, batching, steps, layouts=LAYOUTS, budgets=[512, 32])
        assert all(parameter.grad is None for parameter in reward.net.parameters())
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, weights[name]) for name, value in reward.net.state_dict().items())
    assert (found.layout, found.budget.tokens) == ("shared", 32)
    assert measured == [1, 4, 1, 4, 1, 4]
    assert (loop.step, loop.examples) == (0, 0)


def test_time_is_a_number_and_a_size_that_does_not_fit_is_never_the_fastest(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, _, batching, steps = run
    assert 0 < batch_choice._seconds(loop, [batching.step(steps[0])]) < 60

    def full(step: Step) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(loop, "gradient", full)
    assert batch_choice._seconds(loop, [batching.step(steps[0])]) == float("inf")


def test_where_nothing_fits_the_loop_decides(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, reward, batching, steps = run

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(batch_choice, "_score_gradient", full)
    assert fastest_batching(loop, reward.net, batching, steps, layouts=LAYOUTS, budgets=[512, 32]) is batching


@pytest.mark.parametrize("fault", ["aligned at the first token", "missing"])
def test_a_layout_with_another_gradient_is_not_used(
    fault: str, run: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    loop, reward, batching, steps = run

    def broken(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, packed: Any, scale: float) -> torch.Tensor:
        if fault == "missing":
            raise RuntimeError("no kernel for heads of this size")
        pieces = pairwise(zip(packed.query_starts.tolist(), packed.key_starts.tolist(), strict=True))
        found = []
        for (query, key), (query_stop, _) in pieces:  # each suffix takes its prefix for itself
            size = query_stop - query
            parts = (q[query:query_stop], k[key : key + size], v[key : key + size])
            own_q, own_k, own_v = (part.transpose(0, 1)[None] for part in parts)
            read = scaled_dot_product_attention(own_q, own_k, own_v, is_causal=True, scale=scale, enable_gqa=True)
            found.append(read[0].transpose(0, 1))
        return torch.cat(found)

    monkeypatch.setattr(row_attention, "_attend_pieces", broken)
    monkeypatch.setattr(batch_choice, "_seconds", lambda loop, steps: 1.0)
    found = fastest_batching(loop, reward.net, batching, steps, layouts=LAYOUTS, budgets=[512])
    assert found.layout == "shared"
    said = "packed rows are not used: " + ("no kernel" if fault == "missing" else "their gradient is off by")
    assert said in caplog.text


class ReadBack(TorchDispatchMode):
    """Notes what reads a value of a tensor into Python, for which a GPU would be waited for."""

    WAITS = ("aten._local_scalar_dense", "aten.nonzero", "aten.equal", "aten.masked_select", "aten.unique")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if str(function).startswith(self.WAITS):
            self.found.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("layout", ["shared", "padded"])
def test_nothing_is_read_back_inside_a_step(layout: Layout, run: Any) -> None:
    """Counted on a CPU: a mask of tokens costs one look at it, rows without a mask none."""
    loop, _, batching, steps = run
    lists = [Listed((0, 1), (1.0, 0.0)), Listed((2, 3), (1.0, 0.0), contrastive=True), Rated(4, (0.5,))]
    judged = [replace(batching, layout=layout).step([*steps[0], *lists]) for _ in range(2)]
    loop.update(judged[0])  # the optimiser makes its state
    with ReadBack() as seen:
        loop.update(loop.prepared(judged[1]))
    assert seen.found == []
    with ReadBack() as seen:
        loop._means()
    assert seen.found, "it is read when it is logged"


def test_a_cpu_keeps_the_batching_that_it_has(tiny_llama: str, run: Any) -> None:
    loop, reward, batching, steps = run
    assert measured_batching(loop, reward.net, batching, steps, tokens=0) is batching
    other = TransformerReward.create(tiny_llama)
    with computing_rows(loop, other.net):
        assert other.net.classifier.config._attn_implementation == "sdpa"
