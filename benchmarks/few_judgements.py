"""Whether a blend of few judgements loses to its own members: sizes and seeds, measured on groups kept aside.

Of each data set whole groups are kept aside (at most 1,500 judgements and 40%); members and blend learn from SIZE rows
of the others. Regret is the accuracy kept aside of the best member minus the blend's: below 0 the blend is better than
all of them. The best member is chosen on what it is measured on, which favours it.

    python benchmarks/few_judgements.py --data PAIRS.jsonl.gz OTHERS.jsonl.gz,COLUMN,REGEX starter
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from guerdon.data.read import load_rows
from guerdon.metrics import Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import BLEND, measure_unseen
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import read_members

MOST_HELD = 1500
FEW_GROUPS = 50
"""Judgements a group from which on single judgements are drawn instead of whole groups."""


def sides(judged: JudgedResponses, size: int, seed: int) -> tuple[Ints, Ints]:
    """The judgements to learn from, at most `size`, and those kept aside; no group is on both sides."""
    rng = np.random.default_rng(seed)
    groups, counts = rng.permutation(np.unique(judged.group)), np.bincount(judged.group)
    last = int(np.searchsorted(np.cumsum(counts[groups][::-1]), min(MOST_HELD, 0.4 * len(judged)))) + 1
    aside = np.isin(judged.group, groups[-last:])
    held, left = rng.permutation(np.flatnonzero(aside))[:MOST_HELD], np.flatnonzero(~aside)
    rank = np.argsort(groups)
    mixed = len(left) > FEW_GROUPS * (len(groups) - last)
    order = rng.permutation(left) if mixed else left[np.argsort(rank[judged.group[left]], kind="stable")]
    return np.sort(order[:size]), np.sort(held)


def main() -> None:
    """Measures every data set with every size and seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", nargs="+", required=True, help="files, each as FILE or FILE,GROUP or FILE,GROUP,REGEX"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 200, 400])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    given = parser.parse_args()
    regrets, worse = [], []
    for data in given.data:
        path, group, regex, *_ = [*data.split(","), None, None]
        rows = load_rows(path, group=group, group_regex=regex)
        judged = JudgedResponses.of(rows)
        members = read_members(judged, FitConfig())
        for size in given.sizes:
            for seed in given.seeds:
                seen, held = sides(judged, round(size * len(judged) / len(rows)), seed)
                _, margins = measure_unseen(members, judged, seen, held, seed=seed)
                found = {name: judged.agreement(own, held) for name, own in margins.items()}
                best = max((name for name in found if name != BLEND), key=found.__getitem__)
                gain, error = judged.advantage(margins[BLEND], margins[best], held)
                regrets.append(-gain)
                worse.append(gain < -1.96 * error)
                name = Path(path).name.split(".")[0]
                print(f"{name}, {size} rows, seed {seed}: {found[BLEND]:.3f}, {best} {found[best]:.3f}", flush=True)
    print(f"{len(regrets)} cases: mean regret {100 * np.mean(regrets):.2f} points, clearly worse {np.mean(worse):.0%}")


if __name__ == "__main__":
    main()
