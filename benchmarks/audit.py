"""Whether an audit of labels finds what is planted: labels turned around, and near doubles in another part.

Of each data set, 5% of the labels are turned around, and the share of these among as many suspects is given, for each
seed. Then a tenth of the responses is put into another part, with words (Chinese: characters) of a share of places
dropped, doubled or exchanged, and the share of these that is found there is given.

    python benchmarks/audit.py --data SET1.jsonl.gz SET2.jsonl.gz --seeds 3
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.data.near_duplicates import nearest_texts, plain
from guerdon.data.read import load_rows
from guerdon.evaluate.audit.label_errors import MOST, planted_precision
from guerdon.evaluate.audit.natural_pairs import natural_pairs
from guerdon.text.language import is_chinese
from guerdon.types import AnyRow, response_texts

SHARES = (0.0, 0.05, 0.1, 0.15)
"""Places of a text that are edited; at 0 case and white space alone are."""


def edited(text: str, share: float, rng: random.Random) -> str:
    """So many of its words (Chinese: characters) dropped, doubled, or exchanged."""
    if not share:
        return f" {text.upper()}\n"
    chinese = is_chinese(text)
    words = list(text) if chinese else text.split(" ")
    for place in rng.sample(range(len(words)), max(1, round(share * len(words)))):
        words[place] = rng.choice(("", words[place] * 2, "的" if chinese else "other"))
    return ("" if chinese else " ").join(words)


def doubles_found(rows: Sequence[AnyRow], share: float) -> float:
    """The share of planted near doubles that are found; texts of a few words have none but exact ones."""
    rng = random.Random(0)
    texts = sorted({text for row in rows for text in response_texts(row)})
    long = [text for text in texts if len(plain(text)) >= (18 if is_chinese(text) else 25)]
    chosen = rng.sample(long, min(1000, len(long) // 10))
    return float(nearest_texts([edited(text, share, rng) for text in chosen], texts).found.mean())


def main() -> None:
    """Measures each data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    for data in options.data:
        rows = load_rows(data)
        pairs = natural_pairs(rows)
        pairs = pairs.take(range(min(len(pairs), MOST)))
        start = time.monotonic()
        found = [planted_precision(pairs, seed).point for seed in range(options.seeds)]
        seconds = (time.monotonic() - start) / options.seeds
        doubles = "  ".join(f"{share:.0%}: {doubles_found(rows, share):.3f}" for share in SHARES)
        name, each = Path(data).name, " ".join(f"{one:.2f}" for one in found)
        print(f"{name}: {len(pairs):,} pairs; turned labels {np.mean(found):.3f} ({each}), {seconds:.0f} s a ranking")
        print(f"    near doubles by edited share: {doubles}", flush=True)


if __name__ == "__main__":
    main()
