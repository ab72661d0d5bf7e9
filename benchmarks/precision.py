"""Whether bfloat16 on a GPU costs quality: the recipe of convincing_arguments.py, float32 on a CPU beside it.

The same pairs, the same recipe, the same seeds; topics kept aside. For each seed a model is trained on each device by
the command that users give, and scores the test pairs there. Differences are paired: a pair counts as 1, 0 or -1 by
which of the two is right on it, averaged over seeds, with an interval by topics. What is there is kept, so that the
runs on a CPU may come from another machine, and a run that was cut short goes on.

    python benchmarks/precision.py --data PAIRS.jsonl.gz --out precision --devices cpu
    python benchmarks/precision.py --data PAIRS.jsonl.gz --out precision                      on a machine with a GPU
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from device_facts import add_result_option, device_name, write_result
from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.data.write import write_rows
from guerdon.metrics import format_interval, mean_interval
from guerdon.rewards.load import load_scorer
from guerdon.types import Comparison

RECIPE = "--pooling mean --batch-size 64 --epochs 1 --validation 0 --balance-length --overlong cut"
"""Of convincing_arguments.py, `length balanced`."""


def train(data: Path, out: Path, device: str, seed: int) -> None:
    """Trains by `guerdon train`, from which the GPU is hidden where a CPU is meant."""
    command = [sys.executable, "-m", "guerdon", "train", str(data), *RECIPE.split(), "--seed", str(seed)]
    command += ["--out", str(out), *(["--resume"] if (out / "run").exists() else [])]
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | hidden)


def right(folder: Path, rows: list[Comparison], device: str) -> np.ndarray:
    """1 for each test pair that the model orders rightly, 0.5 for a tie, shape (pairs,)."""
    reward = load_scorer(folder, device=device, overlong="cut")
    prompts = [row.prompt for row in rows] * 2
    scores = reward.score(prompts, [row.chosen for row in rows] + [row.rejected for row in rows])
    margin = scores[: len(rows)] - scores[len(rows) :]
    return np.asarray((margin > 0) + 0.5 * (margin == 0))


def main() -> None:
    """Trains and scores what is missing, and compares what is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="comparisons whose subset is topic_side")
    parser.add_argument("--out", type=Path, required=True, help="folder of models and scores")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    devices = list(dict.fromkeys([device_name(), "cpu"]))
    parser.add_argument("--devices", nargs="+", choices=("cpu", "cuda"), default=devices)
    parser.add_argument("--limit", type=int, default=None, help="train and test on so many pairs, to see that it runs")
    add_result_option(parser)
    arguments = parser.parse_args()
    split = split_rows(load_rows(arguments.data, group="subset", group_regex="^(.*)_"), test=0.25, seed=0)
    test = [row for row in split.test if isinstance(row, Comparison)][: arguments.limit]
    arguments.out.mkdir(parents=True, exist_ok=True)
    fit = arguments.out / "fit.jsonl"
    if not fit.exists():
        write_rows(split.train[: arguments.limit], fit)
    for seed in arguments.seeds:
        for device in arguments.devices:
            kept = arguments.out / f"right-{device}-{seed}.npy"
            if not kept.exists():
                folder = arguments.out / f"{device}-{seed}"
                if not (folder / "guerdon.json").exists():
                    train(fit, folder, device, seed)
                np.save(kept, right(folder, test, device))
            print(f"{device}, seed {seed}: accuracy {np.load(kept).mean():.4f}", flush=True)
    report(arguments, test)


def report(arguments: argparse.Namespace, test: list[Comparison]) -> None:
    """Compares the devices seed by seed, where both have been there."""
    found: dict[str, Any] = {}
    for device in ("cpu", "cuda"):
        files = [arguments.out / f"right-{device}-{seed}.npy" for seed in arguments.seeds]
        if all(file.exists() for file in files):
            found[device] = np.stack([np.load(file) for file in files])
    if len(found) < 2:
        print("one device alone: nothing to compare yet")
        return
    differences = found["cuda"] - found["cpu"]
    interval = mean_interval(differences.mean(axis=0), [row.group for row in test])
    print(f"bfloat16 on the GPU less float32 on the CPU: {format_interval(interval)}")
    print(f"by seed: {', '.join(f'{one:+.4f}' for one in differences.mean(axis=1))}")
    results = {
        "accuracy": {device: own.mean(axis=1).tolist() for device, own in found.items()},
        "difference": {
            "mean": interval.point,
            "interval": None if isnan(interval.low) else [interval.low, interval.high],
        },
    }
    write_result(arguments, results, {})


if __name__ == "__main__":
    main()
