"""Process rewards: a score behind every step in one pass, learnt, saved, and read alike however it is asked."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError, ModelError
from guerdon.metrics import roc_auc
from guerdon.rewards.load import load_scorer
from guerdon.rewards.steps import AGGREGATIONS
from guerdon.train.judgements import judge_rows
from guerdon.train.train_config import TrainConfig
from guerdon.train.train_run import train_reward_model
from guerdon.types import Comparison, Steps, step_prefixes


import os
EP=int(os.environ.get("EP","6")); N=int(os.environ.get("NR","120"))


def solutions(toy: Any, count: int, *, seed: int = 0) -> list[Steps]:
    """Two to five steps; a wrong one has a rude word in it, and what comes behind it is not judged."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        size = rng.randint(2, 5)
        error = rng.randrange(size) if rng.random() < 0.6 else size
        steps = tuple(toy.response(0 if at == error else 3) for at in range(size))
        labels = tuple(None if at > error else float(at != error) for at in range(size))
        rows.append(Steps(prompt=toy.prompt(), steps=steps, labels=labels))
    return rows


def step_auc(scorer: Any, rows: list[Steps]) -> float:
    found = scorer.step_scores([row.prompt for row in rows], [step_prefixes(row)[-1] for row in rows])
    judged = [
        (score, label)
        for row, own in zip(rows, found, strict=True)
        for score, label in zip(own, row.labels, strict=False)
        if label is not None
    ]
    return float(roc_auc(*zip(*judged, strict=True)))


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_roberta", "tiny_llama", "tiny_qwen"])
def test_it_learns_which_step_is_wrong(name: str, request: Any, toy: Any, quick: Any, tmp_path: Path) -> None:
    scorer: Any = train_reward_model(solutions(toy, N), tmp_path, quick(request.getfixturevalue(name), epochs=EP))
    fresh = solutions(toy, 40, seed=1)
    assert step_auc(scorer, fresh) > 0.9


def test_tmp(tiny_bert, tiny_llama, toy, quick):
    from guerdon.data.write import write_rows
    import shutil
    shutil.rmtree('/tmp/p21/tb', ignore_errors=True); shutil.rmtree('/tmp/p21/tl', ignore_errors=True)
    train_reward_model(solutions(toy, 120), '/tmp/p21/tb', quick(tiny_bert, epochs=3))
    train_reward_model(solutions(toy, 120), '/tmp/p21/tl', quick(tiny_llama, epochs=3, lora_r=4))
    write_rows(solutions(toy, 40, seed=1), '/tmp/p21/tiny-steps.jsonl')
