"""A generative judge by SFT and by its reward, on phenomena of grammar never seen: every figure printed, intervals too.

Rows are comparisons whose `subset` names the phenomenon. `--held` phenomena, drawn by the seed, are for the figures,
and so are other pairs of the phenomena that are learnt from. Judges, trained on the same number of questions:

    one      SFT, each comparison in one order, drawn by chance
    both     SFT, each comparison in both orders
    rl       as `both` for the first half of the steps, then by the expected reward
    untrained

and stand beside `likelihood`, the best reward of single texts on such data. An arm goes on from its last checkpoint
when the same command is given again.

Where only the last layers are trained, what is below them is computed once for all arms.

    python benchmarks/verdict_judges.py --data PAIRS.jsonl.gz --runs runs/verdicts
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from guerdon.collation import Batch
from guerdon.data.read import load_rows
from guerdon.metrics import Floats, format_interval, mean_interval, sigmoid
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet
from guerdon.rewards.likelihood import LikelihoodReward
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.verdict_judge import INSTRUCTIONS, VerdictJudge, ask_briefly
from guerdon.runs.folder import checkpoint_path, checkpoint_steps
from guerdon.runs.loop import Step
from guerdon.train.batches import Targets
from guerdon.train.judgements import Compared
from guerdon.train.verdict_config import VerdictConfig
from guerdon.train.verdict_run import VerdictQuestions, VerdictTrainee, verdict_loop
from guerdon.types import Comparison

ARMS = ("both", "rl", "one")


class OneOrder(VerdictTrainee):
    """SFT on single questions: both places of a `Compared` are the same question, and `margin` says which is right."""

    def forward(self, batch: Batch, targets: Targets) -> tuple[Tensor, Tensor]:
        """The summed negative log-likelihood, and how many verdicts are right."""
        logps = self.reader.log_probabilities(batch, targets["verdicts"])[targets["pair"][:, 0]]
        swapped = targets["pair_values"][:, 1] > 0
        right = torch.where(swapped, logps[:, 1], logps[:, 0])
        wrong = torch.where(swapped, logps[:, 0], logps[:, 1])
        order = torch.stack([torch.tensor(float(len(right))), (right > wrong).float().sum()])
        return -right.sum(), order


class Below(nn.Module):
    """The frozen layers of a model as one layer, which computes a batch once, whatever is trained on top of it."""

    def __init__(self, layers: Sequence[nn.Module], kept: dict[bytes, Tensor]) -> None:
        super().__init__()
        self.layers, self.kept = nn.ModuleList(layers), kept

    def forward(self, hidden_states: Tensor, *args: Any, **options: Any) -> Tensor:
        """The states after the last of them."""
        digest = hashlib.sha256(hidden_states.detach().numpy().tobytes())
        if options["attention_mask"] is not None:  # a single sequence has none
            digest.update(options["attention_mask"].numpy().tobytes())
        if (key := digest.digest()) not in self.kept:
            with torch.no_grad():
                for layer in self.layers:
                    hidden_states = layer(hidden_states, *args, **options)
            self.kept[key] = hidden_states
        return self.kept[key]


def policy_of(name: str, layers: int, kept: dict[bytes, Tensor]) -> Policy:
    """A policy, of which the last layers are trained, and what lies below them is computed once for all arms."""
    policy = Policy.load(name, device="cpu", dtype="float32")
    if layers:
        PolicyNet(policy.model).freeze_below(layers)
        backbone = policy.model.model
        backbone.layers = nn.ModuleList([Below(backbone.layers[:-layers], kept), *backbone.layers[-layers:]])
        backbone.config.num_hidden_layers = layers + 1
    return policy


def one_order(questions: VerdictQuestions, seed: int) -> VerdictQuestions:
    """Each comparison as one question, in an order drawn by chance."""
    swapped = np.random.default_rng(seed).random(len(questions.training)) < 0.5
    drawn = [
        Compared(one.rejected, one.rejected, margin=1.0) if turned else Compared(one.chosen, one.chosen)
        for one, turned in zip(questions.training, swapped, strict=True)
    ]
    return replace(questions, training=drawn)


def train(arm: str, rows: list[Comparison], given: argparse.Namespace, kept: dict[bytes, Tensor]) -> Policy:
    """The policy of an arm after all steps."""
    pairs = given.batch_size * (2 if arm == "one" else 1)
    config = VerdictConfig(
        batch_size=pairs,
        epochs=given.steps * pairs / len(rows),
        warm_start=0.5 if arm == "rl" else 1.0,
        consistency=given.consistency,
        brier=given.brier,
        learning_rate=given.rate,
        lora_r=0,
        verdict=given.verdict,
        train_layers=given.layers,
        validation=0.0,
        eval_steps=given.steps // 2,
        tokens_per_batch=given.tokens,
        seed=given.seed,
    )
    run = given.runs / arm
    run.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    policy = policy_of(given.policy, given.layers, kept)
    model = (OneOrder if arm == "one" else VerdictTrainee)(VerdictJudge(policy, arm).reader, config)
    questions = VerdictQuestions.of(model.reader, config.verdict, rows, [])
    if arm == "one":
        questions = one_order(questions, given.seed)
    loop, steps, _ = verdict_loop(model, questions, config, run)
    half = given.steps // 2

    def step(number: int) -> Step:
        if arm == "both" and number == half:  # so far it is the same as `rl`
            place = checkpoint_path(given.runs / "rl", half)
            shutil.copytree(checkpoint_path(run, half), place, dirs_exist_ok=True)
        return steps(number)

    start, done = time.perf_counter(), checkpoint_steps(run)
    if done and done[-1] == given.steps:
        loop._load(checkpoint_path(run, given.steps))
    else:
        loop.train(step, checkpoint=checkpoint_path(run, done[-1]) if done else None)
        print(json.dumps({"arm": arm, "steps": given.steps, "minutes": (time.perf_counter() - start) / 60}), flush=True)
    policy.model.eval()
    return policy


def asked_in_both_orders(judge: VerdictJudge, rows: list[Comparison], bf16: bool) -> Floats:
    """P(the first is better) of each pair, the preferred shown first and shown second, shape (n, 2)."""
    prompts = [row.prompt for row in rows]
    chosen, rejected = [row.chosen for row in rows], [row.rejected for row in rows]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        found = judge.compare([*prompts, *prompts], [*chosen, *rejected], [*rejected, *chosen])
    return found.reshape(2, len(rows)).T


def figures(first: Floats) -> dict[str, Floats]:
    """What is said of each pair, from P(the first is better) in both orders, shape (n, 2)."""
    right = np.stack([first[:, 0] > 0.5, first[:, 1] < 0.5])
    z = np.log(first) - np.log1p(-first)
    probability = sigmoid((z[:, 0] - z[:, 1]) / 2)
    return {
        "right in one order": right.mean(axis=0),
        "right in both orders": right.all(axis=0).astype(float),
        "same winner in both orders": (right[0] == right[1]).astype(float),
        "accuracy of P": (probability > 0.5).astype(float),
        "first place wins": (first > 0.5).mean(axis=1),
        "Brier of P": (1 - probability) ** 2,
    }


def main() -> None:
    """Trains what is not trained yet, and measures all of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--policy", default="smollm2")
    parser.add_argument("--verdict", choices=("letter", "quote"), default="quote")
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=ARMS)
    parser.add_argument("--held", type=int, default=22)
    parser.add_argument("--pairs", type=int, default=10, help="of each held-out phenomenon; of others half")
    parser.add_argument("--learn", type=int, default=16, help="comparisons of each phenomenon that are learnt from")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--consistency", type=float, default=1.0)
    parser.add_argument("--brier", type=float, default=0.5)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--layers", type=int, default=12, help="train the last so many; 0 all")
    parser.add_argument("--tokens", type=int, default=0)
    parser.add_argument("--bf16", action="store_true", help="ask in bfloat16; training has ACCELERATE_MIXED_PRECISION")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rows = [row for row in load_rows(given.data) if isinstance(row, Comparison)]
    by_subset: dict[str, list[Comparison]] = defaultdict(list)
    for row in rows:
        by_subset[row.subset].append(row)
    names = np.random.default_rng(given.seed).permutation(sorted(by_subset)).tolist()
    held = set(names[: given.held])
    seen = [row for name in names[given.held :] for row in by_subset[name][: given.learn]]
    kept: dict[bytes, Tensor] = {}
    judges = {arm: judge_of(train(arm, seen, given, kept), arm, given) for arm in given.arms}
    judges["untrained"] = judge_of(policy_of(given.policy, given.layers, kept), "untrained", given)
    base = LikelihoodReward(Policy.load(given.policy, device="cpu", dtype="float32"), given.policy)
    test = [row for name in sorted(held) for row in by_subset[name][: given.pairs]]
    print(f"\n# phenomena never seen: {', '.join(sorted(held))}")
    measure(judges, base, test, given.runs, given.bf16)
    others = [row for name in sorted(set(names) - held) for row in by_subset[name][-(given.pairs // 2) :]]
    print("\n# other pairs of the phenomena that were learnt from")
    measure(judges, base, others, given.runs / "others", given.bf16)


def judge_of(policy: Policy, name: str, given: argparse.Namespace) -> VerdictJudge:
    """A policy as the judge that is measured, one order at a time."""
    return VerdictJudge(policy, name, ask_briefly(INSTRUCTIONS[given.verdict]), verdict=given.verdict)


def measure(
    judges: dict[str, VerdictJudge], base: LikelihoodReward, rows: list[Comparison], place: Path, bf16: bool
) -> None:
    """Prints what all judges say of these pairs, and keeps it."""
    place.mkdir(parents=True, exist_ok=True)
    clusters = [row.subset for row in rows]
    texts = [(row.prompt, text) for row in rows for text in (row.chosen, row.rejected)]
    likelihood = remembered(
        place / "likelihood.npy", lambda: score_texts(base, *zip(*texts, strict=True)).values.reshape(-1, 2)
    )
    single = (likelihood[:, 0] > likelihood[:, 1]).astype(float)
    print(f"{len(rows)} pairs; likelihood, single texts: accuracy {format_interval(mean_interval(single, clusters))}")
    measured = {
        arm: figures(remembered(place / f"{arm}.npy", partial(asked_in_both_orders, judge, rows, bf16)))
        for arm, judge in judges.items()
    }
    for arm, found in measured.items():
        print(f"\n{arm}")
        for name, values in found.items():
            print(f"  {name:<28} {format_interval(mean_interval(values, clusters))}")
        beyond = found["right in both orders"] - single
        print(f"  right in both - likelihood   {format_interval(mean_interval(beyond, clusters), signed=True)}")
    for first, second in (("rl", "both"), ("rl", "one"), ("both", "one")):
        if first in measured and second in measured:
            print(f"\n{first} minus {second}")
            for name, values in measured[first].items():
                difference = mean_interval(values - measured[second][name], clusters)
                print(f"  {name:<28} {format_interval(difference, signed=True)}")


def remembered(file: Path, compute: Callable[[], Floats]) -> Floats:
    """What was computed before, or is now."""
    if not file.exists():
        np.save(file, compute())
    return np.asarray(np.load(file))


if __name__ == "__main__":
    main()
