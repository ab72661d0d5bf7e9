"""Whole runs on RLlib."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from guerdon.errors import ConfigError, DataError, ModelError, OutputError
from guerdon.optimize.monitor import best_evaluation, read_evaluations
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import PromptEnvironment, TurnResult
from guerdon.optimize.rl.rl_run import train_rl_policy
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.rewards.load import ScorerConfig
from guerdon.types import Candidates, Message, Origin, Prompt

PROMPTS: list[Prompt] = ["How do I boil an egg?", "planet?", "add two numbers", "最大的行星"]


class Share:
    """The share of digits in a response: 1 at best. Ten tokens are digits, and few others hold one."""

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        digits = [sum(mark in "0123456789" for mark in text) for text in responses]
        return np.array(
            [count / len(text) if text else math.nan for count, text in zip(digits, responses, strict=True)], np.float32
        )


@pytest.fixture(scope="module")
def one_ray() -> Iterator[None]:
    """One Ray for all tests of this file that have actors: starting it takes seconds."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


def prompts() -> list[Candidates]:
    return [Candidates(prompt=prompt, origin=Origin("x.jsonl", line)) for line, prompt in enumerate(PROMPTS, start=1)]


def config(policy: str, **options: Any) -> RLConfig:
    usual: dict[str, Any] = {
        "num_generations": 16, "prompts_per_step": 4, "epochs": 3, "learning_rate": 1e-2, "lora_r": 0,
        "max_new_tokens": 5, "beta": 0.001, "num_iterations": 2, "prompts_per_minibatch": 2,
    }  # fmt: skip
    return RLConfig(policy=policy, **(usual | options))


def mean_reward(policy: Policy) -> float:
    sampled = policy.sample_texts(PROMPTS, num_generations=16, sampling=Sampling(max_new_tokens=5), seed=9)
    return float(np.nanmean(Share().score(None, [text for _, own in sampled for text in own])))


def lines(folder: Path) -> list[dict[str, float]]:
    text = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], *, within: float = 0.0) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=within) for name in one)


def learns(name: str, policy: str, folder: Path, **options: Any) -> None:
    before = mean_reward(Policy.load(policy))
    trained = train_rl_policy(Share(), prompts(), folder, config(policy, algorithm=name, epochs=40, **options))
    assert before < 0.1
    assert mean_reward(trained) > 0.9
    assert mean_reward(Policy.load(str(folder))) > 0.9, "what is returned is what is saved"


