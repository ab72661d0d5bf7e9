"""What a look counts, and the curves of Gao et al."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from guerdon.optimize.monitor import Monitor, distinct, fit_gao, read_looks, repetition
from guerdon.optimize.rl.update import reference_of
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.policy.net import PolicyNet
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


def test_looks(tiny_llama: str, tmp_path: Any) -> None:
    class Falling:
        """Falls from look to look."""

        calls = 0

        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            self.calls += 1
            scores = np.full(len(responses), -float(self.calls))
            scores[0] = math.nan
            return scores

    policy = Policy.load(tiny_llama, device="cpu")
    requests = [Candidates(prompt=prompt) for prompt in ("boil", "cool", "add")]
    made = {
        "proxy": Falling(), "gold": None, "record": tmp_path / "looks.jsonl", "samples": 2, "patience": 2,
        "reference": reference_of(PolicyNet(policy.model)), "sampling": Sampling(max_new_tokens=4),
    }  # fmt: skip
    monitor = Monitor(policy, requests, **made)
    for step in (0, 2, 4):
        assert not monitor.should_stop
        look = monitor.look(step)
        assert look.kl == pytest.approx(0, abs=1e-5)
        assert look.proxy == pytest.approx(-1 - step / 2), "what has no reward does not count"
        assert math.isnan(look.gold)
        assert len(look.samples) == 3
    assert monitor.should_stop
    assert monitor.peak.step == 0
    again = Monitor(policy, requests, **made)
    assert repr(again.looks) == repr(monitor.looks) == repr(read_looks(tmp_path / "looks.jsonl"))  # NaN is not NaN
    again.look(2)
    assert [look.step for look in again.looks] == [0, 2], "a look replaces those from its step on"
