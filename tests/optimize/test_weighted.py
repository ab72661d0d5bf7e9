"""Reward-weighted training: its weights by hand, and that it learns."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from guerdon import losses
from guerdon.errors import ConfigError, DataError, OutputError
from guerdon.optimize.optimize_config import WeightedConfig
from guerdon.optimize.weighted import train_weighted_policy
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.types import Candidates, Origin, Prompt

PROMPTS: list[Prompt] = ["How do I boil an egg?", "planet?", "add two numbers", "最大的行星"]


class Share:
    """The share of the letter e in a response: 1 at best."""

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        return np.array([text.count("e") / len(text) if text else math.nan for text in responses], dtype=np.float32)


def requests(answer: str | None = None) -> list[Candidates]:
    return [
        Candidates(prompt=prompt, origin=Origin("x.jsonl", line), demonstration=answer)
        for line, prompt in enumerate(PROMPTS, start=1)
    ]


def config(policy: str, **options: Any) -> WeightedConfig:
    usual: dict[str, Any] = {
        "num_generations": 8, "prompts_per_step": 4, "epochs": 60, "learning_rate": 1e-2, "lora_r": 0,
        "max_new_tokens": 5,
    }  # fmt: skip
    return WeightedConfig(policy=policy, **(usual | options))


def mean_reward(policy: Policy) -> float:
    sampled = policy.sample_texts(PROMPTS, num_generations=16, sampling=Sampling(max_new_tokens=5), seed=9)
    return float(np.nanmean(Share().score(None, [text for _, own in sampled for text in own])))


# --- weights


def test_the_score_function_is_the_gradient_of_the_mean_reward() -> None:
    """On a policy over three texts, the weighted likelihood's gradient is on average that of -lam E[R]."""
    torch.manual_seed(0)
    logits = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64, requires_grad=True)
    rewards = torch.tensor([1.0, 5.0, -2.0], dtype=torch.float64)
    (exact,) = torch.autograd.grad(-2.0 * (torch.softmax(logits, 0) * rewards).sum(), logits)
    drawn = torch.multinomial(torch.softmax(logits, 0), 400_000, replacement=True).view(-1, 4)
    weights = losses.score_function_weights(rewards[drawn], lam=2.0)
    logps = torch.log_softmax(logits, 0)[drawn]
    (found,) = torch.autograd.grad(-(weights * logps).sum(), logits)
    torch.testing.assert_close(found, exact, atol=0.03, rtol=0)


def test_weights_by_hand() -> None:
    rewards = torch.tensor([[1.0, 3.0, math.nan], [2.0, 2.0, 2.0]])
    torch.testing.assert_close(
        losses.score_function_weights(rewards, 0.5), torch.tensor([[-0.2, 0.2, 0.0], [0.0, 0.0, 0.0]])
    )
    exponential = losses.exponential_weights(rewards, beta=2.0)
    expected = torch.tensor([[math.exp(0.5), math.exp(1.5), 0.0], [math.e, math.e, math.e]])
    torch.testing.assert_close(exponential, expected / expected.sum())
    torch.testing.assert_close(losses.best_weights(rewards), torch.tensor([[0.0, 0.5, 0.0], [0.5, 0.0, 0.0]]))
    nothing = torch.full((2, 2), math.nan)
    for weights in (losses.score_function_weights, losses.exponential_weights, losses.best_weights):
        assert not weights(nothing).any()


# --- training


@pytest.mark.parametrize(
    "options",
    [
        {"lam": 30.0},
        pytest.param({"objective": "rwr", "beta": 0.05}, marks=pytest.mark.slow),
        {"objective": "raft"},
        pytest.param({"lora_r": 8, "lam": 30.0}, marks=pytest.mark.slow),
    ],
)
def test_it_learns(options: dict[str, Any], tiny_llama: str, tmp_path: Path) -> None:
    before = mean_reward(Policy.load(tiny_llama))
    train_weighted_policy(Share(), requests(), tmp_path / "out", config(tiny_llama, **options))
    after = mean_reward(Policy.load(str(tmp_path / "out")))
    assert after > 4 * before
    lines = [json.loads(line) for line in (tmp_path / "out" / "run" / "metrics.jsonl").read_text().splitlines()]
    rewards = [line["reward"] for line in lines if "reward" in line]
    assert rewards[-1] > rewards[0]
    assert all(0 <= line["reward_missing"] <= 1 for line in lines if "reward" in line)


