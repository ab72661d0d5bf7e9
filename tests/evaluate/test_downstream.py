"""Rewards put to use: best of n by hand, RL with a tiny policy, and which metric foretold the gain."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from guerdon.cli.main import main
from guerdon.errors import ConfigError, DataError, ModelError, OutputError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.downstream import evaluate_downstream
from guerdon.evaluate.downstream_config import DownstreamConfig
from guerdon.evaluate.foretold import by_chance
from guerdon.rewards.load import ScorerConfig
from guerdon.types import Candidates, Comparison, References, Scorer
from json_lines import write_lines


class Noisy:
    """Sees the number that a response ends with, with noise of a size, the same every time."""

    def __init__(self, noise: float, seed: int = 0) -> None:
        self.noise, self.seed = noise, seed

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: References = None) -> np.ndarray:
        keys = zip(prompts, responses, strict=True)
        drawn = [np.random.default_rng([self.seed, *f"{p} {r}".encode()]).normal() for p, r in keys]
        return np.array(
            [float(r.split()[-1]) + self.noise * d for r, d in zip(responses, drawn, strict=True)], dtype=np.float32
        )


class Share:
    """The share of a response that is the letter e."""

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: References = None) -> np.ndarray:
        return np.array([text.count("e") / max(len(text), 1) for text in responses], dtype=np.float32)


class Judge:
    def compare(
        self, prompts: Sequence[Any], a: Sequence[str], b: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        return np.full(len(a), 0.5)


def pool(prompts: int = 30, responses: int = 8) -> list[Candidates]:
    rng = np.random.default_rng(1)
    drawn = np.round(rng.normal(size=(prompts, responses)), 3)
    return [
        Candidates(prompt=f"p{i}", responses=tuple(f"x {v}" for v in own), scores=tuple(own.tolist()))
        for i, own in enumerate(drawn)
    ]


def test_a_better_reward_picks_better_and_gold_itself_picks_best(tmp_path):
    systems: dict[str, Scorer] = {"good": Noisy(0.3), "poor": Noisy(3.0)}
    found = evaluate_downstream(systems, pool(), tmp_path, baselines={"none": Noisy(1e6)})
    good, poor, none = found.results
    assert (found.gold, found.prompts, good.is_baseline, none.is_baseline) == (
        "the scores of the data",
        30,
        False,
        True,
    )
    assert list(good.gold) == [1, 2, 4, 8]
    at_random = np.mean([one.scores for one in pool()])
    assert (good.gold[1].point, poor.gold[1].point) == pytest.approx((at_random, at_random))
    best = [np.array(one.scores)[np.argmax(Noisy(0.3).score([one.prompt] * 8, one.responses))] for one in pool()]
    assert good.gold[8].point == pytest.approx(np.mean(best))
    assert found.oracle[8].point == pytest.approx(np.mean([max(one.scores or ()) for one in pool()]))
    assert found.oracle[8].point > good.gold[8].point > poor.gold[8].point
    assert good.gain[8].low > 0
    assert none.gain[8].low < 0.5 < good.gain[8].point
    assert json.loads((tmp_path / "downstream.json").read_text(encoding="utf-8"))["prompts"] == 30


def test_a_gold_reward_judges_and_all_pick_from_the_same_responses(tmp_path):
    class Silent(Noisy):
        def score(self, prompts: Any, responses: Any, *, references: Any = None) -> np.ndarray:
            found = super().score(prompts, responses)
            return np.where([one == "p0" for one in prompts], np.nan, found)

    systems: dict[str, Any] = {"a": Noisy(0.1), "silent": Silent(0.1), "judge": Judge()}
    found = evaluate_downstream(systems, pool(), tmp_path, gold=Noisy(0.0), gold_name="exactly")
    assert [one.system for one in found.results] == ["a", "silent", "judge"]
    assert (found.gold, found.prompts) == ("exactly", 29)
    assert found.results[0].gold[8] == found.results[1].gold[8]
    assert found.notes == ("1 prompts have too few responses with every reward, and are left out.",)


def test_what_foretold_the_gain_needs_six_rewards(tmp_path):
    rng = np.random.default_rng(2)
    rows = []
    for i in range(200):
        a, b = sorted(np.round(rng.normal(size=2), 3), reverse=True)
        rows.append(Comparison(prompt=f"q{i}", chosen=f"x {a}", rejected=f"x {b}"))
    systems: dict[str, Scorer] = {f"noise {noise}": Noisy(noise) for noise in (0.5, 1.0, 1.2, 2.0, 2.5, 1e6)}
    agreement = evaluate_reward(systems, rows, baselines={}, resamples=50)
    found = evaluate_downstream(systems, pool(), tmp_path / "six", agreement=agreement)
    accuracy = found.foretold["accuracy"]
    points = [agreement.sections[0].overall.system(name).metrics["accuracy"].point for name in systems]
    gains = np.round([one.gain[8].point for one in found.results], 9)
    assert accuracy.point == pytest.approx(stats.spearmanr(points, gains).statistic)
    assert accuracy.point > 0.7
    assert accuracy.low < accuracy.point <= accuracy.high <= 1
    assert "Of 6 rewards" in found.notes[-1]
    assert (by_chance(6), by_chance(8)) == pytest.approx((0.886, 0.738), abs=0.03)  # tables of Spearman's rho
    few = dict(list(systems.items())[:5])
    assert evaluate_downstream(few, pool(), tmp_path / "five", agreement=agreement).foretold == {}


def test_a_used_folder_is_refused_so_that_no_old_response_is_taken_for_a_new_one(tmp_path):
    (tmp_path / "answers.jsonl").touch()
    with pytest.raises(OutputError, match=r"is not empty. Fix: choose another folder"):
        evaluate_downstream({"a": Noisy(1.0)}, pool(), tmp_path)


def test_a_short_run_of_rl_is_judged_by_gold_on_prompts_that_it_did_not_train_on(tmp_path, tiny_llama):
    prompts = [Candidates(prompt=f"Say e, {i}.") for i in range(12)]
    config = DownstreamConfig(
        policy=tiny_llama, n=4, rl_steps=25, prompts_per_step=3, max_new_tokens=5, learning_rate=5e-3
    )
    found = evaluate_downstream({"share": Share()}, prompts, tmp_path, config, gold=Share(), gold_name="share")
    (result,) = found.results
    assert list(result.gold) == [1, 2, 4]
    assert result.gain[4].point > 0
    assert result.rl is not None
    assert result.rl.gain.low > 0.03
    assert result.rl.gain.point == pytest.approx(result.rl.after.point - result.rl.before.point)
    assert result.rl.own_gain == result.rl.gain
    assert result.rl.kl > 0
    assert (tmp_path / "answers.jsonl").exists()


OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own_llama"

class OwnLlama(LlamaForCausalLM):
    config_class = OwnConfig
"""


