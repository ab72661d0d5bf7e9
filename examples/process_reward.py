"""A process reward on made word problems: which step is wrong, on kinds of problems that training never saw.

Every problem tells three things, each of which asks for one step. Of the sequences of operations a quarter is kept for
testing, and so are the things that are counted there. A wrong solution has one operand or operator of one step
exchanged, and goes on with what that gives; the program says which steps are right. What comes behind the first wrong
step is not judged, as in PRM800K and ProcessBench. Beside it an outcome reward is trained on the same solutions, of
which it is told only whether the whole is right.

    python examples/process_reward.py --out runs/process
"""

from __future__ import annotations

import argparse
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import LlamaConfig, LlamaForSequenceClassification, PreTrainedTokenizerFast

import guerdon
from guerdon import Comparison, Steps

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry")
OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
MOST = 99
"""The largest number of a problem."""

SPECIAL = ("[PAD]", "[UNK]", "[EOS]")

CLAUSES = """
    {name} has {a} {boxes} of {b} {things} each. | {things} in all {boxes}: a * b
    There are {b} {things} in each of {a} {boxes}. | {things} in the {boxes}: a * b
    {name} has {a} old and {b} new {things}. | old and new {things}: a + b
    {name} finds {a} {things} at home and {b} at school. | {things} from both places: a + b
    {name} had {a} {things} and lost {b}. | {things} after the loss: a - b
    Of {a} {things}, {b} are broken. | {things} that are whole: a - b
    {name} puts {a} {things} into {b} {boxes} and takes one of the {boxes}. | {things} in one of the {boxes}: a / b
    {name} and friends, {b} in all, share {a} {things}. | {things} for each friend: a / b

    Each one is cut into {c} parts. | {things} after cutting: #1 * c
    {other} has {c} times as many and sends all of them. | {things} of {other}: #1 * c
    Then {c} more arrive. | {things} with those that arrived: #1 + c
    {name} buys {c} of them too. | {things} with the bought ones: #1 + c
    Then {c} are given away. | {things} after the gift: #1 - c
    A thief takes {c}. | {things} after the theft: #1 - c
    They are put on {c} shelves, and only the first shelf is looked at. | {things} on the first shelf: #1 / c
    They make {c} equal piles, and one pile is kept. | {things} in one pile: #1 / c

    Each is worth {d} coins. How many coins is that? | coins for the {things}: #2 * d
    The same happens on {d} days. How many {things} in all? | {things} of all days: #2 * d
    In the end {d} come back. How many {things} are there now? | {things} at last: #2 + d
    There were {d} before. How many {things} is that together? | {things} together: #2 + d
    Of these {d} are sold. How many {things} stay? | {things} that stay: #2 - d
    A dog hides {d}. How many {things} are to be seen? | {things} to be seen: #2 - d
    Then {d} children share them. How many {things} for each child? | {things} for each child: #2 / d
    They fill {d} bags. How many {things} in each bag? | {things} in each bag: #2 / d
"""
"""What a problem tells first, second and third, and which step that asks for: a number is a letter, a result `#1`."""

SEEN_THINGS = (
    "pens boxes, marbles jars, apples baskets, stamps books, roses vases, cups crates, sweets tins, shirts drawers, "
    "balls nets, eggs cartons, candles packs, shells buckets"
)
UNSEEN_THINGS = "bricks carts, letters sacks, biscuits plates, beads strings"


@dataclass(frozen=True)
class Clause:
    """A part of a problem: what is told, what the step works out, and how."""

    told: str
    what: str
    left: str
    sign: str
    right: str


@dataclass(frozen=True)
class Kind:
    """A kind of problem: three clauses, and what they may be about."""

    clauses: tuple[Clause, ...]
    things: tuple[tuple[str, str], ...]


def read_clauses(text: str) -> list[list[Clause]]:
    """The clauses that can come first, second and third."""
    parts = [[line.strip() for line in part.splitlines()] for part in text.strip().split("\n\n")]
    found: list[list[Clause]] = []
    for part in parts:
        cut = [(told, *step.partition(": ")[::2]) for told, _, step in (line.partition(" | ") for line in part)]
        found.append([Clause(told, what, *how.split()) for told, what, how in cut])
    return found


def kinds(unseen: bool) -> tuple[Kind, ...]:
    """Three quarters of the sequences of operations are seen, the others are not; neither are their things."""
    pairs = (UNSEEN_THINGS if unseen else SEEN_THINGS).split(", ")
    things = tuple((one.split()[0], one.split()[1]) for one in pairs)
    every = [of for of in itertools.product(*read_clauses(CLAUSES)) if {one.sign for one in of} != {"*"}]  # above MOST
    chosen = [
        of for of in every if (sum(at * "+-*/".index(one.sign) for at, one in enumerate(of, 1)) % 4 == 0) == unseen
    ]
    random.Random(0).shuffle(chosen)
    return tuple(Kind(of, things) for of in chosen)


