"""Training on a GPU: the gradients of a CPU, what is learnt, and a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.loop import trainable
from guerdon.train.batch_choice import computing_rows, measured_batching, memory_budget
from guerdon.train.batches import RewardTrainee
from guerdon.train.train_run import plain_batching, prepare, train_reward_model, training_loop
from guerdon.types import AnyRow, Comparison

pytestmark = pytest.mark.gpu

MODELS = ["tiny_bert", "tiny_llama", "tiny_sliding"]


def pairs(toy: Any, count: int = 48) -> list[AnyRow]:
    return [Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0)) for _ in range(count)]


def checks(folder: Path) -> dict[int, float]:
    """Step -> loss on what is held out."""
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}


def gradients(rows: list[AnyRow], config: Any, device: str) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of the first step in float32, where autocast has no part."""
    prepared, reward = prepare(rows, (), config)
    if config.gradient_checkpointing:
        reward.net.recompute_activations()
    reward.to(device, "float32")
    trainee = RewardTrainee(reward.net, config, prepared.judged.outputs)
    total = 0.0
    for batch, targets in plain_batching(prepared, reward).step(prepared.plans[0][0]).micro_batches:
        inputs, known = ({name: tensor.to(device) for name, tensor in part.items()} for part in (batch, targets))
        loss, _ = trainee(inputs, known)
        loss.backward()
        total += loss.item()
    found = {name: one.grad.cpu().numpy() for name, one in trainable(trainee).items() if one.grad is not None}
    return total, found


@pytest.mark.parametrize("options", [{}, {"lora_r": 4}, {"gradient_checkpointing": True}, {"tokens_per_batch": 100}])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_a_cpu(
    name: str, options: dict[str, Any], request: pytest.FixtureRequest, toy: Any, quick: Any
) -> None:
    config = quick(request.getfixturevalue(name), disable_dropout=True, **({"tokens_per_batch": 4096} | options))
    rows = pairs(toy)
    (loss, found), (expected_loss, expected) = (gradients(rows, config, device) for device in ("cuda", "cpu"))
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    assert found.keys() == expected.keys()
    for key, gradient in expected.items():
        np.testing.assert_allclose(found[key], gradient, rtol=1e-3, atol=1e-4 * np.abs(gradient).max(), err_msg=key)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tiny_bert", {}),
        ("tiny_llama", {}),
        ("tiny_sliding", {}),
        ("tiny_llama", {"lora_r": 8, "learning_rate": 2e-2}),
        ("tiny_llama", {"lora_r": 8, "learning_rate": 2e-2, "base_dtype": "bfloat16"}),
        ("tiny_llama", {"lora_r": 8, "learning_rate": 2e-2, "base_dtype": "nf4"}),
        ("tiny_bert", {"lora_r": 8, "learning_rate": 2e-2, "base_dtype": "nf4"}),
        ("tiny_llama", {"gradient_checkpointing": True}),
    ],
)
def test_what_is_learnt_is_told_apart(
    name: str, options: dict[str, Any], request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path
) -> None:
    if options.get("base_dtype") == "nf4":
        pytest.importorskip("bitsandbytes", reason="the extra `nf4` is not installed")
    config = quick(request.getfixturevalue(name), epochs=6, validation=0.2, eval_steps=4, **options)
    scorer = train_reward_model(pairs(toy, 160), tmp_path, config)
    assert isinstance(scorer, TransformerReward)
    assert scorer.device.type == "cuda"
    losses = checks(tmp_path)
    assert min(losses.values()) < 0.5 * losses[4]
    assert toy.accuracy(scorer, 3, 0) > 0.9
    assert toy.accuracy(load_scorer(tmp_path, device="cpu"), 3, 0) > 0.9


