"""A process reward on made word problems: which step is wrong, on kinds of problems that training never saw.

Every problem has a program that solves it step by step. A wrong solution has one operand or operator of one step
exchanged, and goes on with what that gives; the program says which steps are right. What comes behind the first wrong
step is not judged, as in PRM800K and ProcessBench. Beside it an outcome reward is trained on the same solutions, of
which it is told only whether the whole is right.

    python examples/process_reward.py --out runs/process
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

import guerdon
from guerdon import Comparison, Steps

NAMES = ("Anna", "Ben", "Clara", "David", "Emma", "Felix", "Grace", "Henry")
OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}
MOST = 99
"""The largest number of a problem."""

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

Step = tuple[str, ...]
"""What is worked out, and from what: `a` is a number of the problem, `#1` the result of the first step."""


@dataclass(frozen=True)
class Kind:
    """A kind of problem."""

    question: str
    program: tuple[Step, ...]

    @property
    def names(self) -> list[str]:
        """What its steps work out."""
        return [step[0] for step in self.program]


def kinds(text: str) -> tuple[Kind, ...]:
    """Reads two lines a kind: its question, and the steps of its program."""
    lines = [line.strip() for line in text.strip().splitlines()]
    programs = [[step.partition(": ") for step in line.split(" | ")] for line in lines[1::2]]
    steps = [tuple((what, *expression.split()) for what, _, expression in program) for program in programs]
    return tuple(Kind(question, program) for question, program in zip(lines[::2], steps, strict=True))


SEEN = kinds(
    """
    {name} has {a} boxes of {b} pens, gives {c} pens away and puts the rest into {d} bags. How many pens in each bag?
        pens in all boxes: a * b | pens left: #1 - c | pens in each bag: #2 / d
    {name} has {a} red and {b} blue marbles, gets {c} more and loses {d}. How many marbles are left?
        red and blue marbles: a + b | marbles with the gift: #1 + c | marbles left: #2 - d
    A farm has {a} rows of {b} trees. {c} trees fall, and each tree left gives {d} apples. How many apples?
        trees in all rows: a * b | trees left: #1 - c | apples of all trees: #2 * d
    A ticket costs {a} and a drink {b}. {name} buys both for {c} people and has {d} left. How much before?
        cost for each person: a + b | cost for all people: #1 * c | money before: #2 + d
    {name} reads {a} pages on each of {b} days, then {c} more. A chapter has {d} pages. How many chapters?
        pages on all days: a * b | pages with the last ones: #1 + c | chapters: #2 / d
    A baker makes {a} loaves, then {b} more, sells {c} and puts the rest on {d} shelves. How many on each shelf?
        loaves made: a + b | loaves left: #1 - c | loaves on each shelf: #2 / d
    A bus has {a} rows of {b} seats. {c} seats are broken and {d} are taken. How many seats are free?
        seats in all rows: a * b | seats that work: #1 - c | free seats: #2 - d
    {name} works {a} hours for {b} coins each, then spends {c} on food and gets {d} as a gift. How many coins?
        coins earned: a * b | coins left: #1 - c | coins with the gift: #2 + d
    A home has {a} cats and {b} dogs. Each pet eats {c} cans, and {d} cans are left. How many cans before?
        pets: a + b | cans for all pets: #1 * c | cans before: #2 + d
    {name} puts {a} roses into {b} vases, adds {c} to each vase and sells {d} vases. How many roses are sold?
        roses in each vase: a / b | roses with the new ones: #1 + c | roses sold: #2 * d
    A truck has {a} sacks, loses {b} and shares the rest among {c} shops that have {d} each. How many in each shop?
        sacks left: a - b | sacks for each shop: #1 / c | sacks in each shop: #2 + d
    {name} has {a} stamps, gives {b} away and buys {c} books of {d} stamps. How many stamps?
        stamps left: a - b | stamps in all books: c * d | stamps with the books: #1 + #2
    Two shelves have {a} and {b} cups. {name} breaks {c} and buys {d}. How many cups?
        cups on both shelves: a + b | cups left: #1 - c | cups with the new ones: #2 + d
    {a} sweets are shared among {b} children. Each child eats {c} and gets {d} from home. How many has each child?
        sweets for each child: a / b | sweets left: #1 - c | sweets with the new ones: #2 + d
    """
)
UNSEEN = kinds(
    """
    A school has {a} classes of {b} children. {c} are ill, and the rest make {d} groups. How many in each group?
        children in all classes: a * b | children left: #1 - c | children in each group: #2 / d
    {name} catches {a} fish, then {b} more, sells each for {c} coins and pays {d} for the boat. How many coins?
        fish caught: a + b | coins for all fish: #1 * c | coins left: #2 - d
    A tank has {a} buckets, loses {b} and waters {c} beds that had {d} each. How many buckets for each bed?
        buckets left: a - b | buckets for each bed: #1 / c | buckets with the old ones: #2 + d
    {name} packs {a} bags of {b} shirts, adds {c} and takes {d} out. How many shirts?
        shirts in all bags: a * b | shirts with the new ones: #1 + c | shirts left: #2 - d
    """
)


@dataclass(frozen=True)
class Problem:
    """A problem with its numbers."""

    kind: Kind
    question: str
    numbers: dict[str, int]

    def solve(self, rng: random.Random | None = None, wrong: int | None = None) -> tuple[str, ...] | None:
        """The steps of a solution, one operand or operator of step `wrong` exchanged; None where that is no number.

        Random numbers put the two sides of a sum or product in either order.
        """
        results: list[int] = []
        steps = []
        for at, (what, *_) in enumerate(self.kind.program):
            left, sign, right = self._expression(at, results)
            if at == wrong and rng is not None:
                left, sign, right = self._exchanged(left, sign, right, results, rng)
            result = evaluated(left, sign, right)
            if result is None:
                return None
            if rng is not None and sign in "+*" and rng.random() < 0.5:
                left, right = right, left
            steps.append(f"{what}: {left} {sign} {right} = {result}")
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
        _, left, sign, right = self.kind.program[at]
        values = [results[int(one[1:]) - 1] if one[0] == "#" else self.numbers[one] for one in (left, right)]
        return values[0], sign, values[1]

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
    """Draws numbers until the problem can be solved."""
    while True:
        large = kind.program[0][2] != "*"
        numbers = {letter: rng.randint(2, 12) for letter in "abcd"}
        if large:  # what is subtracted from or shared out should be large enough for it
            numbers |= {letter: rng.randint(2, 60) for letter in "ab" if rng.random() < 0.6}
        problem = Problem(kind, kind.question.format(name=rng.choice(NAMES), **numbers), numbers)
        if len(set(numbers.values())) == 4 and problem.solve() is not None:
            return problem


def solutions(problem: Problem, right: int, wrong: int, rng: random.Random) -> list[Steps]:
    """So many right and wrong solutions, no two alike."""
    found: dict[tuple[str, ...], Steps] = {}
    for is_right, count in ((True, right), (False, wrong)):
        for _ in range(200):
            mine = [one for one in found.values() if (0.0 not in one.labels) == is_right]
            if len(mine) == count:
                break
            steps = problem.solve(rng, None if is_right else rng.randrange(len(problem.kind.program)))
            if steps is None or (0.0 not in problem.labels(steps)) != is_right:
                continue
            found[steps] = Steps(prompt=problem.question, steps=steps, labels=problem.labels(steps))
    return list(found.values())


def small_encoder(folder: Path) -> str:
    """An encoder of three layers that knows nothing but the words and numbers of these problems."""
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    texts = [*NAMES, "+ - * / = : , . ?", *(text for kind in (*SEEN, *UNSEEN) for text in (kind.question, *kind.names))]
    words = {word for text in texts for word, _ in pre_tokenizer.pre_tokenize_str(text.lower())}
    every = [*SPECIAL, *sorted(words | {str(number) for number in range(MOST + 1)})]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(every)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizer
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), SPECIAL, strict=True))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **names).save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = BertConfig(vocab_size=len(every), max_position_embeddings=128, num_labels=1, **sizes)
    BertForSequenceClassification(config).save_pretrained(folder)
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
    parser.add_argument("--backbone", help="what to start from, such as minilm; a small encoder is made if not given")
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="2e-4 suits a model that exists already")
    options = parser.parse_args(argv)
    learnt = rows_of(SEEN, options.problems, 3, seed=0)
    config = guerdon.TrainConfig(
        backbone=options.backbone or small_encoder(options.out / "encoder"),
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
