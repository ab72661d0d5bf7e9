"""An encoder fine-tuned by the expected return of a judge that reads all and answers, beside Bradley-Terry.

Topics are dealt as in `judges.py`. Both objectives learn from the same comparisons of the training topics. The entropy
of the return is chosen on the validation topics (`--on validation`), and measured on the test topics.

    python benchmarks/agreement_objective.py --data PAIRS.jsonl.gz --on validation --entropy 0.1 0.3 1 --seeds 0
    python benchmarks/agreement_objective.py --data PAIRS.jsonl.gz --on test --entropy 0.1 --splits 0 1 2 --seeds 0 1
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from guerdon.data.preferences import Comparison
from guerdon.data.read import load_rows
from guerdon.metrics import Floats, format_interval, mean_interval
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from judges import accuracy, parts, right


def margins(config: TrainConfig, rows: list[Comparison], held: list[Comparison], out: Path) -> Floats:
    """Preferred less other reward of each held-out comparison, by a reward that learnt from `rows`."""
    reward = train_reward_model(rows, out, config)
    prompts = [row.prompt for row in held]
    scores = reward.score([*prompts, *prompts], [row.chosen for row in held] + [row.rejected for row in held])
    preferred, other = scores.reshape(2, -1).astype(float)
    return np.asarray(preferred - other)


def main() -> None:
    """Trains with every objective and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--on", choices=("validation", "test"), required=True)
    parser.add_argument("--entropy", type=float, nargs="+", default=[0.1])
    parser.add_argument("--splits", type=int, nargs="+", default=[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pairs", type=int, default=1200)
    parser.add_argument("--held", type=int, default=900)
    given = parser.parse_args()
    rows = load_rows(given.data, group="subset", group_regex="^(.*)_")
    judged = JudgedResponses.of(rows, "pairs")
    arms: dict[str, dict[str, Any]] = {"bradley-terry": {}}
    arms |= {f"entropy {entropy}": {"agreement_entropy": entropy} for entropy in given.entropy}
    found: dict[str, list[Floats]] = {arm: [] for arm in arms}
    topics = []
    for split in given.splits:
        train, validation, test = (np.random.default_rng(0).permutation(where) for where in parts(judged, split))
        held = (validation if given.on == "validation" else test)[: given.held]
        for seed in given.seeds:
            topics.append(judged.group[held])
            for arm, options in arms.items():
                config = TrainConfig(
                    epochs=1, batch_size=16, learning_rate=2e-4, validation=0.0, seed=seed,
                    objective="agreement" if options else "bradley-terry", **options,
                )  # fmt: skip
                with TemporaryDirectory() as folder:
                    chosen = [rows[i] for i in train[: given.pairs]]
                    found[arm].append(margins(config, chosen, [rows[i] for i in held], Path(folder) / "reward"))
                line = {"split": split, "seed": seed, "arm": arm, "accuracy": round(accuracy(found[arm][-1]), 4)}
                print(json.dumps(line), flush=True)
    known = right(np.concatenate(found["bradley-terry"]))
    for arm in list(arms)[1:]:
        behind = 100 * (known - right(np.concatenate(found[arm])))
        interval = mean_interval(behind, np.concatenate(topics).tolist())
        print(f"{arm}: {format_interval(interval)} points behind bradley-terry, topics drawn")


if __name__ == "__main__":
    main()
