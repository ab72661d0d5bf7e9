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
from guerdon.errors import DataError
from guerdon.recipes.choices import Choice
from guerdon.recipes.policy import yardsticks
from guerdon.recipes.run import run_recipe, together, value_of
from guerdon.recipes.table import RECIPES
from guerdon.train.config import TrainConfig
from guerdon.train.run import train_reward_model
from guerdon.types import AnyRow, prompt_text

WORDS = ["rude", "sorry", "good", "polite"]


def choices(count: int) -> list[Choice]:
    """The better word, the higher the value; of three systems, two is the best on average."""
    rng = random.Random(3)
    found = []
    for number in range(count):
        grades = rng.sample(range(4), 3)
        texts = tuple(" ".join([*rng.choices(["the", "water", "is"], k=rng.randint(2, 6)), WORDS[g]]) for g in grades)
        bm25 = tuple(float(g == max(grades)) for g in grades)
        found.append(Choice(f"boil egg {number}", texts, tuple(map(float, grades)), "", ("one", "two", "three"), bm25))
    return found


def config(backbone: str) -> TrainConfig:
    return TrainConfig(backbone=backbone, learning_rate=5e-3, epochs=6, batch_size=8, validation=0.0, eval_steps=1000)


def test_it_picks_better_than_the_baselines(tiny_bert: str, tmp_path: Path) -> None:
    result = run_recipe(RECIPES["translation"], choices(60), tmp_path, config(tiny_bert))
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


def test_what_is_learnt_and_what_is_measured_share_no_group(
    tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt: list[str] = []

    def watched(rows: list[AnyRow], *args: Any, **options: Any) -> Any:
        learnt.extend(prompt_text(row.prompt) for row in rows)
        return train_reward_model(rows, *args, **options)

    monkeypatch.setattr("guerdon.recipes.run.train_reward_model", watched)
    spelt = [
        replace(one, prompt=f" Boil  EGG {place // 2}" if place % 2 else f"boil egg {place // 2}")
        for place, one in enumerate(choices(20))
    ]
    brief = replace(config(tiny_bert), epochs=1)
    result = run_recipe(RECIPES["translation"], spelt, tmp_path, brief, folds=5)
    assert (result.trained_on, result.measured_on) == (16, 4)
    prompts = {" ".join(prompt.casefold().split()) for prompt in learnt}
    assert len(prompts) == 8, "eight of ten prompts; the two measured are not among them in another spelling"


@pytest.mark.slow
def test_every_fold_in_turn(tiny_bert: str, tmp_path: Path) -> None:
    folds: list[int] = []
    result = run_recipe(
        RECIPES["retrieval"], choices(30), tmp_path, config(tiny_bert), folds=3,
        on_fold=lambda fold, count: folds.append(fold),
    )  # fmt: skip
    assert folds == [0, 1, 2]
    assert (result.trained_on, result.measured_on) == (20, 30)
    names = ["reward model", "BM25", "reward model + BM25"]
    assert [system.name for system in result.systems[:3]] == names
    assert result.systems[-1].value.point == 1
    assert result.added is not None
    gained = result.systems[2].value.point - result.systems[1].value.point
    assert result.added.point == pytest.approx(gained)
    with pytest.raises(DataError, match="cannot be divided into 5 folds"):
        run_recipe(RECIPES["retrieval"], choices(4), tmp_path / "few", config(tiny_bert))


def test_what_some_prompts_alone_have(tiny_bert: str, tmp_path: Path) -> None:
    some = [replace(one, given=(), systems=()) if place % 3 else one for place, one in enumerate(choices(12))]
    brief = replace(config(tiny_bert), epochs=1)
    result = run_recipe(RECIPES["retrieval"], some, tmp_path, brief, folds=2)
    names = [system.name for system in result.systems]
    assert "always the best system in training" in names
    assert "BM25" not in names
    assert result.added is None


def test_equal_scores_share_and_no_score_counts_for_nothing() -> None:
    assert value_of(np.array([1.0, 1.0, 0.0]), [4, 2, 9], "picked") == 3
    assert value_of(np.array([np.nan, 1.0]), [4, 2], "picked") == 2
    assert np.isnan(value_of(np.array([np.nan, np.nan]), [4, 2], "picked"))
    assert value_of(np.array([3.0, 2.0, 1.0]), [3, 2, 1], "ndcg") == 1


def test_a_sum_takes_its_weight_from_the_other_folds() -> None:
    asked = [Choice("p", ("a", "b", "c"), values) for values in ([3, 2, 1], [1, 2, 3], [2, 3, 1], [3, 1, 2])]
    right = [np.array(choice.values) for choice in asked]
    wrong = [-values for values in right]
    # In the first fold the model is right and the base wrong, in the second the other way round: each fold is weighed
    # by what held in the other.
    found = together([*right[:2], *wrong[2:]], [*wrong[:2], *right[2:]], asked, [0, 0, 1, 1], "picked")
    assert [value_of(own, choice.values, "picked") for own, choice in zip(found, asked, strict=True)] == [1, 1, 1, 1]
    helpful = together(right, wrong, asked, [0, 0, 1, 1], "picked")
    assert all(value_of(own, choice.values, "picked") == 3 for own, choice in zip(helpful, asked, strict=True))


def test_on_the_command_line(tiny_bert: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": f"egg {i}", "chosen": f"good {i}", "rejected": f"rude {i}"} for i in range(20)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [
        "recipe",
        "dialogue",
        str(data),
        "--out",
        str(tmp_path / "out"),
        "--backbone",
        tiny_bert,
        "--epochs",
        "1",
    ]
    assert main(command) == 0
    printed, told = capsys.readouterr()
    assert "dialogue: share of answers picked that people preferred" in printed
    assert "TF-IDF" in printed
    assert "step 1/" in told
    assert "Trained on 16 prompts, measured on 4 others" in printed
    assert main(["recipe", "poetry", str(data)]) == 2
    assert "there is no recipe 'poetry'" in capsys.readouterr().err


def test_a_policy_answers_the_held_out_prompts(
    tiny_bert: str, tiny_llama: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": f"egg {i}", "chosen": f"good {i}", "rejected": f"rude {i}"} for i in range(20)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    common = ["--backbone", tiny_bert, "--epochs", "1", "--ask", tiny_llama, "--n", "4", "--max-new-tokens", "8"]
    out = tmp_path / "out"
    assert main(["recipe", "dialogue", str(data), "--out", str(out), *common, "--asked", "3"]) == 0
    assert "The reward model picks among answers" in capsys.readouterr().out
    found = json.loads((out / "recipe.json").read_text(encoding="utf-8"))["answers"]
    assert (found["prompts"], found["ns"]) == (3, [1, 2, 4])
    names = [curve["name"] for curve in found["curves"]]
    assert names == ["reward model", "gold reward", "chrF to the best candidate", "characters"]
    assert main(["recipe", "retrieval", str(data), "--out", str(tmp_path / "other"), *common]) == 2
    assert "--ask has no place" in capsys.readouterr().err


def test_what_tells_whether_new_answers_are_good() -> None:
    words = [Choice(f"egg {i}", ("boil it", "no idea"), (1.0, 0.0)) for i in range(4)]
    assert list(yardsticks(words)) == ["gold reward", "chrF to the best candidate"]
    assert words[0].reference == "boil it"
    code = Choice("f", ("def f(): return 1", "def f(): return 2"), (1.0, 0.0), tests="assert f() == 1")
    assert list(yardsticks([code])) == ["tests passed"]
    assert code.reference == "assert f() == 1"
