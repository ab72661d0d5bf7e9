"""Two processes give the model that one gives."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from guerdon.data.write import write_rows
from guerdon.runs import loop
from guerdon.train.train_run import train_reward_model
from guerdon.types import AnyRow, Comparison, Reference

EPSILON = 1e-3
"""Of Adam. The usual 1e-8 enlarges the rounding of a gradient that is nearly 0 to whole steps, and hides its scale."""

CHILD = """
import json, sys
from guerdon.runs import loop
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
loop.ADAM_EPSILON = VALUE
data, out, config, resume = sys.argv[1:]
scorer = train_reward_model(data, out, TrainConfig(**json.loads(config)), resume=resume == "True")
print("score", scorer.score(["boil egg two"], ["good water"])[0])
"""


def launch(data: Path, out: Path, config: Any, *, resume: bool = False) -> str:
    """Trains in two processes on the CPU, which meet by gloo; gives what they print."""
    options = json.dumps(dataclasses.asdict(config))
    script = out.parent / "child.py"
    script.write_text(CHILD.replace("VALUE", str(EPSILON)))
    result = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
            str(script), str(data), str(out), options, str(resume),
        ],
        capture_output=True,
        text=True,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"},
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-9000:]
    return result.stdout


def same_weights(two: Path, one: Path) -> None:
    found, expected = load_file(two), load_file(one)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=1e-6, msg=lambda m, n=name: f"{n}: {m}")


@pytest.fixture(autouse=True)
def epsilon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "ADAM_EPSILON", EPSILON)


@pytest.fixture
def without_dropout(tiny_bert: str, tmp_path: Path) -> str:
    """Dropout is drawn anew by each process, so it cannot be compared."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(
        tiny_bert, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
    )
    model.save_pretrained(tmp_path / "backbone")
    AutoTokenizer.from_pretrained(tiny_bert).save_pretrained(tmp_path / "backbone")
    return str(tmp_path / "backbone")


def rows_of(toy: Any, kind: str) -> list[AnyRow]:
    if kind == "references":
        return [Reference(prompt=toy.prompt(), reference=toy.response(3)) for _ in range(16)]
    return [
        Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0) * (1 + n % 4))
        for n in range(40)
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("pairs", {}),
        ("pairs", {"tokens_per_batch": 64}),  # the processes have different numbers of micro-batches
        ("pairs", {"lora_r": 4}),
        ("pairs", {"batch_size": 7}),
        ("references", {"negatives_policy": "tiny_llama"}),  # its answers are drawn by the first process only
        ("pairs", {"ensemble_size": 2}),
    ],
)
def test_two_processes_are_as_one(
    kind: str, options: dict[str, Any], without_dropout: str, tiny_llama: str, toy: Any, quick: Any, tmp_path: Path
) -> None:
    data = tmp_path / "rows.jsonl"
    write_rows(rows_of(toy, kind), data)
    if "negatives_policy" in options:
        options = options | {"negatives_policy": tiny_llama}
    usual = {"epochs": 1, "batch_size": 8, "validation": 0.2, "eval_steps": 2, "learning_rate": 1e-3}
    config = quick(without_dropout, **(usual | options))
    train_reward_model(str(data), tmp_path / "one", config)
    printed = launch(data, tmp_path / "two", config)
    assert len({line for line in printed.splitlines() if line.startswith("score")}) == 1, "all processes agree"
    files = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*model.safetensors")]
    assert len(files) == options.get("ensemble_size", 1)
    for file in files:
        same_weights(tmp_path / "two" / file, tmp_path / "one" / file)


@pytest.mark.slow
def test_two_processes_resume(without_dropout: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    write_rows(rows_of(toy, "pairs"), data)
    config = quick(without_dropout, epochs=2, batch_size=8, eval_steps=2, learning_rate=1e-3)

    def stop(metrics: dict[str, float]) -> None:
        if metrics["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_reward_model(str(data), tmp_path / "out", config, on_step=stop)
    launch(data, tmp_path / "out", config, resume=True)
    train_reward_model(str(data), tmp_path / "whole", config)
    same_weights(tmp_path / "out" / "model.safetensors", tmp_path / "whole" / "model.safetensors")
