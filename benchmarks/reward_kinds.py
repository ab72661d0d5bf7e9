"""Every kind of reward beside the one that is handed over: nested cross-validation by group on data sets of yours.

Each observation is measured once, by fits that never saw its group; penalties, weights, and whether the blend or a
single member is handed over are chosen inside each training part. Intervals are of 95%, by drawing groups. What is
handed over is compared with the best simple rule, and that is the one of `SIMPLE` with the highest value on the very
data that are measured, which favours the rule. Comparisons and ratings of one prompt are measured in pairs, rankings by
nDCG@10 with gain = relevance too.

    python benchmarks/reward_kinds.py --data PAIRS.jsonl.gz starter
    python benchmarks/reward_kinds.py --data CONVINCING.jsonl.gz --group subset --group-regex '^(.*)_'
    python benchmarks/reward_kinds.py --data GRAMMAR.jsonl.gz --group subset --members longest surface likelihood
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.data.read import load_rows
from guerdon.data.values import plain
from guerdon.metrics import (
    Floats,
    Interval,
    accuracy_ties_half,
    clustered_bootstrap,
    format_interval,
    format_value,
    length_balanced_accuracy,
    mean_interval,
    ndcg,
)
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import BLEND, FOLDS, Member, cross_validate
from guerdon.train.fit_config import MEMBERS, FitConfig
from guerdon.train.fit_run import judge_rows, read_members
from guerdon.types import AnyRow, Ranking, prompt_text

SIMPLE = ("longest", "shortest", "tfidf", "bm25")
"""The rules that a reward has to beat."""
HEADINGS = {BLEND: "handed over", "tfidf": "TF-IDF", "bm25": "BM25"}


def measure(
    rows: Sequence[AnyRow],
    judged: JudgedResponses,
    members: Sequence[Member],
    seed: int,
    folds: int = FOLDS,
    deal: int | None = None,
) -> dict[str, Any]:
    """Cross-validates the members on pairs, and says what each gets and what is handed over.

    `deal` is the seed of the outer folds, the test sets (None: `seed`), and `seed` that of all else.
    """
    deal = seed if deal is None else deal
    if judged.objective != "pairs":
        raise SystemExit("the ratings have no others of their prompt to compare with; this benchmark measures pairs")
    start = time.perf_counter()
    margins, fits = cross_validate(members, judged, folds=folds, seed=seed, deal=deal, on_fold=_told)
    decided = (judged.target != 0.5) & ~judged.mismatched
    kept = {name: own[decided] for name, own in margins.items()}
    groups = judged.group[decided]
    lengths = np.array([len(text) for text in judged.responses], dtype=np.float64)
    longer = judged.margins(lengths)[decided]
    metric, values, clusters = "accuracy", {name: (own > 0) + 0.5 * (own == 0) for name, own in kept.items()}, groups
    if all(isinstance(row, Ranking) for row in rows):
        metric, clusters = "ndcg", np.arange(len(rows))
        values = {name: ordering_values(rows, judged, own) for name, own in margins.items()}
    simple = [name for name in SIMPLE if name in values]
    best = max(simple, key=lambda name: float(np.nanmean(values[name]))) if simple else ""
    systems = {
        name: {
            metric: mean_interval(own, clusters.tolist()),
            "length_balanced": _over_groups(kept[name], longer, groups),
            "correlation_with_length": _correlation(kept[name], longer),
        }
        for name, own in values.items()
    }
    return {
        "pairs": int(decided.sum()),
        "groups": len(np.unique(groups)),
        "metric": metric,
        "systems": systems,
        "best_simple": best,
        "difference": mean_interval(values[BLEND] - values[best], clusters.tolist()) if best else None,
        "handed_over": [fit.best for fit in fits],
        "folds": [
            {
                name: [accuracy_ties_half(own[there]), length_balanced_accuracy(own[there], longer[there])]
                for name, own in kept.items()
            }
            for there in (judged.folds(folds, deal)[decided] == fold for fold in range(folds))
        ],
        "weights": {member.name: np.mean([fit.weights[place] for fit in fits]) for place, member in enumerate(members)},
        "seconds": round(time.perf_counter() - start, 1),
    }


def _told(done: int, of: int) -> None:
    print(f"  fold {done} of {of}", file=sys.stderr, flush=True)


def _over_groups(margins: Floats, longer: Floats, groups: Any) -> Interval:
    codes = np.unique(groups, return_inverse=True)[1]
    return clustered_bootstrap(lambda weights: length_balanced_accuracy(margins, longer, weights), codes)


def _correlation(margins: Floats, longer: Floats) -> float:
    return float(np.corrcoef(margins, longer)[0, 1]) if margins.std() and longer.std() else 0.0


def ordering_values(rows: Sequence[AnyRow], judged: JudgedResponses, margins: Floats) -> Floats:
    """nDCG@10 of each ranking, shape (rows,), by the scores whose differences the margins of its pairs are."""
    keys = zip(map(prompt_text, judged.prompts), judged.responses, strict=True)
    place = {key: number for number, key in enumerate(keys)}
    scores = np.zeros(len(judged.responses))
    for group in np.unique(judged.group):
        pairs = np.flatnonzero(judged.group == group)
        there = np.unique([judged.better[pairs], judged.worse[pairs]])
        design = np.zeros((len(pairs), len(there)))
        design[np.arange(len(pairs)), np.searchsorted(there, judged.better[pairs])] = 1.0
        design[np.arange(len(pairs)), np.searchsorted(there, judged.worse[pairs])] = -1.0
        scores[there] = np.linalg.lstsq(design, margins[pairs], rcond=None)[0]
    return np.array(
        [
            ndcg([scores[place[prompt_text(row.prompt), text]] for text in row.responses], row.scores)
            for row in rows
            if isinstance(row, Ranking)
        ]
    )


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results as a Markdown table, a data set a line."""
    names = [name for name in MEMBERS if any(name in one["systems"] for one in results.values())]
    others = sorted({name for one in results.values() for name in one["systems"]} - {*names, BLEND})
    columns = list(dict.fromkeys((*names, *others, BLEND)))
    head = ["data", "pairs", "groups", *(HEADINGS.get(name, name) for name in columns)]
    lines = [[*head, "less the best simple rule", "length-balanced", "TF-IDF's"]]
    for name, one in results.items():
        systems, metric = one["systems"], one["metric"]

        def value(system: str, metric: str) -> str:
            return format_value(systems[system][metric].point) if system in systems else ""  # noqa: B023

        difference = format_interval(one["difference"], signed=True) if one["difference"] else ""
        lines.append(
            [f"{name} (nDCG@10)" if metric == "ndcg" else name, f"{one['pairs']}", f"{one['groups']}"]
            + [value(system, metric) for system in columns]
            + [f"{difference} {one['best_simple']}", value(BLEND, "length_balanced"), value("tfidf", "length_balanced")]
        )
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def run(
    sources: Sequence[str],
    config: FitConfig,
    *,
    load: Callable[[str], Sequence[AnyRow]],
    members: Callable[..., list[Member]] = read_members,
    folds: int = FOLDS,
    seeds: Sequence[int] = (),
    deal: int | None = None,
) -> dict[str, dict[str, Any]]:
    """Measures every source with every seed, and prints a JSON line for each when it is done, and the table at the end.

    `seeds` are those of what is fitted (none: that of `config`), `deal` that of the test sets (None: the same one).
    """
    results = {}
    for source in sources:
        name = Path(source).name.split(".")[0]
        start = time.perf_counter()
        print(name, file=sys.stderr, flush=True)
        rows = load(source)
        judged = judge_rows(rows, config)
        read = members(judged, config, lambda stage: print(f"  {stage}", file=sys.stderr, flush=True))
        reading = round(time.perf_counter() - start, 1)
        for seed in seeds or (config.seed,):
            found = {"seconds_reading": reading} | measure(rows, judged, read, seed, folds, deal)
            setting = {"data": name, "members": config.members, "seed": seed, "balance": config.balance_length}
            print(json.dumps(setting | _plain(found)), flush=True)
            results[name if len(seeds) < 2 else f"{name}, seed {seed}"] = found
    print(table(results), flush=True)
    return results


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return [round(end, 4) for end in (value.point, value.low, value.high)]
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return round(float(value), 4) if isinstance(value, float) else plain(value)


def main() -> None:
    """Measures the data sets that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--group", help="column that says what belongs together; the prompt by default")
    parser.add_argument("--group-regex", help="its first capture group is the group")
    parser.add_argument("--members", nargs="+", default=FitConfig().members)
    parser.add_argument("--encoder", default=FitConfig().encoder)
    parser.add_argument("--policy", default=FitConfig().policy)
    parser.add_argument("--balance-length", type=float, default=0.0)
    parser.add_argument("--mismatched-share", type=float, default=0.0)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--deal", type=int, help="seed of the test sets, for several seeds on the same ones")
    given = parser.parse_args()
    config = FitConfig(
        members=tuple(given.members),
        encoder=given.encoder,
        policy=given.policy,
        balance_length=given.balance_length,
        mismatched_share=given.mismatched_share,
        seed=given.seed[0],
    )

    def load(source: str) -> list[AnyRow]:
        return load_rows(source, group=given.group, group_regex=given.group_regex)

    run(given.data, config, load=load, folds=given.folds, seeds=given.seed, deal=given.deal)


if __name__ == "__main__":
    main()
