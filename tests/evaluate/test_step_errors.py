"""Solutions with judged steps: metrics beside plain recomputation, and what cannot be measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.results import Evaluation
from guerdon.types import Comparison, References, Steps, step_prefixes


class OfLastStep:
    """A process reward: what the last step of a prefix says of itself."""

    def __init__(self, reward: Callable[[str], float]) -> None:
        self.reward = reward

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: References = None) -> np.ndarray:
        return np.array([self.reward(text.split("\n\n")[-1]) for text in responses], dtype=np.float32)


class Comparing:
    def compare(
        self, prompts: Sequence[Any], a: Sequence[str], b: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        return np.full(len(a), 0.5)


def solutions(count: int = 40, subsets: Sequence[str] = ("",), noise: float = 0.0) -> list[Steps]:
    """Four steps each; every other solution has an error, and each step says how right it is, with noise."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        error = rng.integers(0, 4) if i % 2 else -1
        labels = [None if 0 <= error < at else float(at != error) for at in range(4)]
        stated = [(1.0 if label is None else label) + noise * rng.normal() for label in labels]
        rows.append(
            Steps(
                prompt=f"p{i}", steps=tuple(f"step {at} of {i} {value:.4f}" for at, value in enumerate(stated)),
                labels=tuple(labels), subset=subsets[i // 2 % len(subsets)],
            )
        )  # fmt: skip
    return rows


def stated(text: str) -> float:
    return float(text.split()[-1])


def evaluated(system: Any, rows: Sequence[Any], **options: Any) -> Evaluation:
    return evaluate_reward({"m": system}, rows, **{"baselines": {}, "resamples": 50} | options)


def test_a_perfect_reward_and_one_that_says_nothing():
    (section,) = evaluated(OfLastStep(stated), solutions()).sections
    assert (section.kind, section.primary, section.overall.rows) == ("steps", "step_f1", 40)
    assert {name: value.point for name, value in section.overall.models[0].metrics.items()} == {
        "step_f1": 1, "first_error": 1, "no_error": 1, "step_auc": 1,
    }  # fmt: skip
    (section,) = evaluated(OfLastStep(lambda text: 1.0), solutions()).sections
    values = {name: value.point for name, value in section.overall.models[0].metrics.items()}
    assert values["step_auc"] == 0.5
    assert values["step_f1"] < 0.5


def test_the_auc_is_over_all_judged_steps_of_all_solutions():
    rows = solutions(60, noise=0.7)
    (section,) = evaluated(OfLastStep(stated), rows).sections
    judged = [
        (label, stated(step))
        for row in rows
        for step, label in zip(row.steps, row.labels, strict=True)
        if label is not None
    ]
    metrics = section.overall.models[0].metrics
    assert metrics["step_auc"].point == pytest.approx(roc_auc_score(*zip(*judged, strict=True)))
    assert metrics["step_auc"].low < metrics["step_auc"].point < metrics["step_auc"].high
    assert 0.3 < metrics["step_f1"].point < 1


def test_prefixes_are_what_is_scored_beside_length_baselines_and_per_subset():
    asked: list[str] = []

    class Remembers(OfLastStep):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            asked.extend(responses)
            return super().score(prompts, responses)

    rows = solutions(40, ("gsm8k", "math"))
    (section,) = evaluated(Remembers(stated), rows, baselines=None).sections
    assert set(asked) == {prefix for row in rows for prefix in step_prefixes(row)}
    assert [system.name for system in section.overall.baselines] == ["longest wins", "shortest wins"]
    assert [part.subset for part in section.subsets] == ["gsm8k", "math"]
    assert any(
        note.startswith("m: the mean F1 of the subsets, as ProcessBench reports it, is 1.000") for note in section.notes
    )
    assert section.sentence("m").startswith("m beats the best baseline")


def test_missing_rewards_and_unknown_errors_are_counted_out():
    rows = [*solutions(20), Steps(prompt="q", steps=("step 0.5", "step 0.7"), labels=(None, 1.0))]
    (section,) = evaluated(OfLastStep(lambda text: np.nan if text == rows[3].steps[0] else stated(text)), rows).sections
    assert section.overall.rows == 20
    assert section.overall.models[0].unscored == 1
    assert "1 solutions are left out, because a step has no reward from some scorer." in section.notes
    assert "Of 1 solutions the first wrong step is not known; they count for the AUC alone." in section.notes


def test_what_only_compares_is_named_and_other_rows_stand_beside():
    rows = [*solutions(10), *(Comparison(prompt=f"c{i}", chosen="good 1", rejected="bad 0") for i in range(4))]
    evaluation = evaluate_reward({"c": Comparing(), "m": OfLastStep(stated)}, rows, baselines={}, resamples=5)
    comparisons, steps = evaluation.sections
    assert comparisons.overall.system("m").metrics["accuracy"].point == 1
    assert [system.name for system in steps.overall.systems] == ["m"]
    assert "c cannot be measured here: a step needs a reward of its own." in steps.notes
    assert evaluation.to_dict()["sections"][1]["overall"]["systems"]["m"]["metrics"]["step_f1"]["point"] == 1
