"""What an evaluation counts, and the curves of Gao et al."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.optimize.monitor import Monitor, distinct, fit_gao, read_evaluations, repetition
from guerdon.optimize.optimize_config import RLConfig
from guerdon.optimize.rl.environment import PromptEnvironment
from guerdon.optimize.rl.workers import Learner, RLSetup, Workers
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


def workers(policy: str, environment: PromptEnvironment, **options: Any) -> Workers:
    config = RLConfig(policy=policy, max_new_tokens=4, early_stopping_patience=2, prompts_per_step=2, **options)
    return Workers(RLSetup(config, environment), Learner(config, keep_reference=True))


def test_evaluations(tiny_llama: str, tmp_path: Path) -> None:
    class Falling:
        """Falls from evaluation to evaluation."""

        calls = 0

        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            self.calls += 1
            scores = np.full(len(responses), -float((self.calls + 1) // 2))  # two prompts at once, then the third
            scores[0] = math.nan
            return scores

    prompts = [Candidates(prompt=prompt) for prompt in ("boil", "cool", "add")]
    own = workers(tiny_llama, PromptEnvironment(Falling()))
    first = Monitor(own, prompts, tmp_path)
    for step in (0, 2, 4):
        assert not first.should_stop
        found = first.evaluate(step)
        assert found.kl == pytest.approx(0, abs=1e-5)
        assert found.proxy == pytest.approx(-1 - step / 2), "what has no reward does not count"
        assert math.isnan(found.gold)
        assert len(found.samples) == 3
    assert first.should_stop
    assert [path.name for path in tmp_path.glob("best-*")] == ["best-0.safetensors"]
    assert first.best_weights().keys() == own.weights().keys()
    recorded = read_evaluations(tmp_path / "monitor.jsonl")
    assert repr(first.evaluations) == repr(recorded)  # NaN is not NaN
    again = Monitor(own, prompts, tmp_path, gold=LengthReward(), step=1)
    found = again.evaluate(2)
    assert [one.step for one in again.evaluations] == [0, 2], "what came after the step it goes on from is forgotten"
    assert found.gold == pytest.approx(np.mean(found.gold_by_prompt))


def test_kl_and_gold_of_conversations_look_at_the_policys_turns(tiny_llama: str, tmp_path: Path) -> None:
    class LastResponse:
        """Remembers what it scored."""

        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            self.seen = list(zip(prompts, responses, strict=True))
            return np.ones(len(responses))

    gold = LastResponse()
    environment = PromptEnvironment(LengthReward(), reply=lambda all: ["and then?" for _ in all], max_turns=2)
    monitor = Monitor(workers(tiny_llama, environment, max_turns=2), [Candidates(prompt="boil")], tmp_path, gold=gold)
    found = monitor.evaluate(0)
    assert found.gold == 1
    assert found.kl == pytest.approx(0, abs=1e-4), "what the user wrote does not count"
    for prompt, _ in gold.seen:
        assert [message.role for message in prompt] == ["user", "assistant", "user"]
    first, last = gold.seen[0][0][1].content, gold.seen[0][1]
    assert found.samples == (("boil", f"{first}\n{last}"),), "the last response is what gold scores"
