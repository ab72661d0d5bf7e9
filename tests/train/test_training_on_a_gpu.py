"""Training on a GPU: the gradients of a CPU, what is learnt, and a run that goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.loop import trainable
from guerdon.train.batches import RewardTrainee
from guerdon.train.train_run import prepare, train_reward_model, training_loop
from guerdon.types import AnyRow, Comparison

pytestmark = pytest.mark.gpu

MODELS = ["tiny_bert", "tiny_llama", "tiny_sliding"]


def pairs(toy: Any, count: int = 48) -> list[AnyRow]:
    return [Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0)) for _ in range(count)]


def checks(folder: Path) -> dict[int, float]:
    """Step -> loss on what is held out."""
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}


def gradients(rows: list[AnyRow], config: Any, device: str, folder: Path) -> tuple[float, dict[str, np.ndarray]]:
    """Loss and gradients of the first step in float32, where autocast has no part."""
    prepared, reward = prepare(rows, (), config)
    _, steps, _ = training_loop(prepared, 0, reward, folder)
    reward.to(device, "float32")
    trainee = RewardTrainee(reward.net, config, prepared.judged.outputs)
    total = 0.0
    for batch, targets in steps(0).micro_batches:
        inputs, known = ({name: tensor.to(device) for name, tensor in part.items()} for part in (batch, targets))
        loss, _ = trainee(inputs, known)
        loss.backward()
        total += loss.item()
    found = {name: one.grad.cpu().numpy() for name, one in trainable(trainee).items() if one.grad is not None}
    return total, found


@pytest.mark.parametrize("options", [{}, {"lora_r": 4}, {"gradient_checkpointing": True}, {"tokens_per_batch": 100}])
@pytest.mark.parametrize("name", MODELS)
def test_gradients_are_those_of_a_cpu(
    name: str, options: dict[str, Any], request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path
) -> None:
    config = quick(request.getfixturevalue(name), disable_dropout=True, **({"tokens_per_batch": 4096} | options))
    rows = pairs(toy)
    (loss, found), (expected_loss, expected) = (gradients(rows, config, device, tmp_path) for device in ("cuda", "cpu"))
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
        ("tiny_llama", {"gradient_checkpointing": True}),
    ],
)
def test_what_is_learnt_is_told_apart(
    name: str, options: dict[str, Any], request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path
) -> None:
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
