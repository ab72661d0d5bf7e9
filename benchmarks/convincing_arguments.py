"""Which argument convinces more, on topics never seen: accuracy and length-balanced accuracy with intervals.

Topics (`subset` up to its last `_`) are dealt into development and test. Recipes are compared on the development
topics alone (`--stage select`: trained on three quarters of them, measured on the rest); the one chosen is then trained
on all of them and measured once on the test topics (`--stage test --recipe NAME`), for several seeds. Published for
this data set, cross-topic: SVM 0.78, BiLSTM 0.76 (Habernal and Gurevych 2016); the longer argument wins about 0.77.

    python benchmarks/convincing_arguments.py --data PAIRS.jsonl.gz --stage select
    python benchmarks/convincing_arguments.py --data PAIRS.jsonl.gz --stage test --recipe soft --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.metrics import format_interval
from guerdon.rewards.load import load_scorer
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import AnyRow

COMMON = TrainConfig(epochs=1, batch_size=64, validation=0, overlong="cut", pooling="mean")
RECIPES = {
    "hard": replace(COMMON, soft_labels=False),
    "soft": COMMON,
    "native pooler": replace(COMMON, pooling="native"),
    "length balanced": replace(COMMON, balance_length=True),
    "length balanced, hard": replace(COMMON, balance_length=True, soft_labels=False),
}
"""What is tried, by name."""


def measure(name: str, config: TrainConfig, fit: Sequence[AnyRow], held_out: Sequence[AnyRow]) -> None:
    """Trains a recipe, measures it beside the baselines, and prints one JSON line."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        train_reward_model(fit, Path(folder) / "model", config)
        minutes = (time.perf_counter() - start) / 60
        result = evaluate_reward({"model": load_scorer(Path(folder) / "model")}, held_out)
    line = {"recipe": name, "seed": config.seed, "minutes": round(minutes, 1), "evaluation": result.to_dict()}
    print(json.dumps(line), flush=True)
    for system in result.sections[0].overall.systems:
        figures = system.metrics
        accuracy, balanced = format_interval(figures["accuracy"]), format_interval(figures["length_balanced"])
        print(f"  {system.name}: accuracy {accuracy}, length-balanced {balanced}", flush=True)


def main() -> None:
    """Runs one stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--stage", choices=("select", "test"), required=True)
    parser.add_argument("--recipe", choices=sorted(RECIPES), nargs="*", default=sorted(RECIPES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_args()
    rows = load_rows(arguments.data, group="subset", group_regex="^(.*)_")
    outer = split_rows(rows, test=0.25, seed=0)
    inner = split_rows(outer.train, test=0.25, seed=0)
    fit, held_out = (inner.train, inner.test) if arguments.stage == "select" else (outer.train, outer.test)
    for name, rows_of in (("fit", fit), ("held out", held_out)):
        print(f"{name}: {len(rows_of)} pairs, topics {sorted({row.group for row in rows_of})}")
    for name in arguments.recipe:
        print(f"{name}: {asdict(RECIPES[name])}")
        for seed in arguments.seeds:
            measure(name, replace(RECIPES[name], seed=seed), fit, held_out)


if __name__ == "__main__":
    main()
