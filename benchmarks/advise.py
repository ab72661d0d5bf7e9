"""Whether the advice is good: regret of the recommended candidate, and how often the bands for more data hold.

Of each data set, whole groups are kept aside (at most 1,500 rows and 40%). A case is a set, a size and a seed: the
candidates that are cross-validated by `guerdon advise` see so many rows; then each learns from all of them, from a
third more and from twice as many, and is measured on the rows kept aside. Regret is the accuracy there of the best
candidate minus that of the recommended one. The best of seven measurements is flattered by chance, less where several
seeds (deals of the rows) are averaged before the best is named; the last regret takes the one that is best on half of
the groups kept aside, and measures both on the other half. Cases are kept in a folder, so that the work can be done in
turns:

    python benchmarks/advise.py --data SET1.jsonl.gz SET2.jsonl.gz --cases cases --minutes 7      (until all are there)
    python benchmarks/advise.py --cases cases
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from guerdon.data.read import load_rows
from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.evaluate.cheap_candidates import compare_cheap
from guerdon.evaluate.counted_pairs import CountedPairs, Measured
from guerdon.evaluate.learning_curve import SizeCurve, expected_gain
from guerdon.evaluate.recommendation import choose
from guerdon.evaluate.successive_halving import observations_of
from guerdon.metrics import Floats
from guerdon.rewards.embedding import text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import measure_unseen
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import read_members
from guerdon.types import AnyRow, group_key, prompt_text, response_texts

MULTIPLES = (1.0, 4 / 3, 2.0)
"""How many rows candidates learn from before they are measured on the rows kept aside, in sizes of the case."""
MOST_HELD = 1500


def sides(rows: Sequence[AnyRow], seed: int) -> tuple[list[AnyRow], list[AnyRow]]:
    """Rows kept aside and rows to learn from, no group on both sides; rows of few large groups come mixed."""
    groups: dict[str, list[AnyRow]] = {}
    for row in rows:
        groups.setdefault(group_key(row), []).append(row)
    rng = np.random.default_rng(seed)
    order = [list(groups)[place] for place in rng.permutation(len(groups))]
    held: list[AnyRow] = []
    while len(held) < min(MOST_HELD, 0.4 * len(rows)):
        held += groups[order.pop()]
    learnt = [row for name in order for row in groups[name]]
    if len(learnt) > 50 * len(order):
        learnt = [learnt[place] for place in rng.permutation(len(learnt))]
    return [held[place] for place in rng.permutation(len(held))[:MOST_HELD]], learnt


def keep_vectors(rows: Sequence[AnyRow], file: Path) -> None:
    """Gives the encoder the vectors of a file; writes the file first where there is none."""
    encoder = text_encoder("minilm", None, False)  # the very one that members ask for
    texts = list(dict.fromkeys(text for row in rows for text in (prompt_text(row.prompt), *response_texts(row))))
    if not file.exists():
        np.savez(file, texts=np.array(texts), vectors=encoder.embed(texts))
    with np.load(file) as found:
        encoder._kept.update(zip(found["texts"].tolist(), found["vectors"], strict=True))


def measure_case(rows: Sequence[AnyRow], size: int, seed: int, file: Path) -> None:
    """Measures one case and writes what `report` needs."""
    held_rows, learnt = sides(rows, seed)
    sample = learnt[:size]
    judged, config = JudgedResponses.of(sample), AdviseConfig(time=60, seed=seed)
    cheap = compare_cheap(judged, config, time.monotonic())
    everything = JudgedResponses.of([*learnt[: 2 * size], *held_rows])
    members = read_members(everything, FitConfig(seed=seed))
    held = observations_of(held_rows, everything)
    arrays: dict[str, np.ndarray] = {}
    counts = []
    for number, multiple in enumerate(MULTIPLES):
        if round(multiple * size) > len(learnt):
            break
        seen = np.setdiff1d(observations_of(learnt[: round(multiple * size)], everything), held)
        _, margins = measure_unseen(members, everything, seen, held, seed=seed)
        whole = np.zeros((len(everything), len(margins)))
        whole[held] = np.stack([margins[name] for name in cheap.margins], axis=1)
        arrays[f"truth{number}"] = whole
        counts.append(len(seen))
    for name, pairs in (("sample", cheap.pairs), ("held", CountedPairs.of(everything, held))):
        second = np.zeros(0, dtype=np.int64) if pairs.second is None else pairs.second
        arrays |= {f"{name}_first": pairs.first, f"{name}_second": second}
        arrays |= {f"{name}_longer": pairs.longer, f"{name}_clusters": pairs.clusters}
    for name, curve in cheap.curves.items():
        arrays |= {f"{name}_sizes": curve.sizes, f"{name}_accuracies": curve.accuracies}
        arrays |= {f"{name}_resampled": curve.resampled, f"{name}_by_draw": curve.by_draw}
    names = np.array(list(cheap.margins))
    margins = np.stack(list(cheap.margins.values()), axis=1)
    np.savez_compressed(file, names=names, margins=margins, counts=np.array(counts), **arrays)


def _pairs(found: Mapping[str, np.ndarray], name: str) -> CountedPairs:
    first, second, longer, clusters = (found[f"{name}_{one}"] for one in ("first", "second", "longer", "clusters"))
    return CountedPairs(first, second if len(second) else None, longer, clusters)


def fair_regret(pairs: CountedPairs, margins: Floats, recommended: int, divisions: int = 20) -> float:
    """Regret to what is best on one half of the groups, measured on the other; the mean over random halves.

    Args:
        pairs: what is measured on.
        margins: of every candidate, shape (m, candidates).
        recommended: position of the candidate that was recommended.
        divisions: random halves.
    """
    own = pairs.margins(margins)
    right = (own > 0) + 0.5 * (own == 0)
    groups = np.unique(pairs.clusters[pairs.first], return_inverse=True)[1]
    rng = np.random.default_rng(0)
    found = []
    for _ in range(divisions):
        half = (rng.permutation(groups.max() + 1) % 2 == 0)[groups]
        for chosen_on, measured_on in ((half, ~half), (~half, half)):
            accuracy = right[measured_on].mean(axis=0)
            found.append(accuracy[np.argmax(right[chosen_on].mean(axis=0))] - accuracy[recommended])
    return float(np.mean(found))


@dataclass(frozen=True)
class CaseResult:
    """One case."""

    name: str
    recommended: str
    best: str
    """By the rows kept aside."""
    accuracy: Mapping[str, float]
    """Of every candidate, on the rows kept aside."""
    regret: float
    fair_regret: float
    """By halves of the groups kept aside: the best of one half, on the other."""
    clearly_worse: bool
    """Whether the paired interval of recommended minus best lies below 0."""
    bands: tuple[tuple[str, float, float, float, float, float], ...]
    """(candidate, multiple, low, point, high, true gain)."""


def read_case(file: Path) -> CaseResult:
    """What the advice would have been, and what is true on the rows kept aside."""
    with np.load(file) as loaded:
        found = dict(loaded)
    names = found["names"].tolist()
    measured = Measured.of(_pairs(found, "sample"), dict(zip(names, found["margins"].T, strict=True)))
    recommended, held = choose(measured), _pairs(found, "held")
    truth = Measured.of(held, dict(zip(names, found["truth0"].T, strict=True)))
    best = max(names, key=lambda name: truth.accuracy[name].point)
    bands = []
    for name in names:
        if f"{name}_sizes" not in found:
            continue
        parts = (found[f"{name}_{part}"] for part in ("sizes", "accuracies", "resampled", "by_draw"))
        curve = SizeCurve(*parts)
        for number, count in enumerate(found["counts"].tolist()[1:], start=1):
            now = int(found["counts"][0])
            gain = expected_gain(curve, count - now, now)
            accuracy = held.accuracy(found[f"truth{number}"][:, [names.index(name)]])[0]
            true = float(accuracy - truth.accuracy[name].point)
            bands.append((name, MULTIPLES[number], gain.low, gain.point, gain.high, true))
    difference = truth.difference(recommended, best)
    fair = fair_regret(held, found["truth0"], names.index(recommended))
    accuracy = {name: interval.point for name, interval in truth.accuracy.items()}
    worse = difference.high < 0
    return CaseResult(file.stem, recommended, best, accuracy, -difference.point, fair, worse, tuple(bands))


def regret_of_deals(deals: Sequence[CaseResult]) -> float:
    """Regret to the candidate whose mean accuracy over the deals of one set and size is best."""
    means = [float(np.mean([one.accuracy[name] for one in deals])) for name in deals[0].accuracy]
    return max(means) - float(np.mean([one.accuracy[one.recommended] for one in deals]))


def report(cases: Path) -> None:
    """Prints every case, and what they come to."""
    results = [read_case(file) for file in sorted(cases.glob("*.case.npz"))]
    for one in results:
        own = [band for band in one.bands if band[0] == one.recommended]
        gains = "; ".join(
            f"x{multiple:.2f}: [{100 * low:+.1f}, {100 * high:+.1f}], true {100 * true:+.1f}"
            for _, multiple, low, _, high, true in own
        )
        worse = ", clearly worse" if one.clearly_worse else ""
        print(f"{one.name}: {one.recommended}, best {one.best}, regret {100 * one.regret:.1f}{worse}; {gains}")
    regret = np.array([one.regret for one in results])
    clear = np.mean([one.clearly_worse for one in results])
    dealt: dict[str, list[CaseResult]] = {}
    for one in results:
        dealt.setdefault(one.name.rsplit(".", 2)[0], []).append(one)
    by_deals = np.array([regret_of_deals(deals) for deals in dealt.values()])
    for name, deals in dealt.items():
        print(f"{name}: regret {100 * regret_of_deals(deals):.1f} over {len(deals)} deals")
    print(f"{len(results)} cases: mean regret {100 * regret.mean():.2f} points, median {100 * np.median(regret):.2f};")
    print(
        f"{len(dealt)} pairs of set and size, deals averaged: mean regret {100 * by_deals.mean():.2f} points, "
        f"median {100 * np.median(by_deals):.2f};"
    )
    fair = 100 * np.mean([one.fair_regret for one in results])
    print(f"regret to the best of one half of the rows kept aside, on the other half: {fair:.2f} points;")
    print(f"recommended not clearly worse than the best in {1 - clear:.0%}")
    chosen = [(one, band) for one in results for band in one.bands if band[0] == one.recommended]
    for name in ("the recommended", *dict.fromkeys(band[0] for one in results for band in one.bands)):
        for multiple in MULTIPLES[1:]:
            own = [band for one in results for band in one.bands if band[1] == multiple and band[0] == name]
            if name == "the recommended":
                own = [band for _, band in chosen if band[1] == multiple]
            if not own:
                continue
            held = np.mean([low <= true <= high for _, _, low, _, high, true in own])
            width = np.median([high - low for _, _, low, _, high, _ in own])
            bias = np.mean([point - true for _, _, _, point, _, true in own])
            print(
                f"{name}, x{multiple:.2f}: band holds in {held:.0%} of {len(own)}, median width "
                f"{100 * width:.1f} points, mean of predicted minus true {100 * bias:+.2f}"
            )


def main() -> None:
    """Measures cases that are not there yet, as time allows, and reports."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=[], help="files, each as FILE or FILE,GROUP or FILE,GROUP,REGEX")
    parser.add_argument("--cases", type=Path, required=True, help="folder of the cases")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 200, 400, 800])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=1e9, help="no case is begun later")
    arguments = parser.parse_args()
    arguments.cases.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    for data in arguments.data:
        path, group, regex, *_ = [*data.split(","), None, None]
        name = Path(path).name.split(".")[0]
        for seed in arguments.seeds:
            todo = [(size, arguments.cases / f"{name}.{size}.{seed}.case.npz") for size in arguments.sizes]
            if all(file.exists() for _, file in todo):
                continue
            rows = load_rows(path, group=group, group_regex=regex)
            keep_vectors(rows, arguments.cases / f"{name}.vectors.npz")
            for size, file in todo:
                if time.monotonic() - begin > 60 * arguments.minutes:
                    return
                if not file.exists() and len(sides(rows, seed)[1]) >= 4 / 3 * size:
                    measure_case(rows, size, seed, file)
                    print(f"{file.stem}: {time.monotonic() - begin:.0f} s", flush=True)
    report(arguments.cases)


if __name__ == "__main__":
    main()
