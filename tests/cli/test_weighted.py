"""`guerdon optimize weighted`: a policy that the other verbs read, the same from Python; a second run is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guerdon.cli.main import main
from guerdon.optimize.optimize_config import WeightedConfig
from guerdon.optimize.weighted import train_weighted_policy


def contents(folder: Path) -> dict[str, bytes]:
    """Every file but TensorBoard's, whose names and content hold the time."""
    files = [path for path in folder.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_weighted_training(tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompts, out = tmp_path / "prompts.jsonl", tmp_path / "out"
    rows = [json.dumps({"prompt": prompt}) + "\n" for prompt in ("How do I boil an egg?", "planet?", "怎样煮鸡蛋？")]
    prompts.write_text("".join(rows), encoding="utf-8")
    options = ["--policy", tiny_llama, "--num-generations", "2", "--max-new-tokens", "4", "--prompts-per-step", "3"]
    command = ["optimize", "weighted", "shortest", str(prompts), "--out", str(out), *options]
    assert main([*command, "--epochs", "2"]) == 0
    assert f"policy: {out}" in capsys.readouterr().out
    assert main([*command]) == 2
    assert "holds a run already" in capsys.readouterr().err
    sampled = ["--n", "4", "--max-new-tokens", "6", "--out", str(tmp_path / "n")]
    assert main(["optimize", "best-of-n", "longest", str(prompts), "--policy", str(out), *sampled]) == 0
    config = WeightedConfig(policy=tiny_llama, num_generations=2, max_new_tokens=4, prompts_per_step=3, epochs=2.0)
    train_weighted_policy("shortest", prompts, tmp_path / "function", config)
    assert contents(tmp_path / "function") == contents(out)
    assert main([*command[:-2], "--prompts-per-step", "0", "--lam", "-1"]) == 2
    error = capsys.readouterr().err
    assert "--prompts-per-step must be above 0" in error
    assert "--lam must be 0 or more" in error
