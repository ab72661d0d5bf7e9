from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import DataError, ModelError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.baselines import CrossFittedTfidf, default_baselines
from guerdon.evaluate.systems import saved_folder
from guerdon.rewards.compose import CachedScorer
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.terms import fit_tfidf
from guerdon.types import Comparison, Rating, Scorer


class Saved(LengthReward):
    """A scorer that was loaded from a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        object.__setattr__(self, "folder", folder)


def kind_words(prompts: int, per_prompt: int = 3, seed: int = 0) -> list[Comparison]:
    rng = np.random.default_rng(seed)
    kind, rude, plain = (words.split() for words in ("thanks please gladly", "fool shut idiot", "mill river road hat"))

    def text(words: list[str]) -> str:
        return " ".join(rng.permutation([rng.choice(words), *rng.choice(plain, 4)]))

    return [
        Comparison(prompt=f"p{i}", chosen=text(kind), rejected=text(rude))
        for i in range(prompts)
        for _ in range(per_prompt)
    ]


def random_labels(groups: int, per_group: int) -> list[Comparison]:
    """Each group has its own words and its own, random taste: learnable inside a group, and nowhere else."""
    rng = np.random.default_rng(1)
    rows = []
    for g in range(groups):
        good, bad = rng.permutation([f"left{g}", f"right{g}"])
        rows += [
            Comparison(prompt=f"p{g}", chosen=f"{good} of {i}", rejected=f"{bad} of {i}") for i in range(per_group)
        ]
    return rows


def test_length_both_ways_and_words():
    baselines = default_baselines(kind_words(10))
    assert list(baselines) == ["longest wins", "shortest wins", "TF-IDF (5-fold on this data)"]
    assert baselines["longest wins"] == LengthReward(1)
    assert all(isinstance(baseline, Scorer) for baseline in baselines.values())


def test_the_baseline_that_training_left_is_used(tmp_path):
    rows = kind_words(10)
    trained = fit_tfidf(rows)
    trained.save(tmp_path / "baseline")
    baselines = default_baselines(rows, {"mine": Saved(tmp_path)})
    texts = [rows[0].chosen, rows[0].rejected]
    assert list(baselines)[-1] == "TF-IDF (same training data)"
    np.testing.assert_array_equal(
        baselines["TF-IDF (same training data)"].score(texts, texts), trained.score(texts, texts)
    )
    assert "TF-IDF (5-fold on this data)" in default_baselines(rows, {"mine": Saved(tmp_path / "elsewhere")})


def test_two_models_bring_their_own_baselines(tmp_path):
    rows = kind_words(10)
    systems = {name: Saved(tmp_path / name / "model") for name in ("left", "right")}
    for system in systems.values():
        fit_tfidf(rows).save(system.folder / "baseline")
    names = list(default_baselines(rows, {**systems, "rule": LengthReward()}))
    assert names[2:] == ["TF-IDF (training data of left)", "TF-IDF (training data of right)"]


def test_the_folder_of_a_wrapped_scorer_is_found(tmp_path):
    assert saved_folder(CachedScorer(Saved(tmp_path))) == tmp_path
    assert saved_folder(LengthReward()) is None


def test_a_broken_baseline_of_the_model_is_an_error(tmp_path):
    (tmp_path / "baseline").mkdir()
    with pytest.raises(ModelError, match="baseline has no guerdon.json"):
        default_baselines(kind_words(3), {"mine": Saved(tmp_path)})


def test_cross_fitting_learns_what_carries_over():
    rows = kind_words(30)
    evaluation = evaluate_reward({"model": CrossFittedTfidf(rows)}, rows, baselines={}, resamples=10)
    assert evaluation.sections[0].overall.models[0].metrics["accuracy"].point > 0.95


def test_cross_fitting_sees_nothing_of_its_own_group():
    rows = random_labels(groups=40, per_group=6)
    evaluation = evaluate_reward(
        {"model": fit_tfidf(rows)}, rows, baselines={"cross-fitted": CrossFittedTfidf(rows)}, resamples=10
    )
    peeking, honest = evaluation.sections[0].overall.systems
    assert peeking.metrics["accuracy"].point == 1
    assert honest.metrics["accuracy"].point < 0.7


def test_a_shared_response_is_not_scored_by_a_fit_that_saw_it():
    # Two groups judge the same pair of responses of one prompt; a fit on either would know the other's answer.
    rows = [
        Comparison(prompt="p", chosen=f"是{i}", rejected=f"否{i}", group=group)
        for group in ("a", "b")
        for i in range(3)
    ]
    rows += kind_words(20)
    rewards = CrossFittedTfidf(rows).score(["p", "p"], ["是0", "否0"])
    assert rewards[0] == pytest.approx(rewards[1], abs=1e-6)


def test_only_known_responses_have_a_reward():
    rows = kind_words(10)
    rewards = CrossFittedTfidf(rows).score(["p0", "p0", "p1"], [rows[0].chosen, "unheard of", rows[0].chosen])
    assert np.isnan(rewards).tolist() == [False, True, True]
    assert rewards.dtype == np.float32


def test_one_prompt_is_divided_by_judgement():
    rows = [
        Rating(prompt="p", response=f"{'kind' if i % 2 else 'ugly'} {i}", scores={"score": i % 2}) for i in range(40)
    ]
    rewards = CrossFittedTfidf(rows).score(["p"] * 40, [row.response for row in rows])
    assert rewards[1::2].min() > rewards[::2].max()
    assert 0.3 < rewards.mean() < 0.7


def test_too_few_rows_leave_tfidf_out_and_say_so(caplog):
    with caplog.at_level(logging.WARNING):
        baselines = default_baselines(kind_words(1, per_prompt=1))
    assert list(baselines) == ["longest wins", "shortest wins"]
    assert "No TF-IDF baseline" in caplog.text
    with pytest.raises(DataError, match="at least 2 judgements"):
        CrossFittedTfidf(kind_words(1, per_prompt=1))


def test_responses_without_a_word_leave_tfidf_out_and_say_so(caplog):
    rows = [Comparison(prompt=f"p{number}", chosen=" ", rejected="") for number in range(5)]
    assert list(default_baselines(rows)) == ["longest wins", "shortest wins"]
    assert "not a word in 10 responses" in caplog.text