SEEN, UNSEEN = kinds(unseen=False), kinds(unseen=True)


@dataclass(frozen=True)
class Problem:
    """A problem with its numbers."""

    clauses: tuple[Clause, ...]
    numbers: dict[str, int]

    @property
    def question(self) -> str:
        """What is told and asked."""
        return " ".join(one.told for one in self.clauses)

    def solve(self, rng: random.Random | None = None, wrong: int | None = None) -> tuple[str, ...] | None:
        """The steps of a solution, one operand or operator of step `wrong` exchanged; None where that is no number.

        Random numbers put the two sides of a sum or product in either order.
        """
        results: list[int] = []
        steps = []
        for at, clause in enumerate(self.clauses):
            left, sign, right = self._expression(at, results)
            if at == wrong and rng is not None:
                left, sign, right = self._exchanged(left, sign, right, results, rng)
            result = evaluated(left, sign, right)
            if result is None:
                return None
            if rng is not None and sign in "+*" and rng.random() < 0.5:
                left, right = right, left
            steps.append(f"{clause.what}: {left} {sign} {right} = {result}")
            results.append(result)
        return tuple(steps)

    def labels(self, steps: Sequence[str]) -> tuple[float | None, ...]:
        """By execution: a step is right if the program has its expression, with what the earlier steps gave."""
        results: list[int] = []
        labels: list[float | None] = []
        for at, step in enumerate(steps):
            left, sign, right, _, result = step.partition(": ")[2].split()
            due = self._expression(at, results)
            said = (int(left), sign, int(right))
            same = said == due or (sign in "+*" and said == due[::-1])
            labels.append(None if 0.0 in labels else float(same and evaluated(*due) == int(result)))
            results.append(int(result))
        return tuple(labels)

    def _expression(self, at: int, results: Sequence[int]) -> tuple[int, str, int]:
        clause = self.clauses[at]
        values = [
            results[int(one[1:]) - 1] if one[0] == "#" else self.numbers[one] for one in (clause.left, clause.right)
        ]
        return values[0], clause.sign, values[1]

    def _exchanged(
        self, left: int, sign: str, right: int, results: Sequence[int], rng: random.Random
    ) -> tuple[int, str, int]:
        if rng.random() < 0.5:
            return left, rng.choice([one for one in OPERATIONS if one != sign]), right
        others = [*self.numbers.values(), *results, rng.randint(2, 12)]
        if rng.random() < 0.5:
            return rng.choice([one for one in others if one != left] or [left + 1]), sign, right
        return left, sign, rng.choice([one for one in others if one != right] or [right + 1])


def evaluated(left: int, sign: str, right: int) -> int | None:
    """The result; None where it is no whole number from 1 to `MOST`."""
    if sign == "/" and (right == 0 or left % right):
        return None
    result = OPERATIONS[sign](left, right)
    return result if 1 <= result <= MOST else None


def make_problem(kind: Kind, rng: random.Random) -> Problem:
    """Draws names, things and numbers until the problem can be solved."""
    while True:
        large = kind.clauses[0].sign != "*"
        numbers = {letter: rng.randint(2, 12) for letter in "abcd"}
        if large:  # what is subtracted from or shared out should be large enough for it
            numbers |= {letter: rng.randint(2, 60) for letter in "ab" if rng.random() < 0.6}
        if len(set(numbers.values())) < 4:
            continue
        things, boxes = rng.choice(kind.things)
        name, other = rng.sample(NAMES, 2)
        filled = {"name": name, "other": other, "things": things, "boxes": boxes, **numbers}
        clauses = [replace(one, told=one.told.format(**filled), what=one.what.format(**filled)) for one in kind.clauses]
        problem = Problem(tuple(clauses), numbers)
        if problem.solve() is not None:
            return problem


def solutions(problem: Problem, right: int, wrong: int, rng: random.Random) -> list[Steps]:
    """So many right and wrong solutions, no two alike."""
    found: dict[tuple[str, ...], Steps] = {}
    for is_right, count in ((True, right), (False, wrong)):
        for _ in range(200):
            mine = [one for one in found.values() if (0.0 not in one.labels) == is_right]
            if len(mine) == count:
                break
            steps = problem.solve(rng, None if is_right else rng.randrange(len(problem.clauses)))
            if steps is None or (0.0 not in problem.labels(steps)) != is_right:
                continue
            found[steps] = Steps(prompt=problem.question, steps=steps, labels=problem.labels(steps))
    return list(found.values())


