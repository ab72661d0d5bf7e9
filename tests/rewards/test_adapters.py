"""Scorers inside other trainers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ModelError
from guerdon.rewards.adapters import openrlhf_reward, trl_reward, verl_compute_score
from guerdon.types import Message


class Watched:
    """Counts letters; says what it was asked; an empty response has no reward."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, Any]] = []

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        self.asked.append((list(prompts), list(responses), references))
        return np.array([len(text) or math.nan for text in responses], dtype=np.float32)


def test_trl_calls() -> None:
    scorer = Watched()
    reward = trl_reward(scorer, reference="answer", name="length")
    assert reward.__name__ == "length"
    assert reward(["a", "b"], ["xy", ""], answer=["1", "2"], completion_ids=[[1], []]) == [2.0, None]
    talk = [{"role": "user", "content": "a"}]
    assert reward([talk], [[{"role": "assistant", "content": "xyz"}]]) == [3.0]
    assert scorer.asked == [(["a", "b"], ["xy", ""], ["1", "2"]), ([(Message("user", "a"),)], ["xyz"], None)]


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_step_of_trl(tiny_llama: str, tmp_path: Path) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    scorer = Watched()
    trainer = GRPOTrainer(
        model=tiny_llama,
        reward_funcs=[trl_reward(scorer)],
        args=GRPOConfig(
            str(tmp_path), per_device_train_batch_size=4, num_generations=4, max_completion_length=6, max_steps=1,
            report_to="none", save_strategy="no", use_cpu=True, bf16=False, logging_steps=1,
        ),
        train_dataset=Dataset.from_list([{"prompt": "boil an egg", "reference": "water"}] * 4),
    )  # fmt: skip
    before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
    trainer.train()
    ((prompts, responses, references),) = scorer.asked
    assert (prompts, references, len(responses)) == (["boil an egg"] * 4, ["water"] * 4, 4)
    logged = next(line for line in trainer.state.log_history if "reward" in line)
    known = [len(text) for text in responses if text]
    assert logged["rewards/guerdon/mean"] == pytest.approx(np.mean(known))
    moved = [not (old == new).all() for old, new in zip(before, trainer.model.parameters(), strict=True)]
    assert any(moved) == (len(set(known)) > 1)


def test_verl_calls() -> None:
    scorer = Watched()
    compute = verl_compute_score(scorer)
    assert compute("gsm8k", "four", 4, {"prompt": [{"role": "user", "content": "2 + 2?"}]}) == 4.0
    assert compute("gsm8k", "four", None) == 4.0
    assert scorer.asked[0] == ([(Message("user", "2 + 2?"),)], ["four"], ["4"])
    assert scorer.asked[1] == ([""], ["four"], [None])
    with pytest.raises(ModelError, match="no reward for ''"):
        compute("gsm8k", "", "4")
    assert verl_compute_score(scorer, missing=-1.0)("gsm8k", "", "4") == -1.0


def test_openrlhf_calls() -> None:
    scorer = Watched()
    reward = openrlhf_reward(scorer, special=["<|im_end|>"], prompt_of=lambda text: text.removeprefix("<|user|>"))
    found = reward(["<|user|>2 + 2?four<|im_end|>", "<|user|>b"], ["<|user|>2 + 2?", "<|user|>b"], ["4", None])
    assert scorer.asked == [(["2 + 2?", "b"], ["four", ""], ["4", None])]
    assert found["rewards"][0] == 4
    assert math.isnan(found["rewards"][1])
    assert found["extra_logs"]["missing"].tolist() == [0, 1]
