"""Whole runs on RLlib."""

from __future__ import annotations

import json
import math
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch
from transformers import AutoModelForCausalLM

from guerdon.errors import ConfigError, DataError, ModelError, OutputError
from guerdon.optimize.monitor import peak, read_looks
from guerdon.optimize.rl.algorithms import ALGORITHMS
from guerdon.optimize.rl.config import RLConfig
from guerdon.optimize.rl.run import train_rl
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.types import Candidates, Message, Origin, Prompt

PROMPTS: list[Prompt] = ["How do I boil an egg?", "planet?", "add two numbers", "最大的行星"]


class Share:
    """The share of digits in a response: 1 at best. Ten tokens are digits, and few others hold one."""

    def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
        digits = [sum(mark in "0123456789" for mark in text) for text in responses]
        return np.array(
            [count / len(text) if text else math.nan for count, text in zip(digits, responses, strict=True)], np.float32
        )


@pytest.fixture(scope="module", autouse=True)
def _one_ray() -> Iterator[None]:
    """One Ray for all tests of this file: starting it takes seconds."""
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    yield
    ray.shutdown()


def requests() -> list[Candidates]:
    return [Candidates(prompt=prompt, origin=Origin("x.jsonl", line)) for line, prompt in enumerate(PROMPTS, start=1)]


def config(policy: str, **options: Any) -> RLConfig:
    usual: dict[str, Any] = {
        "num_generations": 16, "prompts_per_step": 4, "epochs": 3, "learning_rate": 1e-2, "lora_r": 0,
        "max_new_tokens": 5, "beta": 0.001, "num_iterations": 2, "prompts_per_minibatch": 2,
    }  # fmt: skip
    return RLConfig(policy=policy, **(usual | options))


def mean_reward(policy: Policy) -> float:
    sampling = Sampling(max_new_tokens=5)
    texts = [
        a.text
        for _, own in policy.sample_responses(PROMPTS, num_generations=16, sampling=sampling, seed=9)
        for a in own
    ]
    return float(np.nanmean(Share().score(None, texts)))


def lines(folder: Path) -> list[dict[str, float]]:
    text = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return dict(AutoModelForCausalLM.from_pretrained(folder).state_dict())


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], *, within: float = 0.0) -> bool:
    return all(torch.allclose(one[name], other[name], rtol=0, atol=within) for name in one)


def learns(name: str, policy: str, folder: Path, **options: Any) -> None:
    before = mean_reward(Policy.load(policy))
    trained = train_rl(Share(), requests(), folder, config(policy, algorithm=name, epochs=40, **options))
    assert before < 0.1
    assert mean_reward(trained) > 0.9
    assert mean_reward(Policy.load(str(folder))) > 0.9, "what is returned is what is saved"


