"""A recipe from data to figures, on a tiny model."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.cli.main import main
from guerdon.errors import ConfigError, DataError
from guerdon.recipes.applications import RECIPES
from guerdon.recipes.job_events import JobEvents
from guerdon.recipes.policy_responses import reference_response, yardsticks
from guerdon.recipes.recipe_config import RecipeConfig
from guerdon.recipes.recipe_run import picked_value, run_recipe
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.fit_config import MEMBERS
from guerdon.types import AnyRow, Candidates, prompt_text
from json_lines import write_lines

WORDS = ["rude", "sorry", "good", "polite"]


def scored(count: int) -> list[Candidates]:
    """The better word, the higher the score; of three systems, two is the best on average."""
    rng = random.Random(3)
    found = []
    for number in range(count):
        grades = rng.sample(range(4), 3)
        texts = tuple(" ".join([*rng.choices(["the", "water", "is"], k=rng.randint(2, 6)), WORDS[g]]) for g in grades)
        bm25 = tuple(float(g == max(grades)) for g in grades)
        found.append(
            Candidates(
                prompt=f"boil egg {number}",
                responses=texts,
                scores=tuple(map(float, grades)),
                systems=("one", "two", "three"),
                other_scores={"bm25": bm25},
            )
        )
    return found


def config(encoder: str, **more: Any) -> RecipeConfig:
    return RecipeConfig(encoder=encoder, members=("longest", "surface", "tfidf", "embedding"), **more)


def test_it_picks_better_than_the_baselines(tiny_bert: str, tmp_path: Path) -> None:
    result = run_recipe("translation", scored(60), tmp_path, config(tiny_bert))
    worth = {system.name: system.value for system in result.systems}
    assert list(worth) == [
        "reward model", "BM25", "random", "longest", "TF-IDF (same training data)",
        "always the best system in training", "oracle",
    ]  # fmt: skip
    assert worth["reward model"].point > worth["random"].high
    assert worth["reward model"].point >= worth["longest"].point
    assert worth["oracle"].point == worth["BM25"].point >= worth["reward model"].point
    assert (result.trained_on, result.measured_on) == (48, 12)
    random_pick = next(system for system in result.systems if system.name == "random")
    assert random_pick.difference is not None
    assert random_pick.difference.point == pytest.approx(worth["reward model"].point - worth["random"].point)
    assert json.loads((tmp_path / "recipe.json").read_text(encoding="utf-8"))["measured_on"] == 12


def test_what_is_learnt_and_what_is_measured_share_no_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[str] = []

    def watched(rows: list[AnyRow], *args: Any, **options: Any) -> Any:
        learnt.extend(prompt_text(row.prompt) for row in rows)
        return judge(rows, *args, **options)

    judge = JudgedResponses.of
    monkeypatch.setattr("guerdon.recipes.recipe_run.JudgedResponses.of", watched)
    spelt = [
        replace(one, prompt=f" Boil  EGG {place // 2}" if place % 2 else f"boil egg {place // 2}")
        for place, one in enumerate(scored(20))
    ]
    result = run_recipe("translation", spelt, tmp_path, RecipeConfig(members=("longest", "surface")))
    assert (result.trained_on, result.measured_on) == (16, 4)
    prompts = {" ".join(prompt.casefold().split()) for prompt in learnt}
    assert len(prompts) == 8, "eight of ten prompts; the two measured are not among them in another spelling"


class Folds(JobEvents):
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def step_started(self, number: int, count: int, name: str, what: str) -> None:
        self.seen.append((number, count))


def test_every_fold_in_turn(tiny_bert: str, tmp_path: Path) -> None:
    folds = Folds()
    result = run_recipe("retrieval", scored(30), tmp_path, config(tiny_bert, folds=3), events=folds)
    assert folds.seen == [(1, 3), (2, 3), (3, 3)]
    assert (result.trained_on, result.measured_on) == (20, 30)
    assert [system.name for system in result.systems[:3]] == ["reward model", "BM25", "random"]
    assert result.systems[-1].value.point == 1
    model, search = result.systems[:2]
    assert search.difference is not None
    assert search.difference.point == pytest.approx(model.value.point - search.value.point)
    with pytest.raises(DataError, match="cannot be divided into 5 folds"):
        run_recipe("retrieval", scored(4), tmp_path / "few", config(tiny_bert))


def test_what_some_prompts_alone_have(tiny_bert: str, tmp_path: Path) -> None:
    some = [replace(one, other_scores={}, systems=()) if place % 3 else one for place, one in enumerate(scored(12))]
    result = run_recipe("retrieval", some, tmp_path, config(tiny_bert, folds=2))
    names = [system.name for system in result.systems]
    assert "always the best system in training" in names
    assert "BM25" not in names


def test_equal_rewards_share_and_no_reward_counts_for_nothing() -> None:
    assert picked_value(np.array([1.0, 1.0, 0.0]), [4, 2, 9], "picked") == 3
    assert picked_value(np.array([np.nan, 1.0]), [4, 2], "picked") == 2
    assert np.isnan(picked_value(np.array([np.nan, np.nan]), [4, 2], "picked"))
    assert picked_value(np.array([3.0, 2.0, 1.0]), [3, 2, 1], "ndcg") == 1


def preferences(folder: Path) -> str:
    data = folder / "data.jsonl"
    rows = [{"prompt": f"egg {i}", "chosen": f"good {i}", "rejected": f"rude {i}"} for i in range(20)]
    write_lines(data, *rows)
    return str(data)


def test_on_the_command_line(tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = preferences(tmp_path)
    command = ["recipe", "dialogue", data, "--out", str(tmp_path / "out"), "--encoder", tiny_bert]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "dialogue: share of picks that people preferred" in printed
    assert "the best baseline, " in printed
    assert "TF-IDF" in printed
    assert "fold 1" in printed
    assert "Fitted on 16 prompts, measured on 4 others" in printed
    assert main(["recipe", "poetry", data]) == 2
    assert "there is no recipe 'poetry'" in capsys.readouterr().err


def test_a_policy_responds_and_function_and_command_write_the_same_files(
    tiny_bert: str, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = preferences(tmp_path), tmp_path / "out"
    common = ["--encoder", tiny_bert, "--policy", tiny_llama]
    few = ["--num-generations", "4", "--max-new-tokens", "8", "--num-prompts", "3"]
    assert main(["recipe", "dialogue", data, "--out", str(out), *common, *few]) == 0
    assert "The reward model picks among responses" in capsys.readouterr().out
    found = json.loads((out / "recipe.json").read_text(encoding="utf-8"))["policy"]
    assert (found["prompts"], found["ns"]) == (3, [1, 2, 4])
    names = [curve["name"] for curve in found["curves"]]
    assert names == ["reward model", "gold reward", "chrF to the best candidate", "characters"]

    options = RecipeConfig(encoder=tiny_bert, policy=tiny_llama, num_generations=4, max_new_tokens=8, num_prompts=3)
    run_recipe("dialogue", data, tmp_path / "function", options)
    for name in ("recipe.json", "answers.jsonl", "fold-0/guerdon.json"):
        assert (out / name).read_bytes() == (tmp_path / "function" / name).read_bytes(), name

    assert main(["recipe", "retrieval", data, "--out", str(tmp_path / "other"), *common]) == 2
    assert "--policy does not go with retrieval" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_options_are_checked_at_once() -> None:
    with pytest.raises(ConfigError, match=r"--folds .*; --members .*mine; --num-generations .*; --num-prompts "):
        RecipeConfig(folds=1, members=("mine",), num_generations=1, num_prompts=0)


def test_what_tells_whether_new_responses_are_good() -> None:
    words = [Candidates(prompt=f"egg {i}", responses=("boil it", "no idea"), scores=(1.0, 0.0)) for i in range(4)]
    assert list(yardsticks(words)) == ["gold reward", "chrF to the best candidate"]
    assert reference_response(words[0]) == "boil it"
    programs = ("def f(): return 1", "def f(): return 2")
    code = Candidates(prompt="f", responses=programs, scores=(1.0, 0.0), reference="assert f() == 1")
    assert list(yardsticks([code])) == ["tests passed"]
    assert reference_response(code) == "assert f() == 1"


def test_each_application_has_members_that_are_known() -> None:
    for name, recipe in RECIPES.items():
        assert set(recipe.members) <= set(MEMBERS), name
    assert "likelihood" in RECIPES["translation"].members
    assert set(RECIPES["retrieval"].members) == {"bm25", "embedding", "cosine"}
