"""Readings, environment, exact return, and the whole of it: each by an independent computation or on a toy."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import guerdon
from guerdon import losses
from guerdon.cli.main import main
from guerdon.errors import ConfigError, DataError
from guerdon.rewards.early_judge import chunk_ends
from guerdon.rewards.embedding import ReadFeatures, text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.judge_config import JudgeConfig
from guerdon.train.judge_environment import EXTRAS, READ_ON, JudgeEnvironment
from guerdon.train.judge_readings import PreparedReadings, Readings
from guerdon.train.judge_run import TrainedJudge, stops_at, train_judge
from guerdon.types import Comparison

FILLER = ["the", "answer", "is", "water", "this", "one", "of", "solar", "system", "planet", "numbers", "egg"]


def toy_rows(count: int, seed: int = 0) -> list[Comparison]:
    """The second word tells which is better; what follows is filler."""
    rng = random.Random(seed)

    def response(word: str) -> str:
        return " ".join([rng.choice(FILLER), word, *rng.choices(FILLER, k=rng.randint(4, 16))])

    return [
        Comparison(prompt=f"boil egg {i % 12}", chosen=response("polite"), rejected=response("rude"))
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def prepared(tiny_bert) -> PreparedReadings:
    return PreparedReadings.of(
        ReadFeatures(text_encoder(str(tiny_bert), "cpu")), JudgedResponses.of(toy_rows(24), "pairs"), 4
    )


def test_readings_are_what_the_reward_says_of_each_beginning(prepared) -> None:
    judged, readings = JudgedResponses.of(toy_rows(24), "pairs"), prepared.readings
    weights = np.random.default_rng(0).normal(size=readings.values.shape[1])
    reward, found = prepared.reward(weights), readings.differences(weights)
    for pair in (0, 5, 23):
        texts = [judged.responses[side[pair]] for side in (judged.better, judged.worse)]
        ends = [chunk_ends(text, 4) for text in texts]
        assert readings.last[pair] == max(len(one[0]) for one in ends) - 1
        for chunk in range(readings.last[pair] + 1):
            at = [min(chunk, len(one[0]) - 1) for one in ends]
            sofar = [text[: one[0][k]] for text, one, k in zip(texts, ends, at, strict=True)]
            scores = reward.score([judged.prompts[judged.better[pair]]] * 2, sofar)
            assert found[pair, chunk] == pytest.approx(scores[0] - scores[1], rel=1e-4, abs=1e-4)
            words = sum(one[1][k] for one, k in zip(ends, at, strict=True))
            assert readings.share[pair, chunk] == pytest.approx(words / sum(one[1][-1] for one in ends))


def softmax(logits) -> np.ndarray:
    return np.exp(logits) / np.exp(logits).sum()


def test_exact_return_is_what_the_environment_pays_on_average(prepared) -> None:
    """Every way through the environment is walked, and weighed by the policy's probability of it."""
    readings: Readings = prepared.readings.of(np.array([3]))
    rng = np.random.default_rng(1)
    differences, q, cost = rng.normal(size=readings.share.shape), rng.normal(size=readings.share.shape), 0.3
    for target in (1.0, 0.7):
        readings.target[:] = target
        expected, reached = 0.0, 1.0
        for stop in range(readings.last[0] + 1):
            d = differences[0, stop]
            logits = np.array([q[0, stop], d / 2, -d / 2])
            odds = softmax(logits) if stop < readings.last[0] else np.array([0, *softmax(logits[1:])])
            for better in (True, False):
                environment = JudgeEnvironment(readings, cost=cost)
                environment.reset(seed=0)
                total = 0.0
                for _ in range(stop):
                    _, rewards, over, *_ = environment.step(np.array([READ_ON]))
                    assert not over[0]
                    total += rewards[0]
                action = 1 if better != environment._swapped[0] else 2
                _, rewards, over, *_ = environment.step(np.array([action]))
                assert over[0]
                expected += reached * odds[1 if better else 2] * (total + rewards[0])
            reached *= odds[0]
        found = losses.early_stopping_return(
            torch.from_numpy(differences),
            torch.from_numpy(q),
            torch.from_numpy(readings.last),
            torch.from_numpy(readings.target),
            torch.from_numpy(cost * np.diff(readings.share, axis=1, append=1.0)),
        )
        assert found.item() == pytest.approx(expected)