def small_decoder(folder: Path) -> str:
    """A decoder of four layers that knows nothing but the words and numbers of these problems."""
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [*NAMES, "+ - * / = : , . ?", CLAUSES, SEEN_THINGS, UNSEEN_THINGS]
    words = {word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text.lower())}
    every = [*SPECIAL, *sorted(words | {str(number) for number in range(MOST + 1)})]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(every)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizer
    names = dict(zip(("pad_token", "unk_token", "eos_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 4, "num_attention_heads": 4}
    special = {"pad_token_id": 0, "bos_token_id": None, "eos_token_id": 2}
    config = LlamaConfig(vocab_size=len(every), max_position_embeddings=160, num_labels=1, **sizes, **special)
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


def rows_of(kinds: Sequence[Kind], count: int, wrong: int, seed: int) -> list[Steps]:
    """A right solution and some wrong ones to each of so many problems."""
    rng = random.Random(seed)
    return [row for i in range(count) for row in solutions(make_problem(kinds[i % len(kinds)], rng), 1, wrong, rng)]


def as_pairs(rows: Sequence[Steps]) -> list[Comparison]:
    """What an outcome reward learns from: each right solution is better than the wrong ones to its problem."""
    pairs, right = [], ""
    for row in rows:  # the right one comes first
        if 0.0 not in row.labels:
            right = text_of(row)
        else:
            pairs.append(Comparison(prompt=row.prompt, chosen=right, rejected=text_of(row)))
    return pairs


def text_of(row: Steps) -> str:
    """The whole solution."""
    return "\n\n".join(row.steps)


def eight_each(kinds: Sequence[Kind], count: int, seed: int) -> list[list[Steps]]:
    """Two right and six wrong solutions to each of so many problems, shuffled."""
    rng = random.Random(seed)
    found = [solutions(make_problem(kinds[i % len(kinds)], rng), 2, 6, rng) for i in range(count)]
    for rows in found:
        rng.shuffle(rows)
    return [rows for rows in found if len(rows) == 8]


def picks(scorer: Any, choices: Sequence[Sequence[Steps]]) -> np.ndarray:
    """Whether the solution with the highest reward is right, for each problem."""
    rows = [row for own in choices for row in own]
    scores = scorer.score([row.prompt for row in rows], [text_of(row) for row in rows]).reshape(len(choices), -1)
    return np.array([0.0 not in own[best].labels for own, best in zip(choices, scores.argmax(axis=1), strict=True)])


def main(argv: Sequence[str] | None = None) -> dict[str, float]:
    """Makes problems, trains both rewards, and prints how well they do on kinds of problems that they never saw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/process"))
    parser.add_argument("--problems", type=int, default=10_000)
    parser.add_argument("--test-problems", type=int, default=400)
    parser.add_argument("--backbone", help="what to start from, such as minilm; a small decoder is made if not given")
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="2e-4 suits a model that exists already")
    options = parser.parse_args(argv)
    learnt = rows_of(SEEN, options.problems, 3, seed=0)
    config = guerdon.TrainConfig(
        backbone=options.backbone or small_decoder(options.out / "decoder"),
        epochs=1,
        batch_size=32,
        learning_rate=options.learning_rate,
        validation=0.01,
        tokens_per_batch=4096,
    )
    trained: dict[str, Any] = {}
    for name, rows in {"process": learnt, "outcome": as_pairs(learnt)}.items():
        trained[name] = guerdon.train_reward_model(
            rows, options.out / name, config, resume=(options.out / name).exists()
        )
    found: dict[str, float] = {}
    for name, kinds_asked in {"seen kinds": SEEN, "unseen kinds": UNSEEN}.items():
        test = rows_of(kinds_asked, options.test_problems, 1, seed=1)
        (section,) = guerdon.evaluate_reward({"process": trained["process"]}, test, baselines={}).sections
        metrics = section.overall.system("process").metrics
        found |= {f"{name}: {one}": metrics[one].point for one in ("step_auc", "step_f1", "first_error", "no_error")}
        choices = eight_each(kinds_asked, options.test_problems, seed=2)
        for how in ("min", "product", "mean", "last", "geometric-mean", "max", "mean-of-logits", "mean-of-odds"):
            process = guerdon.load_scorer(options.out / "process", output=how)
            found[f"{name}: best of 8 by {how}"] = float(picks(process, choices).mean())
        found[f"{name}: best of 8 by the outcome reward"] = float(picks(trained["outcome"], choices).mean())
    for name, value in found.items():
        print(f"{name:<50}{value:.3f}")
    return found


if __name__ == "__main__":
    main()
