"""Every objective really learns a toy, to a threshold on texts that training has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon.rewards.load import load_scorer
from guerdon.rewards.transformer import TransformerReward
from guerdon.train.train_run import train_reward_model
from guerdon.types import Comparison, Ranking, Rating, Reference

LOG_ODDS = np.log(0.75 / 0.25)


def transformer(scorer: Any) -> TransformerReward:
    assert isinstance(scorer, TransformerReward)
    return scorer


@pytest.mark.parametrize("name", ["tiny_bert", "tiny_llama", pytest.param("tiny_sliding", marks=pytest.mark.slow)])
def test_bradley_terry(name: str, request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = [Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0)) for _ in range(120)]
    scorer = train_reward_model(rows, tmp_path, quick(request.getfixturevalue(name), epochs=6))
    assert toy.accuracy(scorer, 3, 0) > 0.9
    fresh = [toy.prompt() for _ in range(20)], [toy.response(g) for g in (0, 3) for _ in range(10)]
    assert np.array_equal(load_scorer(tmp_path).score(*fresh), scorer.score(*fresh)), (
        "what is returned is what is saved"
    )
    contract = transformer(scorer).contract
    assert contract.data["rows"] == 120
    assert (tmp_path / "baseline").is_dir()
    assert contract.mean != 0
    assert contract.std > 0


def test_votes_ties_and_margins_set_the_difference(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    """The best difference is the log odds of the votes, plus the margin; of a tie it is 0."""
    rows = [
        row
        for _ in range(80)
        for row in (
            Comparison(
                prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0), preference=0.75, margin=4.0
            ),
            Comparison(prompt=toy.prompt(), chosen=toy.response(1), rejected=toy.response(2), preference=0.5),
        )
    ]
    found = {}
    for scale in (0.0, 0.5):
        config = quick(tiny_bert, epochs=8, margin_scale=scale, learning_rate=2e-3)
        scorer = train_reward_model(rows, tmp_path / str(scale), config)
        found[scale] = toy.difference(scorer, 3, 0).mean()
        assert abs(toy.difference(scorer, 1, 2).mean()) < 0.35
    assert found[0.0] == pytest.approx(LOG_ODDS, abs=0.4)
    assert found[0.5] - found[0.0] == pytest.approx(0.5 * 4.0, abs=1.2)


def test_agreement_sets_the_difference_by_its_entropy(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    """The best difference is (2 p - 1) / entropy: 1 of a share of 0.75 with an entropy of 0.5."""
    rows = [
        Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0), preference=0.75)
        for _ in range(160)
    ]
    config = quick(tiny_bert, epochs=8, objective="agreement", agreement_entropy=0.5, learning_rate=2e-3)
    scorer = train_reward_model(rows, tmp_path, config)
    assert toy.accuracy(scorer, 3, 0) > 0.9
    assert toy.difference(scorer, 3, 0).mean() == pytest.approx(1.0, abs=0.4)


def test_regression_gives_ratings_back_in_their_units(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    grades = [i % 4 for i in range(160)]
    rows = [Rating(prompt=toy.prompt(), response=toy.response(g), scores={"score": 10 + 5.0 * g}) for g in grades]
    scorer = train_reward_model(rows, tmp_path, quick(tiny_bert, epochs=12))
    fresh = scorer.score([toy.prompt() for _ in grades], [toy.response(g) for g in grades])
    truth = 10 + 5.0 * np.array(grades)
    assert np.corrcoef(fresh, truth)[0, 1] > 0.9
    assert np.abs(fresh - truth).mean() < 2.5  # a constant would be off by 5


def test_many_attributes_have_an_output_each(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = [
        Rating(
            prompt=toy.prompt(),
            response=toy.response(i % 4),
            scores={"rudeness": 9.0 - 3.0 * (i % 4)} | ({"praise": 100.0 + (i % 4 >= 2)} if i % 3 else {}),
        )
        for i in range(160)
    ]
    reward = transformer(train_reward_model(rows, tmp_path, quick(tiny_bert, epochs=12)))
    assert reward.contract.attributes == ("praise", "rudeness")
    grades = [i % 4 for i in range(80)]
    fresh = [toy.prompt() for _ in grades], [toy.response(g) for g in grades]
    praise, rudeness = reward.attributes(*fresh).T
    assert np.abs(praise - (100.0 + (np.array(grades) >= 2))).mean() < 0.25
    assert np.abs(rudeness - (9.0 - 3.0 * np.array(grades))).mean() < 1.5
    np.testing.assert_allclose(reward.score(*fresh), (praise + rudeness) / 2, atol=1e-4)


def test_ratings_and_their_pairs_together(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = [
        Rating(prompt=f"boil egg {i // 4}", response=toy.response(i % 4), scores={"score": 10.0 * (i % 4)})
        for i in range(120)
    ]
    reward = transformer(train_reward_model(rows, tmp_path, quick(tiny_bert, objective="both", epochs=10)))
    assert toy.accuracy(reward, 3, 0) > 0.9
    assert reward.score(["boil egg 1"], [toy.response(3)])[0] > 18
    spread = float(np.std([row.scores["score"] for row in rows]))
    assert reward.contract.temperature == pytest.approx(spread), "pairs were fitted in standard units"


def test_comparisons_beside_ratings_score_by_preference(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows: list[Any] = [
        Comparison(prompt=toy.prompt(), chosen=toy.response(3), rejected=toy.response(0)) for _ in range(60)
    ]
    rows += [
        Rating(prompt=toy.prompt(), response=toy.response(i % 4), scores={"tone": i % 4, "worth": 3.0 - i % 4})
        for i in range(60)
    ]
    reward = transformer(train_reward_model(rows, tmp_path, quick(tiny_bert, objective="both", epochs=8)))
    assert reward.contract.attributes == ("preference", "tone", "worth")
    assert reward.contract.weights == (1.0, 0.0, 0.0)
    assert toy.accuracy(reward, 3, 0) > 0.9


@pytest.mark.parametrize("name", ["tiny_bert", pytest.param("tiny_llama", marks=pytest.mark.slow)])
def test_plackett_luce(name: str, request: pytest.FixtureRequest, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = [
        Ranking(prompt=toy.prompt(), responses=tuple(toy.response(g) for g in grades), scores=tuple(map(float, grades)))
        for grades in ([0, 3, 1], [2, 0, 3], [1, 1, 2, 3], [0, 2]) * 20
    ]
    scorer = train_reward_model(rows, tmp_path, quick(request.getfixturevalue(name), batch_size=8, epochs=8))
    for better, worse in ((3, 2), (2, 1), (1, 0)):
        assert toy.accuracy(scorer, better, worse) > 0.8


def test_contrast_with_generated_texts(tiny_bert: str, toy: Any, quick: Any, tmp_path: Path) -> None:
    rows = [
        Reference(prompt=toy.prompt(), reference=toy.response(3), generated=(toy.response(0), toy.response(1)))
        for _ in range(100)
    ]
    scorer = train_reward_model(rows, tmp_path, quick(tiny_bert, contrastive_temperature=0.5, epochs=5))
    assert toy.accuracy(scorer, 3, 1) > 0.9


def test_contrast_with_references_of_other_prompts(
    tiny_llama: str, toy: Any, quick: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Which answer belongs to which question: no response is good by itself, so TF-IDF has nothing to learn."""
    words = ["the", "water", "this", "of"]

    def prompt(topic: str) -> str:
        return " ".join([topic, *toy.rng.choices(words, k=3)])

    def answer(topic: str) -> str:
        return f"{topic} {toy.rng.choice(words)}"

    asked = ["egg", "planet"] * 32
    rows = [Reference(prompt=prompt(topic), reference=answer(topic)) for topic in asked]
    config = quick(tiny_llama, in_batch_negatives=4, epochs=10, batch_size=8)
    scorer = train_reward_model(rows, tmp_path, config)
    prompts = [prompt(topic) for topic in asked]
    own = scorer.score(prompts, [answer(topic) for topic in asked])
    other = scorer.score(prompts, [answer({"egg": "planet", "planet": "egg"}[topic]) for topic in asked])
    assert (own > other).mean() > 0.9
    assert not (tmp_path / "baseline").exists()
    assert "no TF-IDF baseline" in caplog.text