def test_without_lambda_it_is_plain_likelihood(tiny_llama: str, tmp_path: Path) -> None:
    """The good answers become likely, whatever the reward; a lambda pulls the other way."""

    def nll(folder: str) -> float:
        policy = Policy.load(folder)
        (prompt,) = policy.encode_prompts([PROMPTS[0]], max_new_tokens=5)
        (answer,) = policy.encode_responses([prompt], [(PROMPTS[0], "sorry")])
        model = AutoModelForCausalLM.from_pretrained(folder)
        logits = model(torch.tensor([[*prompt, *answer]])).logits[0, len(prompt) - 1 : -1]
        return torch.nn.functional.cross_entropy(logits, torch.tensor(answer), reduction="sum").item()

    for lam in (0.0, 100.0):
        train_weighted_policy(Share(), requests("sorry"), tmp_path / str(lam), config(tiny_llama, lam=lam, epochs=30))
    assert nll(str(tmp_path / "0.0")) < 0.5 < nll(tiny_llama)
    assert nll(str(tmp_path / "0.0")) < nll(str(tmp_path / "100.0"))
    assert mean_reward(Policy.load(str(tmp_path / "100.0"))) > mean_reward(Policy.load(str(tmp_path / "0.0")))


def test_a_run_cut_short_ends_with_the_same_weights(tiny_llama: str, tmp_path: Path) -> None:
    class Stops(Share):
        calls = 0

        def score(self, *args: Any, **kwargs: Any) -> np.ndarray:
            self.calls += 1
            if self.calls == 6:
                raise KeyboardInterrupt
            return super().score(*args, **kwargs)

    settings = config(tiny_llama, epochs=8, save_steps=2)
    train_weighted_policy(Share(), requests(), tmp_path / "whole", settings)
    with pytest.raises(KeyboardInterrupt):
        train_weighted_policy(Stops(), requests(), tmp_path / "cut", settings)
    with pytest.raises(OutputError, match="holds a run already"):
        train_weighted_policy(Share(), requests(), tmp_path / "cut", settings)
    with pytest.raises(ConfigError, match="lam was 1"):
        train_weighted_policy(
            Share(),
            requests(),
            tmp_path / "cut",
            config(tiny_llama, epochs=8, save_steps=2, lam=3.0),
            resume=True,
        )
    train_weighted_policy(Share(), requests(), tmp_path / "cut", settings, resume=True)
    whole, cut = (Policy.load(str(tmp_path / name)).model.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_resuming_what_is_finished_gives_it_back(tiny_llama: str, tmp_path: Path) -> None:
    class Broken(Share):
        def score(self, *args: Any, **kwargs: Any) -> np.ndarray:
            raise KeyboardInterrupt  # it must not even begin

    settings = config(tiny_llama, epochs=2)
    policy = train_weighted_policy(Share(), requests(), tmp_path, settings)
    again = train_weighted_policy(Broken(), requests(), tmp_path, settings, resume=True)
    assert all(torch.equal(value, again.model.state_dict()[name]) for name, value in policy.model.state_dict().items())


def test_answers_that_are_worth_the_same_move_nothing(tiny_llama: str, tmp_path: Path) -> None:
    class Same:
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            return np.ones(len(responses), dtype=np.float32)

    train_weighted_policy(Same(), requests(), tmp_path, config(tiny_llama, epochs=3))
    before, after = (Policy.load(folder).model.state_dict() for folder in (tiny_llama, str(tmp_path)))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_texts_that_are_too_long_are_named_by_line(tiny_llama: str, tmp_path: Path) -> None:
    long = Candidates(prompt="egg " * 600, origin=Origin("x.jsonl", 7))
    with pytest.raises(DataError, match=r"^x\.jsonl:7: too long: the prompt"):
        train_weighted_policy(Share(), [long], tmp_path / "a", config(tiny_llama))
    behind = Candidates(prompt="egg", origin=Origin("x.jsonl", 8), demonstration="egg " * 600)
    with pytest.raises(DataError, match=r"^x\.jsonl:8: too long: prompt and response"):
        train_weighted_policy(Share(), [*requests(), behind], tmp_path / "b", config(tiny_llama))


def test_all_faults_of_a_configuration_are_told_at_once() -> None:
    with pytest.raises(
        ConfigError, match=r"--prompts-per-step.*--lam must be 0 or more.*--beta.*--num-generations must be"
    ):
        WeightedConfig(prompts_per_step=0, beta=0.0, lam=-1.0, num_generations=1)
