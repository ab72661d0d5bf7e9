"""What a repair takes from rewards that learnt from half of the rows, and what it costs (`guerdon.repair_reward`).

Each reward is repaired on the other half, where a correction is measured on folds of groups that it was not fitted on.
With two data sets or more there is also a reward that learnt from the next one: its liking for length is that of other
people. `least` is what plain accuracy would change by if the excess went by turning the pairs of the smallest margins,
which no reward of single texts can do: what agreement an excess is worth, whatever takes it away.

    python benchmarks/repair.py --data CONVINCING.jsonl.gz HH.jsonl.gz --seeds 0 1 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.evaluate.correction import longer_picked
from guerdon.evaluate.repair import RepairConfig, repair_reward
from guerdon.evaluate.result_tables import tables_of
from guerdon.metrics import Interval, format_interval
from guerdon.rewards.scoring import score_texts
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import AnyRow, Scorer

REWARDS = {
    "surface": FitConfig(members=("surface",)),
    "TF-IDF": FitConfig(members=("tfidf",)),
    "both": FitConfig(members=("surface", "tfidf")),
}


def least_change(reward: Scorer, rows: Sequence[AnyRow]) -> float:
    """The change of accuracy if the excess went by turning the pairs of the smallest margins."""
    tables, requests = tables_of(rows)
    prompts, responses, references = (list(each) for each in zip(*requests, strict=True))
    rewards = score_texts(reward, prompts, responses, references).values[tables[0].requests]
    better, worse, lengths = tables[0].better, tables[0].worse, tables[0].lengths
    margins, longer = rewards[better] - rewards[worse], lengths[better] - lengths[worse]
    excess = float(longer_picked(margins, longer))
    picked = np.flatnonzero(np.sign(margins * longer) == np.sign(excess))
    turned = picked[np.argsort(np.abs(margins[picked]))][: round(abs(excess) * int((longer != 0).sum()))]
    return float(-np.sign(margins[turned]).sum() / len(margins))


def main() -> None:
    """Repairs every reward on every data set in both modes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True, help="comparisons")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    given = parser.parse_args()
    sets = [load_rows(source) for source in given.data]
    elsewhere = [fit_reward(rows, config=REWARDS["both"]).reward for rows in sets] if len(sets) > 1 else []
    for place, (source, rows) in enumerate(zip(given.data, sets, strict=True)):
        for seed in given.seeds:
            learn, _, kept = split_rows(rows, test=0.5, seed=seed)
            rewards: dict[str, Scorer] = {
                name: fit_reward(learn, config=config).reward for name, config in REWARDS.items()
            }
            if elsewhere:
                rewards["learnt elsewhere"] = elsewhere[(place + 1) % len(sets)]
            for name, reward in rewards.items():
                title = f"{Path(source).name.split('.')[0]}, {name}, seed {seed}"
                repair(title, reward, kept, seed)
                print(f"  least: accuracy {least_change(reward, kept):+.3f}", flush=True)


def repair(title: str, reward: Scorer, rows: Sequence[AnyRow], seed: int) -> None:
    """Repairs a reward in both modes, and prints a line for each."""
    for mode, bias in (("people", "excess"), ("none", "slope")):
        config = RepairConfig(mode="people" if mode == "people" else "none", flip_pairs=0, seed=seed)
        found = repair_reward(reward, rows, config=config)
        one, changes = found.measure(bias), [found.measure(name) for name in ("accuracy", "length_balanced")]
        less = 1 - abs(one.after.point / one.before.point)
        print(f"{title}, {mode}: {bias} {shown(one.before)} -> {shown(one.after)}, {less:.0%} less", end="")
        print("".join(f"; {each.name} {each.before.point:.3f} {shown(each.change)}" for each in changes), flush=True)


def shown(value: Interval) -> str:
    """With its sign."""
    return format_interval(value, signed=True)


if __name__ == "__main__":
    main()
