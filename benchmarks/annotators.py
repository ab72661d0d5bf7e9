"""How good labels of simulated annotators are, pooled by votes, by Dawid-Skene and by crowd Bradley-Terry.

    python benchmarks/annotators.py

Of 20 annotators some guess; each of 500 pairs is judged by three of them. For every way of pooling: the share of pairs
whose likelier response is the better one, and the Brier score of the soft labels, over ten seeds.
"""

from __future__ import annotations

import numpy as np

from guerdon.collect.collect_config import Pooling
from guerdon.collect.labelled import labelled_rows
from guerdon.collect.soft_labels import soft_rows
from guerdon.metrics import format_interval, mean_interval
from guerdon.types import AnyRow, Comparison

PAIRS, PEOPLE, EACH, SEEDS = 500, 20, 3, 10
POOLINGS: tuple[Pooling, ...] = ("votes", "dawid-skene", "bradley-terry")


def simulated(guessers: float, seed: int) -> list[AnyRow]:
    """Judgements of pairs of which "good" is the better response."""
    rng = np.random.default_rng(seed)
    right = np.where(np.arange(PEOPLE) < guessers * PEOPLE, 0.5, rng.uniform(0.75, 0.95, PEOPLE))
    rows: list[AnyRow] = []
    for pair in range(PAIRS):
        texts = [f"{pair} good", f"{pair} bad"]
        for person in rng.permutation(PEOPLE)[:EACH]:
            chosen, rejected = texts if rng.random() < right[person] else texts[::-1]
            rows.append(
                Comparison(prompt=str(pair), chosen=chosen, rejected=rejected, extra={"annotator": f"p{person}"})
            )
    return rows


def main() -> None:
    """Prints the table."""
    print(f"{PAIRS} pairs, {PEOPLE} annotators, {EACH} judgements a pair, {SEEDS} seeds: mean with 95% interval")
    for guessers in (0.0, 0.2, 0.4):
        figures: dict[str, list[tuple[float, float]]] = {pooling: [] for pooling in POOLINGS}
        for seed in range(SEEDS):
            labelled = labelled_rows(simulated(guessers, seed))
            for pooling in POOLINGS:
                soft = [row for row in soft_rows(labelled, pooling) if isinstance(row, Comparison)]
                good = np.array([row.preference if "good" in row.chosen else 1 - row.preference for row in soft])
                figures[pooling].append((float(np.mean(good > 0.5)), float(np.mean((1 - good) ** 2))))
        for pooling, pairs in figures.items():
            right, brier = (mean_interval([pair[at] for pair in pairs]) for at in (0, 1))
            print(f"{guessers:.0%} guess, {pooling:13}: right {format_interval(right)}, Brier {format_interval(brier)}")


if __name__ == "__main__":
    main()
