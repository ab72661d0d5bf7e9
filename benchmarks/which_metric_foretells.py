"""Which metric of agreement foretells what a reward brings: eight rewards, put to use by `guerdon.evaluate_downstream`.

Each data set is split by prompt in three: rewards learn from one part (few rows, more, all), the second says how far
they agree with people, and on the third they pick the best of n. What a pick is worth people's own scores say, or with
--policy, which answers the prompts of the third part, a gold reward: a blend that learned from half of the first part,
which is then no part of what the others learn from. Spearman's rank correlation over the rewards says how far a metric
foretold the gain; its interval draws rows, prompts and rewards.

    python benchmarks/which_metric_foretells.py --data RATINGS.jsonl.gz RANKINGS.jsonl.gz
    python benchmarks/which_metric_foretells.py --data PAIRS.jsonl.gz --policy smollm2 --prompts 60 --out FOLDER
    python benchmarks/which_metric_foretells.py --data PAIRS.jsonl.gz --policy smollm2 --prompts 32 --n 4 --rl-steps 8 \
        --prompts-per-step 2 --max-new-tokens 24 --longest-prompt 200 --rewards surface --out OTHER
"""

from __future__ import annotations

import argparse
import tempfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.cli.evaluation_tables import downstream_tables
from guerdon.cli.tables import output
from guerdon.data.candidates import read_candidates
from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.downstream import Downstream, evaluate_downstream
from guerdon.evaluate.downstream_config import DownstreamConfig
from guerdon.metrics import METRICS, format_interval
from guerdon.rewards.rules import LengthReward
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import AnyRow, Candidates, Prompt, References, Scorer, prompt_text


class RandomReward:
    """A number that only depends on the text, and on nothing in it."""

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        """Rewards as `guerdon.types.Scorer` has them."""
        keys = zip(prompts, responses, strict=True)
        return np.array([zlib.crc32(f"{prompt_text(p)}\n{r}".encode()) / 2**32 for p, r in keys], dtype=np.float32)


def rewards(rows: Sequence[AnyRow], only: Sequence[str] = ()) -> dict[str, Scorer]:
    """Rewards of very different quality; those alone whose names begin as `only` says."""
    few, more, every = len(rows) // 16, len(rows) // 4, len(rows)
    members = [("tfidf", few), ("tfidf", more), ("tfidf", every), ("surface", every)]
    members += [("embedding", few), ("embedding", every)]
    fitted = {f"{name}, {count} rows": (name, count) for name, count in members}
    found: dict[str, Scorer] = {}
    for name in ("random", "longest", *fitted):
        if only and not name.startswith(tuple(only)):
            continue
        if name in fitted:
            member, count = fitted[name]
            found[name] = fit_reward(rows[:count], config=FitConfig(members=(member,))).reward
        else:
            found[name] = RandomReward() if name == "random" else LengthReward(1)
    return found


def measure(source: str, given: argparse.Namespace, out: Path) -> Downstream:
    """Fits the rewards, measures how far they agree with people, and puts them to use."""
    learn, agree, use = split_rows(load_rows(source), test=1 / 3, validation=1 / 3)
    prompts = {prompt_text(row.prompt) for row in use}
    pool = [one for one in read_candidates(source) if prompt_text(one.prompt) in prompts and len(one.responses) > 1]
    gold = None
    if given.policy:
        half = split_rows(learn, test=0.5)
        learn, gold = half.train, fit_reward(half.test, config=FitConfig()).reward
        short = [one for one in pool if len(prompt_text(one.prompt)) <= given.longest_prompt]
        pool = [Candidates(prompt=one.prompt) for one in short[: given.prompts]]
    systems = rewards(learn, given.rewards or ())
    agreement = evaluate_reward(systems, agree, baselines={})
    config = DownstreamConfig(
        policy=given.policy,
        n=given.n,
        rl_steps=given.rl_steps,
        prompts_per_step=given.prompts_per_step,
        max_new_tokens=given.max_new_tokens,
        learning_rate=3e-4,
    )
    found = evaluate_downstream(systems, pool, out, config, gold=gold, gold_name="gold", agreement=agreement)
    part = agreement.sections[0]
    print(f"{Path(source).name}: {len(learn)} rows to learn from, {part.overall.pairs} pairs to agree with", flush=True)
    for one in found.results:
        value = part.overall.system(one.system).metrics[part.primary]
        print(f"  {one.system}: {METRICS[part.primary].heading} {format_interval(value)}", flush=True)
    for table in downstream_tables(found):
        output().print(table)
    for note in found.notes:
        print(note)
    return found


def main() -> None:
    """Measures every data set that is named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", required=True, help="ratings or rankings; with --policy comparisons")
    parser.add_argument("--policy", help="language model that answers; without one the responses of the data are used")
    parser.add_argument("--prompts", type=int, default=60, help="that the policy answers")
    parser.add_argument("--n", type=int, default=0)
    parser.add_argument("--rl-steps", type=int, default=0)
    parser.add_argument("--prompts-per-step", type=int, default=8)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--longest-prompt", type=int, default=400, help="characters of prompts that a policy answers")
    parser.add_argument("--rewards", nargs="*", help="only those whose names begin so")
    parser.add_argument("--out", type=Path, help="new folder of what is sampled and trained")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        every = {}
        for source in given.data:
            name = Path(source).name.split(".")[0]
            every[name] = measure(source, given, (given.out or Path(folder)) / name).foretold
    for metric in METRICS:
        values = {name: told[metric] for name, told in every.items() if metric in told}
        if len(values) > 1:
            mean = np.mean([one.point for one in values.values()])
            each = ", ".join(f"{name} {format_interval(one, signed=True)}" for name, one in values.items())
            print(f"{METRICS[metric].heading}: mean {mean:+.3f}; {each}")


if __name__ == "__main__":
    main()
