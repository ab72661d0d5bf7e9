"""Scorers inside other trainers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.errors import ConfigError, ModelError
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


CALL = {"id": "1", "type": "function", "function": {"name": "add", "arguments": {"a": 2}}}
CALL_TEXT = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
TOOL = {"role": "tool", "content": "the result is 4", "tool_call_id": "1"}
THINKING = {"role": "assistant", "content": "Two.", "reasoning_content": "2"}


@pytest.mark.parametrize(
    ("completion", "response"),
    [
        ([{"role": "assistant", "content": None, "tool_calls": [CALL]}], CALL_TEXT),
        ([{"role": "assistant", "tool_calls": [CALL]}], CALL_TEXT),
        ([{"role": "assistant", "content": "I add.", "tool_calls": [CALL]}], f"I add.\n{CALL_TEXT}"),
        ([{"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "a\nb"),
        ([THINKING], "<think>\n2\n</think>\n\nTwo."),
        ([{"role": "assistant", "content": ""}], ""),
    ],
)
def test_messages_are_read_as_those_of_data_sets(completion: list[Any], response: str) -> None:
    scorer = Watched()
    trl_reward(scorer)(["p"], [completion])
    assert scorer.asked == [(["p"], [response], None)]


def test_turns_before_the_last_belong_to_the_prompt() -> None:
    scorer = Watched()
    turns = [{"role": "assistant", "content": None, "tool_calls": [CALL]}, TOOL, {"role": "assistant", "content": "4"}]
    assert trl_reward(scorer)(["2 + 2?"], [turns]) == [1.0]
    ((prompts, responses, _),) = scorer.asked
    assert responses == ["4"]
    assert [turn.role for turn in prompts[0]] == ["user", "assistant", "tool"]
    assert prompts[0][2] == Message("tool", "the result is 4", tool_call_id="1")


@pytest.mark.parametrize(
    ("completion", "reason"),
    [
        ([], "the completion is empty"),
        ([{"role": "assistant", "content": None, "tool_calls": [CALL]}, TOOL], "ends with the turn of 'tool'"),
        ([{"role": "assistant", "content": None}], "neither content nor tool calls"),
        ([{"role": "assistant"}], "neither content nor tool calls"),
        ([{"role": "assistant", "content": [{"type": "image_url", "image_url": {}}]}], "not text"),
        ([{"content": "hello"}], "has the role None"),
    ],
)
def test_what_has_no_text_has_no_reward_and_a_reason(
    completion: list[Any], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = Watched()
    assert trl_reward(scorer)(["p", "p"], [completion, "four"]) == [None, 4.0]
    assert scorer.asked == [(["p"], ["four"], None)], "the others of the batch are scored"
    assert reason in caplog.text
    assert "1 of 2 responses have no reward" in caplog.text


def test_verl_calls() -> None:
    scorer = Watched()
    compute = verl_compute_score(scorer)
    assert compute("gsm8k", "four", 4, {"prompt": [{"role": "user", "content": "2 + 2?"}]}) == 4.0
    assert compute("gsm8k", "four", None, {"question": "2 + 2?"}, reward_router_address="http://rm") == 4.0
    assert scorer.asked == [
        ([(Message("user", "2 + 2?"),)], ["four"], ["4"]),
        (["2 + 2?"], ["four"], None),
    ]
    with pytest.raises(ModelError, match=r"no reward for '' \(gsm8k\): the scorer gave nan\. .*missing=\.\.\."):
        compute("gsm8k", "", "4", {"prompt": "2 + 2?"})
    assert verl_compute_score(scorer, missing=-1.0)("gsm8k", "", "4", {"prompt": "2 + 2?"}) == -1.0


@pytest.mark.parametrize("extra", [None, {}, {"index": 3}, {"prompt": None}])
def test_verl_without_a_prompt_is_told_where_it_is(extra: Any) -> None:
    with pytest.raises(ConfigError, match=r"data\.prompt_key .*extra_info\[\"prompt\"\]"):
        verl_compute_score(Watched())("gsm8k", "four", "4", extra)


def test_openrlhf_calls() -> None:
    scorer = Watched()
    reward = openrlhf_reward(scorer, special=["<|im_end|>"], prompt_of=lambda text: text.removeprefix("<|user|>"))
    found = reward(["<|user|>2 + 2?four<|im_end|>", "<|user|>b"], ["<|user|>2 + 2?", "<|user|>b"], ["4", None])
    assert scorer.asked == [(["2 + 2?", "b"], ["four", ""], ["4", None])]
    assert found["rewards"][0] == 4
    assert math.isnan(found["rewards"][1])
    assert found["extra_logs"]["missing"].tolist() == [0, 1]
