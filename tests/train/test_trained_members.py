"""A reward model that was trained before is a member; what it has learnt from weighs and measures nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guerdon.errors import ConfigError, DataError
from guerdon.rewards.blend import Blend
from guerdon.rewards.load import load_scorer
from guerdon.rewards.terms import fit_tfidf
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import fit_reward
from guerdon.types import Comparison


@pytest.fixture
def rows() -> list[Comparison]:
    """Random words: nothing can be learnt, but a bag of words remembers; the longer response was preferred in 70%."""
    rng = np.random.default_rng(0)

    def text(longer: bool) -> str:
        return " ".join(f"w{number}" for number in rng.integers(9999, size=9 if longer else 6))

    found = []
    for i in range(160):
        better, worse = text(True), text(False)
        if rng.random() < 0.3:
            better, worse = worse, better
        found.append(Comparison(prompt=f"p{i}", chosen=better, rejected=worse))
    return found


def test_rows_that_a_member_learnt_from_weigh_and_measure_nothing(rows: list[Comparison], tmp_path: Path) -> None:
    fit_tfidf(rows[:100]).save(tmp_path / "remembers")
    members = ("longest", str(tmp_path / "remembers"))
    fitted = fit_reward(rows, tmp_path / "model", FitConfig(members=members))
    assert fitted.learnt.tolist() == [True] * 100 + [False] * 60
    assert fitted.judged.agreement(fitted.margins["remembers"][:100], np.arange(100)) > 0.99
    measured = {one.name: one.agreement.point for one in fitted.measured()}
    assert measured["remembers"] < 0.7
    used = dict(zip(fitted.reward.members, fitted.reward.weights, strict=True))
    assert used.get("remembers", 0.0) < used["longest"]
    loaded = load_scorer(tmp_path / "model")
    assert isinstance(loaded, Blend)
    assert loaded.training_prompts is not None
    assert loaded.training_prompts.count == 160


def test_a_member_that_learnt_from_nearly_all_is_refused(rows: list[Comparison], tmp_path: Path) -> None:
    fit_tfidf(rows[:120]).save(tmp_path / "remembers")
    with pytest.raises(DataError, match="all but 40 of 160 judgements"):
        fit_reward(rows, None, FitConfig(members=("longest", str(tmp_path / "remembers"))))


def test_two_members_of_one_name_are_refused(rows: list[Comparison], tmp_path: Path) -> None:
    members = tuple(str(tmp_path / run / "reward") for run in ("one", "two"))
    for place in members:
        fit_tfidf(rows[:40]).save(place)
    with pytest.raises(ConfigError, match="both be called reward"):
        fit_reward(rows, None, FitConfig(members=members))
