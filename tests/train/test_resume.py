"""`kill -9` at any moment, then resume: the same weights as a run that nothing broke, bit for bit."""

from __future__ import annotations

import dataclasses
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from guerdon.data.write import write_rows
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import Comparison

CHILD = '''
"""Trains until a given moment, then ends itself as `kill -9` would."""
import json, os, signal, sys
from pathlib import Path

import safetensors.torch
import torch

from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model

data, out, config, moment, number = *sys.argv[1:5], int(sys.argv[5])
calls = 0

def reached():
    global calls
    calls += 1
    return calls == number

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def halve(path):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: len(content) // 2])
    die()

def on_step(metrics):
    if moment == "step" and metrics["step"] == number:
        die()

save_file, save, replace = safetensors.torch.save_file, torch.save, Path.replace

def dying_save_file(tensors, path, *args, **options):
    save_file(tensors, path, *args, **options)
    if moment == "weights" and reached():
        halve(path)

def dying_save(content, path, *args, **options):
    save(content, path, *args, **options)
    if moment == "optimiser" and str(path).endswith("optimizer.bin") and reached():
        halve(path)

def dying_replace(path, target):
    name = Path(target).name
    checkpoint = name.startswith("checkpoint-") and "rename" in moment
    last = moment.endswith(name)
    if checkpoint or last:
        if reached():
            if moment.startswith("after"):
                replace(path, target)
            die()
    return replace(path, target)

safetensors.torch.save_file, torch.save, Path.replace = dying_save_file, dying_save, dying_replace
train_reward_model(data, out, TrainConfig(**json.loads(config)), on_step=on_step)
'''

Run = tuple[Path, TrainConfig, dict[str, torch.Tensor]]


def state(folder: Path) -> dict[str, torch.Tensor]:
    name = "adapter_model" if (folder / "adapter_model.safetensors").exists() else "model"
    return load_file(folder / f"{name}.safetensors")


def checks(folder: Path) -> list[dict[str, float]]:
    """What was logged, without what depends on the clock or on where the log was cut."""
    lines = [json.loads(line) for line in (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{"step": line["step"], "eval_loss": line["eval_loss"]} for line in lines if "eval_loss" in line]


def kill_and_resume(data: Path, out: Path, config: TrainConfig, moment: str, number: int) -> None:
    options = json.dumps(dataclasses.asdict(config))
    broken = subprocess.run(
        [sys.executable, "-c", CHILD, str(data), str(out), options, moment, str(number)], capture_output=True, text=True
    )
    assert broken.returncode == -signal.SIGKILL, broken.stderr
    assert not (out / "guerdon.json").exists() or moment.startswith("after")
    train_reward_model(str(data), out, config, resume=True)
    assert not list(out.rglob("*.tmp")), "what was half-written is swept away"


@pytest.fixture
def data(toy: Any, tmp_path: Path) -> Path:
    rows = [Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0)) for _ in range(40)]
    write_rows(rows, tmp_path / "rows.jsonl")
    return tmp_path / "rows.jsonl"


MOMENTS = [
    ("step", 1),  # before the first checkpoint
    ("step", 5),
    ("step", 8),  # the last step is done, its checkpoint is not
    ("weights", 1),  # the first checkpoint half-written
    ("weights", 3),
    ("optimiser", 2),
    ("rename", 2),  # the checkpoint is whole but has not its name yet
    ("after rename", 2),  # the older checkpoint is not deleted yet
    ("model.safetensors", 1),  # in the middle of saving the model itself
    ("guerdon.json", 1),
    ("after guerdon.json", 1),  # the checkpoints are not deleted yet
]
QUICK = [("step", 5)]


@pytest.mark.parametrize(
    ("moment", "number"),
    [pytest.param(*m, marks=() if m in QUICK else pytest.mark.slow, id=f"{m[0]} {m[1]}") for m in MOMENTS],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    moment: str, number: int, tiny_bert: str, quick: Any, data: Path, tmp_path: Path
) -> None:
    config = quick(tiny_bert, epochs=2, batch_size=8, validation=0.2, eval_steps=2, learning_rate=1e-3)
    train_reward_model(str(data), tmp_path / "whole", config)
    kill_and_resume(data, tmp_path / "broken", config, moment, number)
    whole, broken = state(tmp_path / "whole"), state(tmp_path / "broken")
    assert [name for name in whole if not torch.equal(whole[name], broken[name])] == []
    assert checks(tmp_path / "broken") == checks(tmp_path / "whole")
    assert [line["step"] for line in checks(tmp_path / "whole")] == [2, 4, 6, 8]
    assert sorted(p.name for p in (tmp_path / "broken" / "run").iterdir()) == [
        "metrics.jsonl",
        "run.json",
        "tensorboard",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("tiny_llama", {"lora_r": 4}),
        ("tiny_llama", {"lora_r": 4, "base_dtype": "nf4"}),
        ("tiny_bert", {"early_stopping_patience": 1, "epochs": 8}),
        ("tiny_bert", {"tokens_per_batch": 64, "validation": 0.0}),
    ],
)
def test_so_do_lora_early_stopping_and_the_other_options(
    name: str, options: dict[str, Any], request: pytest.FixtureRequest, quick: Any, data: Path, tmp_path: Path
) -> None:
    usual = {"epochs": 2, "batch_size": 8, "validation": 0.2, "eval_steps": 2, "learning_rate": 1e-3}
    config = quick(request.getfixturevalue(name), **(usual | options))
    train_reward_model(str(data), tmp_path / "whole", config)
    kill_and_resume(data, tmp_path / "broken", config, "weights", 3)
    whole, broken = state(tmp_path / "whole"), state(tmp_path / "broken")
    assert [key for key in whole if not torch.equal(whole[key], broken[key])] == []
    assert checks(tmp_path / "broken") == checks(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_ensemble_keeps_its_finished_members(tiny_bert: str, quick: Any, data: Path, tmp_path: Path) -> None:
    config = quick(tiny_bert, epochs=1, batch_size=8, eval_steps=2, ensemble_size=2)
    train_reward_model(str(data), tmp_path / "whole", config)
    kill_and_resume(data, tmp_path / "broken", config, "weights", 4)  # the second member has begun
    for member in ("member-0", "member-1"):
        whole, broken = state(tmp_path / "whole" / member), state(tmp_path / "broken" / member)
        assert [key for key in whole if not torch.equal(whole[key], broken[key])] == []