def test_it_learns(tiny_llama: str, tmp_path: Path) -> None:
    learns("grpo", tiny_llama, tmp_path)
    log = lines(tmp_path)
    assert [line["step"] for line in log] == list(range(1, 41))
    assert log[-1]["reward"] > 0.9 > 0.2 > log[0]["reward"]
    assert log[0]["kl"] == pytest.approx(0, abs=1e-4), "what was sampled is what is learnt from"
    assert log[0]["clipped"] < log[3]["clipped"] + 0.5
    assert not list((tmp_path / "run").glob("checkpoint-*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name != "grpo"])
def test_every_row_learns(name: str, tiny_llama: str, tmp_path: Path) -> None:
    learns(name, tiny_llama, tmp_path)


@pytest.mark.slow
def test_runners_and_learners_of_their_own(tiny_llama: str, tmp_path: Path) -> None:
    learns("ppo", tiny_llama, tmp_path, num_env_runners=2, num_learners=2)


@pytest.mark.parametrize(
    "options", [{}, pytest.param({"algorithm": "ppo", "kl_target": 1.0, "lora_r": 2}, marks=pytest.mark.slow)]
)
def test_a_resumed_run_ends_where_the_unbroken_one_does(
    options: dict[str, Any], tiny_llama: str, tmp_path: Path
) -> None:
    settings = config(tiny_llama, epochs=5, save_steps=2, **options)
    train_rl(Share(), requests(), tmp_path / "whole", settings)

    def stop(figures: Any) -> None:
        if figures["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_rl(Share(), requests(), tmp_path / "broken", settings, on_step=stop)
    with pytest.raises(OutputError, match="--resume"):
        train_rl(Share(), requests(), tmp_path / "broken", settings)
    train_rl(Share(), requests(), tmp_path / "broken", settings, resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "broken"))
    mine, theirs = lines(tmp_path / "whole"), lines(tmp_path / "broken")
    assert [line["reward"] for line in mine] == [line["reward"] for line in theirs]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_two_learners_make_the_update_of_one(name: str, tiny_llama: str, tmp_path: Path) -> None:
    for learners in (0, 2):
        settings = config(tiny_llama, algorithm=name, epochs=1, num_learners=learners, learning_rate=1e-3)
        train_rl(Share(), requests(), tmp_path / str(learners), settings)
    assert not same(weights(tmp_path / "0"), weights(Path(tiny_llama)))
    assert same(weights(tmp_path / "0"), weights(tmp_path / "2"), within=1e-5)


@pytest.mark.slow
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
    train_rl(Killing(), requests(), tmp_path / "out", config(tiny_llama, epochs=12, num_env_runners=2))
    assert (tmp_path / "killed").exists()
    asked = [line["prompts_asked"] for line in lines(tmp_path / "out")]
    answered = [line["tokens_sampled"] for line in lines(tmp_path / "out")]
    assert len(asked) == 12
    assert min(answered) > 0


@pytest.mark.slow
def test_turns(tiny_llama: str, tmp_path: Path) -> None:
    def reply(talks: Sequence[Sequence[Message]]) -> list[str | None]:
        return ["more" if len(talk) % 4 else None for talk in talks]

    settings = config(tiny_llama, max_turns=2, epochs=40)
    train_rl(Share(), requests(), tmp_path, settings, reply=reply)
    log = lines(tmp_path)
    assert log[0]["kl"] == pytest.approx(0, abs=1e-4), "what was heard does not count"
    assert log[0]["answer_tokens"] > 5, "both turns count"
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

    train_rl(Failing(), requests(), tmp_path, config(tiny_llama))
    first, second, third = lines(tmp_path)
    assert first["reward_missing"] >= 0.25
    assert first["responses_without_reward"] >= 16
    assert second["responses_without_reward"] == 64
    assert second["reward_missing"] == 1
    assert second["optimizer_steps"] == 0
    assert math.isnan(second["reward"])
    assert third["reward_missing"] < 1

    class Never:
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            return np.full(len(responses), np.nan)

    with pytest.raises(ModelError, match="no response of 3 steps"):
        train_rl(Never(), requests(), tmp_path / "never", config(tiny_llama))


def test_what_cannot_be_run_is_refused_before_anything_is_written(tiny_llama: str, tmp_path: Path) -> None:
    long = [*requests(), Candidates(prompt="egg " * 600, origin=Origin("x.jsonl", 5))]
    with pytest.raises(DataError, match=r"x\.jsonl:5.*too long"):
        train_rl(Share(), long, tmp_path / "a", config(tiny_llama))
    with pytest.raises(ConfigError, match="no algorithm 'a2c'"):
        train_rl(Share(), requests(), tmp_path / "b", config(tiny_llama, algorithm="a2c"))
    with pytest.raises(ConfigError, match="reply"):
        train_rl(Share(), requests(), tmp_path / "c", config(tiny_llama, max_turns=2))
    assert not list(tmp_path.glob("*/run"))
    with pytest.raises(ConfigError, match="--num-generations must be at least 2"):
        config(tiny_llama, num_generations=1)


@pytest.mark.slow
def test_the_policy_at_golds_peak_is_kept(tiny_llama: str, tmp_path: Path) -> None:
    """The proxy wants digits; gold wants them up to a third of the text, and none from there on."""

    class Gold(Share):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            share = super().score(prompts, responses)
            return np.where(share > 0.34, 0.3 - share, share)

    held_out = [Candidates(prompt="How large is the planet?"), Candidates(prompt="boil water")]
    settings = config(tiny_llama, epochs=40, eval_steps=2, eval_num_generations=16, early_stopping_patience=3)
    trained = train_rl(Share(), requests(), tmp_path, settings, validation=held_out, gold=Gold())
    looks = read_looks(tmp_path / "run" / "monitor.jsonl")
    best = peak(looks)
    assert looks[0].step == 0
    assert looks[0].kl == pytest.approx(0, abs=1e-4)
    assert looks[-1].step < 40, "it stopped"
    assert looks[-1].step == best.step + 6
    assert looks[-1].proxy > best.proxy > looks[0].proxy
    assert looks[-1].gold < best.gold
    assert looks[-1].kl > best.kl > 0
    sampling = Sampling(max_new_tokens=5)
    said = dict(trained.sample_responses([r.prompt for r in held_out], num_generations=16, sampling=sampling))
    assert tuple(said[i][0].text for i in range(2)) == tuple(answer for _, answer in best.samples)
    assert not list((tmp_path / "run").glob("peak-*"))
    with pytest.raises(ConfigError, match="--validation"):
        train_rl(Share(), requests(), tmp_path / "other", settings, gold=Gold())
