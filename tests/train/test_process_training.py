"""Process rewards really learn which step is wrong, and go where any reward goes."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.audit.audit_config import AuditConfig
from guerdon.evaluate.audit.audit_run import audit_system
from guerdon.evaluate.doctor import check_reward_model
from guerdon.explain.explain_run import explain_reward
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.rewards.load import load_scorer
from guerdon.train.batches import step_loss, targets_of
from guerdon.train.judgements import Stepped, judge_rows
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import Comparison, Steps, step_prefixes
from json_lines import write_lines


def solutions(toy: Any, count: int, *, seed: int = 0) -> list[Steps]:
    """Two or three steps; a wrong one has a rude word in it, and what comes behind it is not judged."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        size = rng.randint(2, 3)
        error = rng.randrange(size) if rng.random() < 0.6 else size
        steps = tuple(toy.response(0 if at == error else 3) for at in range(size))
        labels = tuple(None if at > error else float(at != error) for at in range(size))
        rows.append(Steps(prompt=toy.prompt(), steps=steps, labels=labels))
    return rows


def pairs(rows: list[Steps]) -> list[Comparison]:
    """Right and wrong solutions, put under one prompt."""
    texts: dict[bool, list[str]] = {True: [], False: []}
    for row in rows:
        texts[0.0 not in row.labels].append(step_prefixes(row)[-1])
    couples = zip(texts[True], texts[False], strict=False)
    return [Comparison(prompt=f"egg {i}", chosen=good, rejected=bad) for i, (good, bad) in enumerate(couples)]


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", pytest.param("tiny_roberta", marks=pytest.mark.slow)])
def test_it_learns_which_step_is_wrong(name: str, request: Any, toy: Any, quick: Any, tmp_path: Path) -> None:
    config = quick(request.getfixturevalue(name), epochs=10, objective="process")
    trained: Any = train_reward_model(solutions(toy, 120), tmp_path, config)
    assert (trained.contract.pooling, trained.contract.step_unit, trained.contract.aggregation) == (
        "steps",
        "line",
        "min",
    )
    assert not (tmp_path / "baseline").exists()
    fresh = solutions(toy, 60, seed=1)
    found = evaluate_reward({"m": trained}, fresh, resamples=20).sections[0].overall.system("m").metrics
    assert found["step_auc"].point > 0.75
    assert found["step_f1"].point > 0.45
    right = [trained.score([one.prompt] * 2, [one.chosen, one.rejected]) for one in pairs(fresh)]
    assert np.mean([good > bad for good, bad in right]) > 0.75
    again = load_scorer(tmp_path)
    assert np.array_equal(again.score(["egg"], ["good one"]), trained.score(["egg"], ["good one"]))


def test_it_is_explained_audited_and_checked(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    pytest.importorskip("captum")
    scorer: Any = train_reward_model(solutions(toy, 30), tmp_path / "model", quick(tiny_bert, epochs=1))
    rows = pairs(solutions(toy, 60, seed=1))
    (case,) = explain_reward(scorer, prompt=rows[0].prompt, response=rows[0].chosen).cases
    assert case.score == pytest.approx(float(scorer.score([rows[0].prompt], [rows[0].chosen])[0]), abs=1e-5)
    assert case.attribution.method == "integrated-gradients"
    assert case.attribution.error < 0.01
    assert np.isfinite(case.attention["response"].rollout).all()
    some = [PERTURBATIONS[name] for name in ("padding", "typos")]
    found = audit_system(scorer, rows, AuditConfig(time=0.1, rows=10), perturbations=some)
    assert found.of("padding").test is not None
    lines = [{"prompt": "egg", "chosen": one.chosen, "rejected": one.rejected} for one in rows]
    data = write_lines(tmp_path / "data.jsonl", *lines)
    faults = check_reward_model(str(tmp_path / "model"), data=data).faults
    assert not faults, faults


def test_a_step_that_nobody_judged_teaches_nothing() -> None:
    logits = torch.tensor([[0.3, -2.0, 5.0], [1.0, 0.5, torch.nan]], requires_grad=True)
    labels = torch.tensor([[1.0, 0.0, torch.nan, 1.0], [torch.nan, 0.25, torch.nan, torch.nan]])
    loss, order = step_loss(logits, labels)
    p = 1 / (1 + np.exp(-np.array([0.3, -2.0, 0.5])))
    expected = -(np.log(p[0]) + np.log(1 - p[1])) / 2 - (0.25 * np.log(p[2]) + 0.75 * np.log(1 - p[2]))
    assert loss.item() == pytest.approx(expected)
    assert order.tolist() == [3, 2]
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad != 0).tolist() == [[True, True, False], [False, True, False]]


def test_rows_become_labels_of_steps(toy: Any) -> None:
    rows = [
        Steps(prompt="egg", steps=("good", " ", "two\nlines\n\nof it"), labels=(1, 1, 0.25)),
        Steps(prompt="egg", steps=("water",), labels=(None,)),
    ]
    judged = judge_rows(rows, [], TrainConfig())
    assert judged.training == [Stepped(0, (1.0, 0.25))]
    assert (judged.table.responses, judged.step_unit) == (["good\n\n\n\ntwo\nlines\nof it"], "paragraph")
    hard = judge_rows(rows[:1], [], TrainConfig(soft_labels=False))
    assert hard.training == [Stepped(0, (1.0, 0.0))]
    assert judge_rows(solutions(toy, 3), [], TrainConfig()).step_unit == "line"
    targets = targets_of([Stepped(5, (1.0,)), Stepped(3, (0.0, 1.0))], [3, 5])
    assert targets["stepped"].tolist() == [1, 0]
    with pytest.raises(DataError, match="no step is judged"):
        judge_rows(rows[1:], [], TrainConfig())


def test_other_rows_and_other_objectives_are_refused(toy: Any) -> None:
    rows = solutions(toy, 2)
    with pytest.raises(ConfigError, match="learnt by themselves"):
        judge_rows([*rows, Comparison(prompt="p", chosen="a", rejected="b")], [], TrainConfig())
    with pytest.raises(ConfigError, match="bradley-terry cannot be fitted to stepss?; this data allows: auto, process"):
        judge_rows(rows, [], TrainConfig(objective="bradley-terry"))
    with pytest.raises(ConfigError, match="process cannot be fitted to comparisons"):
        judge_rows([Comparison(prompt="p", chosen="a", rejected="b")], [], TrainConfig(objective="process"))
    assert judge_rows([replace(rows[0], labels=(1.0,) * len(rows[0].steps))], [], TrainConfig()).validation == []