def test_log_score_after_reading_all_is_bradley_terry() -> None:
    d = torch.tensor([[0.3, 2.0], [1.0, -4.0]], dtype=torch.float64)
    preference = torch.tensor([1.0, 0.8], dtype=torch.float64)
    never = torch.full_like(d, 1e3)
    found = losses.early_stopping_return(d, never, torch.tensor([1, 1]), preference, torch.zeros_like(d), scoring="log")
    expected = -losses.bradley_terry(d[:, 1], torch.zeros(2, dtype=torch.float64), preference=preference)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("scoring", ["agreement", "log", "brier"])
def test_return_is_swap_consistent_and_finite_far_out(scoring) -> None:
    d = torch.tensor([[1e4, -1e4], [0.5, 0.1]], dtype=torch.float64, requires_grad=True)
    q, cost = torch.tensor([[1.0, 0.0], [-2.0, 0.0]], dtype=torch.float64), torch.full((2, 2), 0.1)
    last, y = torch.tensor([1, 1]), torch.tensor([1.0, 0.6], dtype=torch.float64)
    found = losses.early_stopping_return(d, q, last, y, cost, scoring=scoring, entropy=0.1)
    torch.testing.assert_close(
        found, losses.early_stopping_return(-d, q, last, 1 - y, cost, scoring=scoring, entropy=0.1)
    )
    found.sum().backward()
    assert d.grad.isfinite().all()


def test_agreement_with_entropy_is_best_at_its_stated_difference() -> None:
    """d = (2 y - 1) / entropy, found by looking."""
    d = torch.linspace(-12, 12, 4801, dtype=torch.float64)[:, None]
    rest = torch.zeros(len(d), dtype=torch.int64), torch.full((len(d),), 0.8, dtype=torch.float64)
    found = losses.early_stopping_return(d, torch.zeros_like(d), *rest, torch.zeros_like(d), entropy=0.1)
    assert d[found.argmax()].item() == pytest.approx(6.0, abs=0.01)


def test_environment_deals_each_pair_once_a_round_in_both_orders(prepared) -> None:
    environment = JudgeEnvironment(prepared.readings, num_envs=8)
    assert environment.reset(seed=3)[0].shape == environment.observation_space.shape
    seen, swapped = [], []
    for _ in range(6):
        seen += environment._pair.tolist()
        swapped += environment._swapped.tolist()
        _, rewards, over, *_ = environment.step(np.ones(8, dtype=int))
        assert over.all()
        assert set(rewards) <= {0.0, 1.0}
        _, rewards, over, *_ = environment.step(np.ones(8, dtype=int))  # not read: the next episode begins
        assert not over.any()
        assert not rewards.any()
    assert sorted(seen) == sorted([*range(24)] * 2)
    assert 8 < sum(swapped) < 40
    width = prepared.readings.values.shape[1]
    observation = environment._observations()
    assert observation[:, -EXTRAS].tolist() == [1.0] * 8
    first = np.where(
        environment._swapped,
        prepared.readings.worse[environment._pair, 0],
        prepared.readings.better[environment._pair, 0],
    )
    np.testing.assert_allclose(observation[:, :width], prepared.readings.values[first], rtol=1e-6)


def test_reading_on_behind_the_end_is_no_answer_and_earns_nothing(prepared) -> None:
    environment = JudgeEnvironment(prepared.readings, num_envs=1, cost=0.5)
    environment.reset(seed=0)
    total, over = 0.0, np.array([False])
    steps = 0
    while not over[0]:
        _, rewards, over, *_ = environment.step(np.array([READ_ON]))
        total, steps = total + rewards[0], steps + 1
    pair = environment._pair[0]
    assert steps == prepared.readings.last[pair] + 1
    assert total == pytest.approx(-0.5 * (1 - prepared.readings.share[pair, 0]))