def test_a_policy_with_code_of_its_own_needs_trust_for_sampling_and_for_rl(tmp_path, tiny_llama):
    own = tmp_path / "own"
    shutil.copytree(tiny_llama, own)
    (own / "own.py").write_text(OWN_CODE, encoding="utf-8")
    known = json.loads((own / "config.json").read_text(encoding="utf-8"))
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnLlama"}
    changed = known | {"model_type": "own_llama", "architectures": ["OwnLlama"], "auto_map": names}
    (own / "config.json").write_text(json.dumps(changed), encoding="utf-8")
    prompts = [Candidates(prompt=f"Say e, {i}.") for i in range(8)]
    config = DownstreamConfig(policy=str(own), n=2, rl_steps=1, prompts_per_step=1, max_new_tokens=2)
    with pytest.raises(ModelError, match="code of its own, which would be run"):
        evaluate_downstream({"e": Share()}, prompts, tmp_path / "no", config, gold=Share())
    placed = ScorerConfig(name="e", device="cpu", trust_remote_code=True)
    found = evaluate_downstream({"e": Share()}, prompts, tmp_path / "yes", config, gold=Share(), placed=placed)
    assert found.results[0].rl is not None


def test_what_is_lacking_is_told(tmp_path):
    with pytest.raises(ConfigError, match="--rl-steps needs a --policy"):
        DownstreamConfig(rl_steps=3)
    bare = [Candidates(prompt=one.prompt, responses=one.responses) for one in pool()]
    with pytest.raises(ConfigError, match="nothing to judge by: the responses have no scores. Fix: name a --gold"):
        evaluate_downstream({"a": Noisy(1.0)}, bare, tmp_path)
    config = DownstreamConfig(policy="none", rl_steps=1)
    with pytest.raises(ConfigError, match="which the scores of the data do not judge. Fix: name a --gold reward"):
        evaluate_downstream({"a": Noisy(1.0)}, pool(), tmp_path, config)
    with pytest.raises(DataError, match="RL needs 8 prompts, half of them held out; there are 4"):
        evaluate_downstream({"a": Noisy(1.0)}, pool(4), tmp_path, config, gold=Noisy(0.0))


def test_the_command_shows_what_rewards_bring(tmp_path, capsys):
    rows = [{"prompt": f"p{i}", "chosen": "a" * (3 + i % 3), "rejected": "b" * 3} for i in range(12)]
    judged = [
        {"prompt": f"q{i}", "responses": ["a", "bb", "ccc", "dddd"], "scores": [0, 1, 2, i % 4]} for i in range(12)
    ]
    data, responses = write_lines(tmp_path / "a.jsonl", *rows), write_lines(tmp_path / "b.jsonl", *judged)
    options = ["--downstream", responses, "--downstream-out", str(tmp_path / "used"), "--resamples", "20"]
    assert main(["evaluate", "longest", data, "--gold", "longest"]) == 2
    assert "belong to --downstream" in capsys.readouterr().err
    assert main(["evaluate", "longest", data, "--also", "shortest", *options]) == 0
    text = capsys.readouterr().out
    assert "put to use: the scores of the data, mean over 12 prompts" in text
    assert "gold itself" in text
    assert "best of 4" in text
    found = json.loads(Path(tmp_path / "used" / "downstream.json").read_text(encoding="utf-8"))
    assert [one["system"] for one in found["results"]] == ["longest", "shortest", "longest wins", "shortest wins"]
