from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import guerdon
from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.repair import RepairConfig, repair_lines, repair_reward
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.transformer import TransformerReward
from guerdon.types import Comparison, Ranking


def comparisons(count: int = 120, seed: int = 0) -> list[Comparison]:
    """`good` wins, mostly; lengths are drawn, and people prefer the longer a little more often."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        words = ["Good sense. " * int(rng.integers(1, 9)), "Bad sense. " * int(rng.integers(1, 9))]
        chosen, rejected = words if rng.random() < 0.9 else words[::-1]
        rows.append(Comparison(prompt=f"Question {i}?", chosen=chosen, rejected=rejected))
    return rows


class LikesLength:
    """One point for `good`, and three for each unit of log length; no reward for a text with `mute`."""

    def score(self, prompts, responses, *, references=None) -> np.ndarray:
        values = [("Good" in text) + 3 * np.log1p(len(text)) for text in responses]
        return np.array([np.nan if "mute" in t else v for t, v in zip(responses, values, strict=True)], np.float32)


def test_what_the_reward_has_beyond_people_is_gone_on_other_rows():
    found = repair_reward(LikesLength(), comparisons(), config=RepairConfig(flip_pairs=20))
    excess, accuracy = found.measure("excess"), found.measure("accuracy")
    assert excess.before.low > 0.1
    assert abs(excess.after.point) < 0.3 * excess.before.point
    assert accuracy.change.point > 0
    flips = found.measure("flips")
    assert 0 <= flips.after.point <= 1
    assert 0.3 < found.people_pick_longer < 0.7


def test_a_flat_reward_says_what_it_costs_where_people_like_length():
    rows = [
        replace(row, chosen=max(row.chosen, row.rejected, key=len), rejected=min(row.chosen, row.rejected, key=len))
        for row in comparisons()
    ]
    found = repair_reward(LikesLength(), rows, config=RepairConfig(mode="none", flip_pairs=0))
    assert abs(found.measure("slope").after.point) < 0.2 * found.measure("slope").before.point
    assert any("are the price" in line for line in repair_lines(found))
    assert {one.name for one in found.measures} == {"excess", "slope", "accuracy", "length_balanced"}


def test_a_repaired_reward_is_a_reward_like_any_other(tmp_path):
    model = fit_tfidf(comparisons(seed=1))
    config = RepairConfig(mode="none", formats=True, flip_pairs=0)
    found = guerdon.repair_reward(model, comparisons(), tmp_path / "repaired", config)
    prompts, texts = ["Question?"] * 3, ["Good sense.", "- Bad sense.\n- More.", ""]
    again = guerdon.load_scorer(tmp_path / "repaired")
    np.testing.assert_allclose(again.score(prompts, texts), found.reward.score(prompts, texts), atol=1e-6)
    assert not np.allclose(again.score(prompts, texts), model.score(prompts, texts))
    one_by_one = [float(again.score([p], [t])[0]) for p, t in zip(prompts, texts, strict=True)]
    np.testing.assert_allclose(one_by_one, again.score(prompts, texts), atol=1e-6)
    assert json.loads((tmp_path / "repaired" / "repair.json").read_text(encoding="utf-8")) == found.to_dict()


def test_a_rule_is_loaded_again_by_its_name_and_no_reward_keeps_its_reason(tmp_path):
    repair_reward("longest", comparisons(), tmp_path / "repaired", RepairConfig(flip_pairs=0))
    assert guerdon.load_scorer(tmp_path / "repaired").score(["p"], ["abc"]).shape == (1,)
    found = repair_reward(LikesLength(), comparisons(), config=RepairConfig(flip_pairs=0))
    rewards = score_texts(found.reward, ["p", "p"], ["mute", "Good sense."])
    assert np.isnan(rewards.values[0])
    assert rewards.reasons == ("the scorer gave nan", "")


def test_too_few_pairs_and_bad_options_are_refused():
    with pytest.raises(DataError, match="30 pairs of responses of different lengths"):
        repair_reward("longest", comparisons(20))
    with pytest.raises(ConfigError, match=r"--mode must be one of people, none.*--folds must be 2 or more"):
        RepairConfig(mode="all", folds=1)


def test_a_transformer_is_repaired_saved_and_read_again(tiny_bert: str, tmp_path):
    TransformerReward.create(tiny_bert).save(tmp_path / "model")
    model = guerdon.load_scorer(tmp_path / "model")
    found = repair_reward(str(tmp_path / "model"), comparisons(), tmp_path / "out", RepairConfig(flip_pairs=0))
    prompts, texts = ["Question?"] * 2, ["Good sense.", "Bad sense. Bad sense."]
    again = guerdon.load_scorer(tmp_path / "out")
    np.testing.assert_allclose(again.score(prompts, texts), found.reward.score(prompts, texts), atol=1e-5)
    np.testing.assert_allclose(found.reward.scorer.score(prompts, texts), model.score(prompts, texts), atol=1e-6)


def test_what_could_not_be_loaded_again_is_refused_before_any_work(tmp_path):
    with pytest.raises(ConfigError, match=r"no save\(\) and no name.*Fix: give name="):
        repair_reward(LikesLength(), comparisons(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_responses_that_a_model_would_cut_are_refused_as_elsewhere(tiny_bert: str):
    rows = [replace(row, chosen=row.chosen * 20) for row in comparisons()]
    with pytest.raises(DataError, match="longer|cut"):
        repair_reward(TransformerReward.create(tiny_bert), rows, config=RepairConfig(flip_pairs=0))


def test_a_single_ranking_leaves_nothing_to_measure_on():
    one = Ranking(prompt="p", responses=tuple("Good sense. " * (n + 1) for n in range(9)), scores=tuple(range(9)))
    with pytest.raises(DataError, match="cannot be divided into 2 folds"):
        repair_reward(LikesLength(), [one], config=RepairConfig(flip_pairs=5))


def test_what_is_handed_over_is_fitted_on_all_rows_and_what_is_measured_is_not():
    rows = comparisons(60)
    found = repair_reward(LikesLength(), rows, config=RepairConfig(flip_pairs=0))
    chosen, rejected = ([getattr(row, side) for row in rows] for side in ("chosen", "rejected"))
    prompts = [row.prompt for row in rows]
    margins = found.reward.score(prompts, chosen) - found.reward.score(prompts, rejected)
    longer = np.array([len(a) - len(b) for a, b in zip(chosen, rejected, strict=True)])
    on_all = np.mean((np.sign(margins) * np.sign(longer) > 0)[longer != 0]) - np.mean(longer[longer != 0] > 0)
    assert abs(on_all) < 1 / 50
    assert found.measure("excess").after.point != pytest.approx(on_all, abs=1e-6)
    assert (found.pairs, found.folds, found.clusters) == (60, 5, 60)


def test_other_kinds_of_rows_are_named():
    ranked = [Ranking(prompt=f"r{i}", responses=("x" * 9, "x" * i), scores=(1, 0)) for i in range(1, 9)] * 20
    found = repair_reward(LikesLength(), [*comparisons(), *ranked], config=RepairConfig(flip_pairs=0))
    assert (found.kind, found.other_kinds) == ("comparisons", ("rankings",))
    assert "Only the comparisons were read; rankings took no part." in repair_lines(found)
