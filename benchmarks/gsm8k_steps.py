"""Steps of GSM8K solutions, labelled by agreement with right solutions, and what a process reward makes of them.

A step of a wrong solution counts as right while the number that it ends with, its result, is found in a right solution
to the same problem; the first that is not is the first wrong one, and what follows is not judged. Steps of right
solutions are right. Problems are dealt into training and test. Beside the process reward: which step it is, and a
logistic regression on plain measures of step and prompt.

    python benchmarks/gsm8k_steps.py --data PAIRS.jsonl.gz --out FOLDER
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.data.read import load_rows
from guerdon.data.split import split_rows
from guerdon.data.write import write_rows
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.metrics import format_interval
from guerdon.rewards.surface import SurfaceFeatures
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import STEP_BREAK, Comparison, Prompts, References, Responses, Steps, step_prefixes

_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def numbers(text: str) -> list[float]:
    """The numbers of a text."""
    return [float(found.replace(",", "")) for found in _NUMBER.findall(text)]


def labelled(right: dict[str, set[str]], wrong: dict[str, set[str]]) -> list[Steps]:
    """A row for each distinct solution."""
    rows = []
    for prompt, texts in right.items():
        known = {number for text in texts for number in numbers(text)} | set(numbers(prompt))
        rows += [steps_of(prompt, text, None) for text in sorted(texts)]
        rows += [steps_of(prompt, text, known) for text in sorted(wrong[prompt])]
    return [row for row in rows if row is not None]


def steps_of(prompt: str, text: str, known: set[float] | None) -> Steps | None:
    """The labelled steps of a solution; `known` are the numbers of right ones, None for a right one itself."""
    steps = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = len(steps)
    if known is not None:
        results = [numbers(step)[-1:] for step in steps]
        found = [at for at, result in enumerate(results) if result and result[0] not in known]
        if not found:  # right numbers in a wrong order: nobody can say where it went wrong
            return None
        wrong = found[0]
    labels = tuple(1.0 if at < wrong else 0.0 if at == wrong else None for at in range(len(steps)))
    return Steps(prompt=prompt, steps=tuple(steps), labels=labels)


class StepIndex:
    """The later a step, the lower its reward."""

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        """Minus the number of steps so far."""
        return -np.array([text.count(STEP_BREAK) for text in responses], dtype=np.float32)


class Surface:
    """P(right) by a logistic regression on which step it is, and plain measures of it."""

    def __init__(self, rows: Sequence[Steps]) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        texts = [(row.prompt, text) for row in rows for text in step_prefixes(row)]
        labels = np.array([np.nan if label is None else label for row in rows for label in row.labels])
        features = self._features(*zip(*texts, strict=True))
        self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        self.model.fit(features[~np.isnan(labels)], labels[~np.isnan(labels)])

    def _features(self, prompts: Prompts, responses: Responses) -> np.ndarray:
        last = [text.rpartition(STEP_BREAK)[2] for text in responses]
        own = SurfaceFeatures().compute(prompts, last).values
        counts = [
            [text.count(STEP_BREAK), len(numbers(step)), len(text)] for text, step in zip(responses, last, strict=True)
        ]
        return np.concatenate([own, np.array(counts, dtype=float)], axis=1)

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        """The log odds."""
        return np.asarray(self.model.decision_function(self._features(prompts, responses)), dtype=np.float32)


def main() -> None:
    """Labels, trains and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", default="minilm")
    parser.add_argument("--epochs", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    right, wrong = defaultdict(set), defaultdict(set)
    for row in load_rows(options.data):
        assert isinstance(row, Comparison)
        right[str(row.prompt)].add(row.chosen)
        wrong[str(row.prompt)].add(row.rejected)
    rows = labelled(right, wrong)
    split = split_rows(rows, test=0.3, seed=options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, part in {"train": split.train, "test": split.test}.items():
        write_rows(part, options.out / f"{name}.jsonl")
        judged = [label for row in part for label in row.labels if label is not None]
        print(f"{name}: {len(part)} solutions, {len(judged)} judged steps, {1 - np.mean(judged):.3f} of them wrong")
    config = TrainConfig(
        backbone=options.backbone,
        epochs=options.epochs,
        batch_size=16,
        learning_rate=1e-4,
        validation=0,
        seed=options.seed,
    )
    model = options.out / "model"
    trained = train_reward_model(split.train, model, config, resume=model.exists())
    beside = {"step index": StepIndex(), "surface": Surface(split.train)}
    (section,) = evaluate_reward({"process": trained}, split.test, baselines=beside).sections
    for system in section.overall.systems:
        print(system.name, {name: format_interval(value) for name, value in system.metrics.items()})
    print(section.sentence("process"))


if __name__ == "__main__":
    main()