def test_a_broken_run_goes_on_as_if_nothing_had_happened(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    """Nearly so: a GPU adds up in another order each time."""
    rows = pairs(toy, 80)
    config = quick(tiny_bert, epochs=2, batch_size=8, validation=0.2, eval_steps=2, learning_rate=1e-3)

    def stop(metrics: dict[str, float]) -> None:
        if metrics["step"] == 7:
            raise KeyboardInterrupt

    train_reward_model(rows, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        train_reward_model(rows, tmp_path / "broken", config, on_step=stop)
    train_reward_model(rows, tmp_path / "broken", config, resume=True)
    whole, broken = checks(tmp_path / "whole"), checks(tmp_path / "broken")
    assert whole.keys() == broken.keys()
    for step, loss in whole.items():
        assert broken[step] == pytest.approx(loss, abs=0.02), step


def begun(name: str, config: Any, rows: list[AnyRow], folder: Path) -> Any:
    """The parts of a run before its first step."""
    prepared, reward = prepare(rows, (), config)
    loop, steps, _ = training_loop(prepared, 0, reward, folder)
    return loop, reward, plain_batching(prepared, reward), prepared.plans[0], steps


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_every_layout_gives_the_gradient_of_padded_rows(
    name: str, request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Packed rows too, which variable-length attention computes in bfloat16: none is left out."""
    config = quick(request.getfixturevalue(name), disable_dropout=True)
    with caplog.at_level("INFO", logger="guerdon.train.batch_choice"):
        loop, _, _, _, _ = begun(name, config, pairs(toy), tmp_path)
    assert loop.accelerator.mixed_precision == "bf16"
    assert "rows are not used" not in caplog.text
    assert all(f"{layout} " in caplog.messages[-1] for layout in ("packed", "shared", "padded"))


@pytest.mark.parametrize("name", ["tiny_llama", "tiny_qwen"])
def test_nothing_waits_for_the_device_inside_a_step(
    name: str, request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path
) -> None:
    config = quick(request.getfixturevalue(name), disable_dropout=True)
    loop, reward, _, _, steps = begun(name, config, pairs(toy), tmp_path)
    with computing_rows(loop, reward.net):
        loop.update(steps(0))  # the optimiser makes its state
        following = steps(1)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            loop.update(following)
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_what_is_measured_fits_and_leaves_the_run_as_it_was(
    tiny_llama: str, toy: Any, quick: Any, tmp_path: Path
) -> None:
    loop, reward, batching, plan, _ = begun("tiny_llama", quick(tiny_llama, disable_dropout=True), pairs(toy), tmp_path)
    before = {key: value.clone() for key, value in reward.net.state_dict().items()}
    drawn = torch.cuda.get_rng_state()
    assert 1024 <= memory_budget(loop, batching, plan[0]) <= 131_072
    chosen = measured_batching(loop, reward.net, batching, plan, tokens=2048)
    assert chosen.budget.tokens == 2048, "what the user asks for stays"
    assert torch.equal(torch.cuda.get_rng_state(), drawn)
    assert all(torch.equal(value, before[key]) for key, value in reward.net.state_dict().items())


def test_a_step_that_exceeds_the_memory_is_taken_in_smaller_ones(
    tiny_llama: str, toy: Any, quick: Any, tmp_path: Path
) -> None:
    """The card is made small: a step that fits into it no more gives the weights that it gives where it fits."""
    rows: list[AnyRow] = [
        Comparison(prompt=toy.prompt(), chosen=toy.response(3) * 12, rejected=toy.response(0) * 12) for _ in range(256)
    ]
    config = quick(tiny_llama, disable_dropout=True, batch_size=256, epochs=1, tokens_per_batch=1 << 20)

    def taken(share: float, needed: int = 0) -> tuple[int, int, dict[str, torch.Tensor]]:
        """The step where only this share of the bytes that it needs is there; its budget, its bytes, the weights."""
        loop, reward, batching, plan, _ = begun("tiny_llama", config, rows, tmp_path / str(share))
        step = batching.step(plan[0])
        assert len(step.micro_batches) == 1
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        held, total = torch.cuda.memory_reserved(), torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, (held + share * needed) / total) if needed else 1.0)
        try:
            with computing_rows(loop, reward.net):
                loop.update(step)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        weights = {key: value.detach().cpu() for key, value in trainable(loop.bare).items()}
        return batching.budget.tokens, torch.cuda.max_memory_reserved() - held, weights

    budget, needed, expected = taken(1.0)
    assert budget == 1 << 20
    halved, _, found = taken(0.7, needed)
    assert halved < budget
    for key, value in expected.items():  # Adam's first step is the learning rate, whatever the gradient's size
        torch.testing.assert_close(found[key], value, rtol=0, atol=2 * config.learning_rate)
