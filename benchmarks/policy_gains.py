"""What training a policy on a reward gains on unseen prompts, by that reward and by a gold one that never trained.

The commands that are run are printed; each leaves a policy in a folder. Then the policy at the start and the trained
one answer the test prompts, and the paired difference of every reward is given with its 95% interval over prompts.

    python benchmarks/policy_gains.py --reward quickstart/model --method rl --seeds 0 1 2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.data.candidates import read_prompts
from guerdon.metrics import format_interval, mean_interval, spearman
from guerdon.optimize.best_of_n import rewards_of
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.rewards.load import load_scorer
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates, Scorer
from workloads import guerdon

COMMON = ["--num-generations", "8", "--temperature", "0.7"]
METHODS = {
    "rl": ["rl", "--algorithm", "grpo", "--beta", "0.02", "--save-steps", "1000"],
    "weighted": ["weighted", "--objective", "reward", "--lam", "1", "--save-steps", "1000"],
    "weighted-100": ["weighted", "--objective", "reward", "--lam", "100", "--save-steps", "1000"],
    "raft": ["weighted", "--objective", "raft", "--save-steps", "1000"],
}


def trained(arguments: argparse.Namespace, seed: int) -> Path:
    """Trains a policy by the command that is printed, unless it is there already."""
    out = Path(arguments.out) / f"{arguments.method}-{seed}"
    verb, *options = METHODS[arguments.method]
    options += ["--policy", arguments.policy, "--max-new-tokens", str(arguments.max_new_tokens)]
    options += ["--prompts-per-step", str(arguments.prompts_per_step), "--epochs", str(arguments.epochs)]
    options += ["--learning-rate", str(arguments.learning_rate), "--seed", str(seed)]
    return guerdon(out, "optimize", verb, arguments.reward, arguments.train, *COMMON, *options)


def answers(policy: Policy, requests: Sequence[Candidates], each: int, tokens: int) -> list[Candidates]:
    """Answers of a policy to the test prompts; two policies draw with the same numbers."""
    said = dict(
        policy.sample_texts(
            [request.prompt for request in requests], num_generations=each, sampling=Sampling(tokens, 0.7), seed=12345
        )
    )
    return [
        Candidates(prompt=request.prompt, responses=tuple(said[index]), reference=request.reference)
        for index, request in enumerate(requests)
    ]


def means(judges: dict[str, Scorer], candidates: Sequence[Candidates]) -> dict[str, np.ndarray]:
    """The mean of every reward for each prompt."""
    rewards = {name: rewards_of(judge, candidates) for name, judge in judges.items()}
    return {name: np.array([np.nanmean(one.values) for one in found]) for name, found in rewards.items()}


def main() -> None:
    """Trains, measures, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--reward", default="quickstart/model", help="what trains")
    parser.add_argument("--gold", default="tfidf:starter:test:en", help="what only watches")
    parser.add_argument("--train", default="starter:train:en", help="prompts to train on")
    parser.add_argument("--test", default="starter:test:en", help="prompts to measure on")
    parser.add_argument("--policy", default="smollm2")
    parser.add_argument("--method", choices=METHODS, default="rl")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--prompts-per-step", type=int, default=4)
    parser.add_argument("--max-new-tokens", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=3e-4)
    parser.add_argument("--each", type=int, default=8, help="answers to each test prompt")
    parser.add_argument("--out", default="runs/policy-gains")
    arguments = parser.parse_args()
    judges: dict[str, Scorer] = {
        "proxy": load_scorer(arguments.reward),
        "gold": load_scorer(arguments.gold),
        "characters": LengthReward(),
    }
    requests = read_prompts(arguments.test)
    policies = {"start": arguments.policy} | {f"seed {seed}": str(trained(arguments, seed)) for seed in arguments.seeds}
    found = {}
    for name, path in policies.items():
        candidates = answers(Policy.load(path), requests, arguments.each, arguments.max_new_tokens)
        found[name] = means(judges, candidates)
        if name == "start":
            pairs = zip(rewards_of(judges["gold"], candidates), rewards_of(LengthReward(), candidates), strict=True)
            found_by = [spearman(gold.values, length.values) for gold, length in pairs]
            print(f"gold and length within a prompt, Spearman: {np.nanmean(found_by):+.2f}")
    start = found.pop("start")
    print(f"{arguments.method}, {len(requests)} unseen prompts, {arguments.each} answers each; minus the start:")
    for judge in judges:
        print(f"  {judge:11s} start {start[judge].mean():+.3f}", end="")
        for name, own in found.items():
            print(f"  {name} {format_interval(mean_interval(own[judge] - start[judge]), signed=True)}", end="")
        together = np.mean([own[judge] - start[judge] for own in found.values()], axis=0)
        print(f"  all seeds {format_interval(mean_interval(together), signed=True)}", flush=True)


if __name__ == "__main__":
    main()
