"""What an evaluation counts, and the curves of Gao et al."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.optimize.monitor import Monitor, distinct, fit_gao, mean_kl, read_evaluations, repetition
from guerdon.optimize.rl.environment import PromptEnvironment
from guerdon.optimize.rl.trajectories import Group, sample_trajectories
from guerdon.optimize.rl.update import reference_of
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.policy.policy_net import PolicyNet
from guerdon.rewards.rules import LengthReward
from guerdon.types import Candidates


def test_repetition_and_diversity() -> None:
    assert repetition("a b c d e f") == 0
    assert repetition("a b c d a b c d") == pytest.approx(1 / 5)
    assert repetition("so so so so so so so so") == pytest.approx(4 / 5)
    assert repetition("too short") == 0
    assert repetition("行星行星行星行星行星行星行星") > 0.5
    assert distinct(["a b", "a b", "a c"]) == pytest.approx(2 / 3)
    assert distinct(["", "a"]) == 1


@pytest.mark.parametrize("kind", ["best-of-n", "rl"])
def test_the_fit_finds_its_own_curve(kind: str) -> None:
    kls = [0.0, 0.3, 1.0, 4.0, 9.0, 25.0]

    def gain(kl: float) -> float:
        d = math.sqrt(kl)
        return d * (1.5 - 0.2 * (d if kind == "best-of-n" else math.log(d))) if d else 0.0

    fit = fit_gao(kls, [gain(kl) for kl in kls], kind)
    assert fit is not None
    assert (fit.alpha, fit.beta, fit.r_squared) == pytest.approx((1.5, 0.2, 1.0))
    assert fit.at(2.0) == pytest.approx(gain(4.0))
    assert fit.at(0.0) == 0
    assert fit_gao(kls[:3], [gain(kl) for kl in kls[:3]], kind) is None


def test_evaluations(tiny_llama: str, tmp_path: Path) -> None:
    class Falling:
        """Falls from evaluation to evaluation."""

        calls = 0

        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            self.calls += 1
            scores = np.full(len(responses), -float(self.calls))
            scores[0] = math.nan
            return scores

    policy = Policy.load(tiny_llama, device="cpu")
    prompts = [Candidates(prompt=prompt) for prompt in ("boil", "cool", "add")]
    environment, reference = PromptEnvironment(Falling()), reference_of(PolicyNet(policy.model))

    def sample() -> list[Group]:
        sampling = Sampling(max_new_tokens=4)
        return sample_trajectories(policy, environment, prompts, num_generations=2, sampling=sampling).groups

    def monitor(gold: Any = None) -> Monitor:
        return Monitor(
            prompts, tmp_path / "monitor.jsonl", sample=sample, gold=gold, patience=2,
            mean_kl=lambda groups: mean_kl(policy, reference, groups),
        )  # fmt: skip

    first = monitor()
    for step in (0, 2, 4):
        assert not first.should_stop
        found = first.evaluate(step)
        assert found.kl == pytest.approx(0, abs=1e-5)
        assert found.proxy == pytest.approx(-1 - step / 2), "what has no reward does not count"
        assert math.isnan(found.gold)
        assert len(found.samples) == 3
    assert first.should_stop
    assert first.best.step == 0
    again = monitor(gold=LengthReward())
    recorded = read_evaluations(tmp_path / "monitor.jsonl")
    assert repr(again.evaluations) == repr(first.evaluations) == repr(recorded)  # NaN is not NaN
    found = again.evaluate(2)
    assert [one.step for one in again.evaluations] == [0, 2], "an evaluation replaces those from its step on"
    assert found.gold == pytest.approx(np.mean(found.gold_by_prompt))


def test_kl_and_gold_of_conversations_look_at_the_policys_turns(tiny_llama: str, tmp_path: Path) -> None:
    class LastResponse:
        """Remembers what it scored."""

        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            self.seen = list(zip(prompts, responses, strict=True))
            return np.ones(len(responses))

    policy = Policy.load(tiny_llama, device="cpu")
    reference, gold = reference_of(PolicyNet(policy.model)), LastResponse()
    environment = PromptEnvironment(LengthReward(), reply=lambda all: ["and then?" for _ in all], max_turns=2)
    groups = sample_trajectories(
        policy, environment, [Candidates(prompt="boil")], num_generations=2, sampling=Sampling(4), max_turns=2
    ).groups
    assert mean_kl(policy, reference, groups) == pytest.approx(0, abs=1e-4), "what the user wrote does not count"
    monitor = Monitor(
        [Candidates(prompt="boil")], tmp_path / "m", sample=lambda: groups, mean_kl=lambda _: 0.0, gold=gold
    )
    assert monitor.evaluate(0).gold == 1
    for (prompt, response), one in zip(gold.seen, groups[0].trajectories, strict=True):
        assert [message.role for message in prompt] == ["user", "assistant", "user"]
        assert response == one.conversation[-1].content
