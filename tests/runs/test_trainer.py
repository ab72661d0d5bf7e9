"""The optimiser's rates, and checkpoints that are whole or absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from guerdon.errors import ModelError
from guerdon.hf import Lora
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.trainer import (
    WEIGHTS_FILE,
    checkpoint_steps,
    layer_depth,
    load_trainable,
    optimiser_groups,
    trainable,
)
from guerdon.train.config import TrainConfig
from guerdon.train.examples import Heads
from guerdon.train.objective import RewardObjective
from guerdon.train.trainee import Trainee


def trainee_on(folder: str, lora: Lora | None = None, **options: Any) -> Trainee:
    reward = TransformerReward.create(folder, lora=lora)
    return Trainee(reward.net, RewardObjective(TrainConfig(**options), Heads(("score",), 0, ())))


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_llama"])
@pytest.mark.parametrize("lora", [None, Lora(4)])
def test_every_trained_weight_has_its_rate_once(name: str, lora: Lora | None, request: pytest.FixtureRequest) -> None:
    trainee = trainee_on(request.getfixturevalue(name), lora)
    groups = optimiser_groups(trainee, 1.0, 0.1, 0.5)
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(rates) == len(trainable(trainee))
    for parameter_name, parameter in trainable(trainee).items():
        assert decays[id(parameter)] == (0.1 if parameter.dim() >= 2 else 0.0)
        depth = (
            0 if "embed" in parameter_name else 1 if ".0." in parameter_name else 2 if ".1." in parameter_name else 3
        )
        assert rates[id(parameter)] == 0.5 ** (3 - depth), parameter_name


def test_depth_of_names_of_other_families() -> None:
    names = ["transformer.wte.weight", "transformer.h.0.mlp", "transformer.h.11.mlp", "score.weight"]
    assert list(layer_depth(names).values()) == [0, 1, 12, 13]
    assert layer_depth(["embeddings.weight", "head.weight"]) == {"embeddings.weight": 0, "head.weight": 0}


def test_weights_of_another_run_are_refused(tiny_bert: str, tmp_path: Path) -> None:
    save_file({"net.other": torch.zeros(1)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ModelError, match="other weights than this model trains"):
        load_trainable(trainee_on(tiny_bert), tmp_path)


def test_steps_of_whole_checkpoints_only(tmp_path: Path) -> None:
    for name in ("checkpoint-20", "checkpoint-3", "checkpoint-", "checkpoint-x", "saving"):
        (tmp_path / name).mkdir()
    assert checkpoint_steps(tmp_path) == [3, 20]
    assert checkpoint_steps(tmp_path / "none") == []


CHILD = """
import resource, signal, sys
from guerdon.errors import OutputError
from guerdon.train.config import TrainConfig
from guerdon.train.run import train
from guerdon.types import Comparison

rows = [Comparison(prompt=f"boil {n}", chosen="good " * (1 + n % 3), rejected="rude " * (1 + n % 2)) for n in range(16)]
options = dict(backbone=sys.argv[1], epochs=2, pairs_per_step=8, validation=0.0, checkpoint_every=1)

def fill(figures):
    if figures["step"] == 2:  # the full disk that a test can make
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))

try:
    train(rows, sys.argv[2], TrainConfig(**options), on_step=fill)
except OutputError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [30_000, 200_000])  # the weights do not fit; they do, the optimiser's state does not
def test_a_full_disk_is_one_message_and_the_last_checkpoint_stays(limit: int, tiny_bert: str, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CHILD, tiny_bert, str(tmp_path / "out"), str(limit)],
        check=True,
        capture_output=True,
        text=True,
    )
    run = tmp_path / "out" / "run"
    assert result.stdout.startswith(f"cannot write {run / 'checkpoint-2'}: ")
    assert checkpoint_steps(run) == [1]
    assert not (run / "saving").exists()
    assert load_file(run / "checkpoint-1" / WEIGHTS_FILE)
