"""Whether choosing what to ask needs fewer labels: rules against chance, on labelled pairs whose labels are revealed.

Of each data set whole groups are kept aside in turn (`--folds`), and of the others labels are revealed in batches: the
first by chance, then by the rule, from 2,000 pairs that are drawn anew. With `--random-share` that share of each batch
is drawn by chance, as `guerdon collect learn` has it. A head is fitted to what is revealed, as there, and measured on
the groups kept aside. A seed deals the groups into folds and draws all that is drawn; its rules and chance start from
the same labels. Labels needed, for the accuracy that chance has at 500 (`--at`), are read off the curves in the mean
over folds, runs and seeds, made monotone. Intervals are t intervals over seeds, for the saved share by the jackknife.

    python benchmarks/what_to_ask.py --data PAIRS.jsonl.gz OTHERS.jsonl.gz,COLUMN,REGEX --rules expected-change margin
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.collect.choosing.acquisition import choose
from guerdon.collect.choosing.choosing_config import RULES, ChoosingConfig, Rule
from guerdon.collect.choosing.head import Head
from guerdon.collect.choosing.learning import read_differences
from guerdon.data.read import load_rows
from guerdon.data.split import group_folds
from guerdon.metrics import Floats, Interval, Ints, clustered_mean, format_interval
from guerdon.rewards.judged import JudgedResponses

BATCH, LAST, POOL = 50, 700, 2000
MOST_HELD = 3000
SIZES = np.arange(BATCH, LAST + 1, BATCH)


def reveal(
    rule: Rule, differences: Floats, judged: JudgedResponses, pool: Ints, held: Ints, share: float, seed: Sequence[int]
) -> Floats:
    """The accuracy on `held` after each batch from `pool`, shape (batches,)."""
    rng = np.random.default_rng(seed)
    left = rng.permutation(pool)
    known, left = left[:BATCH], left[BATCH:]
    curve = []
    while True:
        head = Head.fit(differences[known], judged, known)
        curve.append(judged.agreement(differences[held] @ head.weights, held))
        if len(known) >= LAST:
            return np.array(curve)
        drawn = BATCH if rule == "random" else round(share * BATCH)
        batch, rest = left[:drawn], left[drawn:]
        if drawn < BATCH:
            offered = rest[:POOL]
            best = offered[choose(rule, head, differences[offered], BATCH - drawn, rng)]
            batch, rest = np.append(batch, best), rest[~np.isin(rest, best)]
        known, left = np.append(known, batch), rng.permutation(rest)


def curves(name: str, rule: Rule, differences: Floats, judged: JudgedResponses, given: argparse.Namespace) -> Floats:
    """The mean curve of a rule over folds and runs, for each seed, shape (seeds, batches)."""
    found = []
    for seed in given.seeds:
        path = given.keep / f"{name}-{rule}-{given.random_share}-{given.folds}-{given.runs}-{seed}.npy"
        if not path.exists():
            np.save(path, _curve(rule, differences, judged, given, seed))
        found.append(np.load(path))
    return np.stack(found)


def _curve(rule: Rule, differences: Floats, judged: JudgedResponses, given: argparse.Namespace, seed: int) -> Floats:
    fold_of = group_folds([str(code) for code in judged.group], given.folds, seed)
    found = []
    for fold in range(given.folds):
        pool, held = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        held = np.random.default_rng([seed, fold]).permutation(held)[:MOST_HELD]
        for run in range(given.runs):
            found.append(reveal(rule, differences, judged, pool, held, given.random_share, [seed, fold, run]))
    return np.asarray(np.mean(found, axis=0))


def needed(curve: Floats, target: float) -> float:
    """Labels at which a monotone curve first reaches the target; the last size where it never does."""
    if curve[-1] < target:
        return float(SIZES[-1])
    above = int(np.argmax(curve >= target))
    if above == 0:
        return float(SIZES[0])
    low, high = curve[above - 1], curve[above]
    return float(SIZES[above - 1] + BATCH * (target - low) / (high - low))


def monotone(curve: Floats) -> Floats:
    """The nearest curve that never falls (isotonic regression)."""
    from sklearn.isotonic import IsotonicRegression

    return np.asarray(IsotonicRegression().fit_transform(SIZES, curve))


def saved(curves: Floats, chance: Floats, at: int) -> float:
    """The share of labels that a rule saves, for the accuracy that chance has at `at`; curves of seeds, and batches."""
    ours, theirs = monotone(curves.mean(axis=0)), monotone(chance.mean(axis=0))
    target = float(theirs[np.flatnonzero(at == SIZES)[0]])
    return 1 - needed(ours, target) / needed(theirs, target)


def saved_interval(curves: Floats, chance: Floats, at: int) -> Interval:
    """The share saved, with its t interval by the jackknife over seeds (Efron & Stein 1981)."""
    point, seeds = saved(curves, chance, at), np.arange(len(curves))
    without = [saved(curves[seeds != seed], chance[seeds != seed], at) for seed in seeds]
    around = over_seeds([len(seeds) * point - (len(seeds) - 1) * one for one in without])
    return Interval(point, point - (around.point - around.low), point + (around.high - around.point))


def over_seeds(values: Sequence[float] | Floats) -> Interval:
    """The mean with its t interval."""
    return clustered_mean(values, range(len(values))).interval


def main() -> None:
    """Measures every data set with every rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True, help="FILE or FILE,GROUP or FILE,GROUP,REGEX")
    parser.add_argument("--rules", nargs="+", choices=RULES, default=[rule for rule in RULES if rule != "random"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=2)
    parser.add_argument("--at", type=int, nargs="+", choices=SIZES.tolist(), default=[200, 300, 500])
    parser.add_argument("--random-share", type=float, default=0.0)
    parser.add_argument("--keep", type=Path, required=True, help="folder that keeps features and curves")
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    for data in given.data:
        path, group, regex, *_ = [*data.split(","), None, None]
        name = Path(path).name.split(".")[0]
        judged = JudgedResponses.of(load_rows(path, group=group, group_regex=regex))
        kept = given.keep / f"{name}.npy"
        if not kept.exists():
            np.save(kept, read_differences(judged, ChoosingConfig()))
        differences = np.load(kept)
        chance = curves(name, "random", differences, judged, given)
        print(json.dumps({"data": name, "rule": "random", "curve": chance.mean(axis=0).round(4).tolist()}), flush=True)
        for rule in given.rules:
            found = curves(name, rule, differences, judged, given)
            print(json.dumps({"data": name, "rule": rule, "curve": found.mean(axis=0).round(4).tolist()}))
            gain = over_seeds((found - chance).mean(axis=1))
            shares = [f"{at}: {format_interval(saved_interval(found, chance, at), signed=True)}" for at in given.at]
            print(f"{name}, {rule}: labels saved, for what chance has at {'; '.join(shares)}")
            print(
                f"  accuracy less chance's, over all sizes: {format_interval(gain, signed=True, decimals=4)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