def test_it_learns(tiny_llama: str, tmp_path: Path) -> None:
    learns("grpo", tiny_llama, tmp_path)
    log = lines(tmp_path)
    assert [line["step"] for line in log] == list(range(1, 41))
    assert log[-1]["reward"] > 0.9 > 0.2 > log[0]["reward"]
    assert log[0]["kl"] == pytest.approx(0, abs=1e-4), "what was sampled is what is learnt from"
    assert log[0]["clip_ratio"] < log[3]["clip_ratio"] + 0.5
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_runners_and_learners_of_their_own(tiny_llama: str, tmp_path: Path) -> None:
    learns("ppo", tiny_llama, tmp_path, num_env_runners=2, num_learners=2)


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"algorithm": "ppo", "kl_target": 1.0, "lora_r": 2}, marks=pytest.mark.slow)]
)
def test_a_resumed_run_ends_where_the_unbroken_one_does(
    options: dict[str, Any], tiny_llama: str, tmp_path: Path
) -> None:
    settings = config(tiny_llama, epochs=5, save_steps=2, **options)
    train_rl_policy(Share(), prompts(), tmp_path / "whole", settings)

    def stop(figures: Any) -> None:
        if figures["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_rl_policy(Share(), prompts(), tmp_path / "broken", settings, on_step=stop)
    with pytest.raises(OutputError, match="--resume"):
        train_rl_policy(Share(), prompts(), tmp_path / "broken", settings)
    train_rl_policy(Share(), prompts(), tmp_path / "broken", settings, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    mine, theirs = lines(tmp_path / "whole"), lines(tmp_path / "broken")
    assert [line["reward"] for line in mine] == [line["reward"] for line in theirs]


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_learner_of_its_own_is_evaluated_and_told_of_from_here(tiny_llama: str, tmp_path: Path) -> None:
    settings = config(tiny_llama, epochs=2, num_learners=1, lora_r=2, eval_steps=1)
    train_rl_policy(Share(), prompts(), tmp_path / "a", settings, validation=prompts()[:2])
    start, *later = read_evaluations(tmp_path / "a" / "run" / "monitor.jsonl")
    assert start.kl == pytest.approx(0, abs=1e-4)
    assert all(one.kl > 0.1 for one in later)
    long = [Candidates(prompt="egg " * 600, origin=Origin("x.jsonl", 5))]
    with pytest.raises(DataError, match=r"^x\.jsonl:5.*too long"):
        train_rl_policy(Share(), long, tmp_path / "b", settings)


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_two_learners_make_the_update_of_one(name: str, tiny_llama: str, tmp_path: Path) -> None:
    for learners in (0, 2):
        settings = config(tiny_llama, algorithm=name, epochs=1, num_learners=learners, learning_rate=1e-3)
        train_rl_policy(Share(), prompts(), tmp_path / str(learners), settings)
    assert not same(weights(tmp_path / "0"), weights(Path(tiny_llama)))
    assert same(weights(tmp_path / "0"), weights(tmp_path / "2"), within=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_killed_runner_is_replaced_and_its_prompts_are_asked_again(tiny_llama: str, tmp_path: Path) -> None:
    class Killing(Share):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            mark = tmp_path / "killed"
            if os.getpid() != driver and self.calls == 3:
                with suppress(FileExistsError):  # of two runners that come at the same moment, one
                    mark.touch(exist_ok=False)
                    os.kill(os.getpid(), signal.SIGKILL)
            self.calls += 1
            return super().score(prompts, responses)

        calls = 0

    driver = os.getpid()
    train_rl_policy(Killing(), prompts(), tmp_path / "out", config(tiny_llama, epochs=12, num_env_runners=2))
    assert (tmp_path / "killed").exists()
    asked = [line["prompts_sampled"] for line in lines(tmp_path / "out")]
    answered = [line["sampled_tokens"] for line in lines(tmp_path / "out")]
    assert len(asked) == 12
    assert min(answered) > 0


@pytest.mark.slow
def test_turns(tiny_llama: str, tmp_path: Path) -> None:
    def reply(conversations: Sequence[Sequence[Message]]) -> list[str | None]:
        return ["more" if len(one) % 4 else None for one in conversations]

    environment = PromptEnvironment(Share(), reply=reply, max_turns=2)
    train_rl_policy(environment, prompts(), tmp_path, config(tiny_llama, max_turns=2, epochs=40))
    log = lines(tmp_path)
    assert log[0]["kl"] == pytest.approx(0, abs=1e-4), "what the user wrote does not count"
    assert log[0]["response_tokens"] > 5, "both turns count"
    assert log[-1]["reward"] > log[0]["reward"] + 0.2


def test_what_has_no_reward_is_recorded(tiny_llama: str, tmp_path: Path) -> None:
    class Failing(Share):
        steps = 0

        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            Failing.steps += len(responses) == 64  # a whole step; what failed is asked again in halves
            if Failing.steps == 2:
                raise ValueError("out of order")
            found = super().score(prompts, responses)
            found[::4] = math.nan
            return found

    train_rl_policy(Failing(), prompts(), tmp_path, config(tiny_llama))
    first, second, third = lines(tmp_path)
    assert first["reward_missing"] >= 0.25
    assert first["responses_without_reward"] >= 16
    assert second["responses_without_reward"] == 64
    assert second["reward_missing"] == 1
    assert "ValueError: out of order" in str(second["reward_missing_reason"])
    assert second["optimizer_steps"] == 0
    assert math.isnan(second["reward"])
    assert third["reward_missing"] < 1


def test_what_cannot_be_run_is_refused_before_anything_is_written(tiny_llama: str, tmp_path: Path) -> None:
    long = [Candidates(prompt="egg " * 600, origin=Origin("x.jsonl", 5))]
    with pytest.raises(DataError, match=r"x\.jsonl:5.*too long"):
        train_rl_policy(Share(), long, tmp_path / "a", config(tiny_llama))
    with pytest.raises(ConfigError, match="no algorithm 'a2c'"):
        train_rl_policy(Share(), prompts(), tmp_path / "b", config(tiny_llama, algorithm="a2c"))
    with pytest.raises(ConfigError, match="--max-turns above 1 needs an environment"):
        train_rl_policy(Share(), prompts(), tmp_path / "c", config(tiny_llama, max_turns=2))
    with pytest.raises(ConfigError, match="max_turns=3"):
        environment = PromptEnvironment(Share(), reply=lambda all: [None for _ in all], max_turns=3)
        train_rl_policy(environment, prompts(), tmp_path / "d", config(tiny_llama))
    with pytest.raises(ModelError, match="no model"):
        train_rl_policy(ScorerConfig(name=str(tmp_path / "none")), prompts(), tmp_path / "e", config(tiny_llama))
    assert not list(tmp_path.glob("*/run"))
    with pytest.raises(ConfigError, match="--num-generations must be at least 2"):
        config(tiny_llama, num_generations=1)


def live_policies() -> int:
    gc.collect()
    return sum(type(one) is LlamaForCausalLM for one in gc.get_objects())


@pytest.mark.slow  # it looks through every object of the process
def test_a_process_has_one_policy_and_a_full_fine_tune_a_frozen_reference(tiny_llama: str, tmp_path: Path) -> None:
    """Counted inside the scorer, while the policy samples, and after the run."""

    class Counting(Share):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            counts.append(live_policies() - before)
            return super().score(prompts, responses)

    for name, options, expected in (
        ("lora", {"lora_r": 2}, 1),
        ("full", {}, 2),
        ("no-kl", {"algorithm": "dr-grpo", "beta": None}, 2),
    ):
        before = live_policies()
        counts: list[int] = []
        policy = train_rl_policy(
            Counting(), prompts(), tmp_path / name, config(tiny_llama, epochs=2, **options), validation=prompts()[:2]
        )
        assert len(counts) > 3, "evaluations and steps"
        assert set(counts) == {expected}, name
        del policy
    before = live_policies()
    counts = []
    train_rl_policy(Counting(), prompts(), tmp_path / "alone", config(tiny_llama, epochs=1, algorithm="dr-grpo"))
    assert set(counts) == {1}, "no KL and no evaluation: no reference"


def test_what_is_evaluated_is_what_was_trained(tiny_llama: str, tmp_path: Path) -> None:
    settings = config(tiny_llama, epochs=4, eval_steps=2)
    train_rl_policy(Share(), prompts(), tmp_path, settings, validation=prompts()[:2])
    assert f"{tmp_path.name}, by Share" in (tmp_path / "monitor.html").read_text(encoding="utf-8")
    log, evaluations = lines(tmp_path), read_evaluations(tmp_path / "run" / "monitor.jsonl")
    assert [one.step for one in evaluations] == [0, 2, 4]
    assert [line["eval_reward"] for line in log if "eval_reward" in line] == [one.proxy for one in evaluations[1:]]
    assert evaluations[0].kl == pytest.approx(0, abs=1e-4)
    assert evaluations[2].kl > 0


def faults_of_runners(environment: Any, error: type[Exception], match: str, policy: str, out: Path) -> None:
    with pytest.raises(error, match=match):
        train_rl_policy(environment, prompts(), out, config(policy, num_env_runners=1, lora_r=2))


@pytest.mark.slow
@pytest.mark.usefixtures("one_ray")
def test_a_fault_of_the_set_up_comes_home_from_a_runner_and_the_scorers_config_reaches_it(
    tiny_llama: str, tmp_path: Path
) -> None:
    class NoSandbox(Share):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            raise ConfigError("there is no sandbox. Fix: apt-get install bubblewrap")

    class Telling(PromptEnvironment):
        def step(self, responses: Sequence[str | None]) -> TurnResult:
            raise ConfigError(f"{self.scorer!r}")

    class Bug(PromptEnvironment):
        def reset(self, tasks: Sequence[Candidates], *, seed: int) -> Sequence[Prompt]:
            raise OSError("no such game")

    faults_of_runners(NoSandbox(), ConfigError, "^there is no sandbox. Fix: apt", tiny_llama, tmp_path / "a")
    trusting = ScorerConfig(name="unit-tests", unsafe_sandbox=True)
    faults_of_runners(Telling(trusting), ConfigError, "unsafe=True", tiny_llama, tmp_path / "b")
    faults_of_runners(Bug(Share()), ModelError, "reset: OSError: no such game", tiny_llama, tmp_path / "c")


@pytest.mark.slow
def test_the_policy_at_golds_peak_is_kept(tiny_llama: str, tmp_path: Path) -> None:
    """The proxy wants digits; gold wants them up to a third of the text, and none from there on."""

    class Gold(Share):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            share = super().score(prompts, responses)
            return np.where(share > 0.34, 0.3 - share, share)

    held_out = [Candidates(prompt="How large is the planet?"), Candidates(prompt="boil water")]
    settings = config(tiny_llama, epochs=40, eval_steps=2, eval_num_generations=16, early_stopping_patience=3)
    trained = train_rl_policy(Share(), prompts(), tmp_path, settings, validation=held_out, gold=Gold())
    evaluations = read_evaluations(tmp_path / "run" / "monitor.jsonl")
    best = best_evaluation(evaluations)
    assert evaluations[0].step == 0
    assert evaluations[0].kl == pytest.approx(0, abs=1e-4)
    assert evaluations[-1].step < 40, "it stopped"
    assert evaluations[-1].step == best.step + 6
    assert evaluations[-1].proxy > best.proxy > evaluations[0].proxy
    assert evaluations[-1].gold < best.gold
    assert evaluations[-1].kl > best.kl > 0
    assert trained is not None
    kept = replace(settings, policy=str(tmp_path), epochs=1, learning_rate=1e-9)
    train_rl_policy(Share(), prompts(), tmp_path / "kept", kept, validation=held_out)
    (first, *_) = read_evaluations(tmp_path / "kept" / "run" / "monitor.jsonl")
    assert first.samples == best.samples, "the policy that is saved is the best one"
    assert not list((tmp_path / "run").glob("best-*"))
    with pytest.raises(ConfigError, match="--validation"):
        train_rl_policy(Share(), prompts(), tmp_path / "other", settings, gold=Gold())