@pytest.fixture(scope="module")
def trained(tiny_bert, tmp_path_factory) -> tuple[TrainedJudge, Path]:
    folder = tmp_path_factory.mktemp("judge")
    config = JudgeConfig(encoder=str(tiny_bert), chunk_words=2, folds=2, device="cpu")
    return train_judge(toy_rows(160), folder, config), folder


def test_judge_learns_where_to_stop_and_judges_unseen_prompts(trained) -> None:
    found, folder = trained
    assert found.chosen is not None
    assert found.chosen.accuracy.point > 0.9
    assert found.chosen.unread > 0.6
    fresh = toy_rows(60, seed=9)
    texts = [row.prompt for row in fresh], [row.chosen for row in fresh], [row.rejected for row in fresh]
    assert (found.judge.compare(*texts) > 0.5).mean() > 0.9
    assert found.judge.judge(*texts).unread > 0.5
    scorer = guerdon.load_scorer(folder)
    assert (scorer.score(texts[0], texts[1]) > scorer.score(texts[0], texts[2])).mean() > 0.6


def test_rule_of_training_is_the_rule_of_the_judge(trained) -> None:
    judge = trained[0].judge
    judged = JudgedResponses.of(toy_rows(80, seed=1), "pairs")
    readings = PreparedReadings.of(judge.reward.features, judged, 2).readings
    whole = [judged.responses[i] for i in judged.better], [judged.responses[i] for i in judged.worse]
    prompts = [judged.prompts[i] for i in judged.better]
    found = judge.judge(prompts, *whole)
    scores = [judge.reward.score(prompts, [text[: chunk_ends(text, 2)[0][0]] for text in side]) for side in whole]
    first = (scores[0] - scores[1]).astype(float)
    differences = np.tile(first[:, None], readings.share.shape[1])
    at = stops_at(readings, differences, judge.stop_weights)
    at_once = readings.share[np.arange(len(at)), 0] == found.words_read / found.words
    assert (at == 0).tolist() == at_once.tolist()
    np.testing.assert_allclose(found.differences[at_once], first[at_once], atol=1e-5)


def test_one_group_is_refused(tiny_bert) -> None:
    rows = [Comparison(prompt="one", chosen=f"good {i}", rejected=f"rude {i}") for i in range(4)]
    with pytest.raises(DataError, match="all of these are of one group"):
        train_judge(rows, None, JudgeConfig(encoder=str(tiny_bert)))


def test_faults_of_a_configuration_come_at_once() -> None:
    with pytest.raises(ConfigError, match="--chunk-words must be above 0.*--folds must be at least 2.*--scoring log"):
        JudgeConfig(chunk_words=0, folds=1, algorithm="ppo", scoring="log")


def test_command_writes_what_the_function_writes(tiny_bert, tmp_path, capsys) -> None:
    data = tmp_path / "data.jsonl"
    rows = [{"prompt": row.prompt, "chosen": row.chosen, "rejected": row.rejected} for row in toy_rows(60)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    options = ["--encoder", str(tiny_bert), "--folds", "2", "--device", "cpu"]
    assert main(["judge", str(data), "--out", str(tmp_path / "a"), *options]) == 0
    text = capsys.readouterr().out
    assert "60 pairs of 12 groups" in text
    assert f"--also early:{tmp_path / 'a'}" in text
    guerdon.train_judge(data, tmp_path / "b", JudgeConfig(encoder=str(tiny_bert), folds=2, device="cpu"))
    for name in ("guerdon.json", "early_judge.json", "linear.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert main(["evaluate", str(tmp_path / "a"), str(data), "--also", f"early:{tmp_path / 'a'}"]) == 0
    assert "early:" in capsys.readouterr().out
