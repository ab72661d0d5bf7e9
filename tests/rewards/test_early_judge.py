from __future__ import annotations

import json

import numpy as np
import pytest

from guerdon.errors import ContractError
from guerdon.metrics import Calibration
from guerdon.rewards.early_judge import STOP_FEATURES, EarlyJudge, chunk_ends, stop_features
from guerdon.rewards.embedding import ReadFeatures, text_encoder
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.load import ScorerConfig, load_scorer
from guerdon.rewards.scoring import score_texts
from guerdon.types import Comparer, Scorer


def reward_of(folder) -> LinearReward:
    features = ReadFeatures(text_encoder(str(folder), "cpu"))
    count = len(features.names())
    rng = np.random.default_rng(0)
    deviation = np.full(count, 0.1)
    return LinearReward(features, rng.normal(size=count) / 20, mean=np.zeros(count), deviation=deviation)


@pytest.fixture(scope="module")
def reward(tiny_bert) -> LinearReward:
    return reward_of(tiny_bert)


A = ["Put it into boiling water for eight minutes, then cool it.", "I do not know.", "", "把鸡蛋放进开水里煮八分钟。"]
B = [
    "I do not know the answer, sorry.",
    "Jupiter is the largest planet of the solar system.",
    "polite",
    "对不起，我不知道。",
]
PROMPTS = ["How do I boil an egg?"] * 4


def test_chunks_end_between_words_and_the_last_at_the_end() -> None:
    assert chunk_ends("One two three, four five.", 2) == ([8, 20, 25], [2, 4, 5])
    assert chunk_ends("煮八分钟。", 3) == ([3, 5], [3, 4])
    assert chunk_ends("", 2) == ([0], [0])
    assert chunk_ends("One two", 2) == ([7], [2])


@pytest.mark.parametrize("weights", [(0.4, -0.2, 0.1, 0.2, 0, 0, 0), (0.9, 0, 0, -0.6, 0.1, 0, 0.05)])
def test_answers_are_those_of_the_rule_pair_by_pair_and_the_same_in_both_orders(reward, weights) -> None:
    judge = EarlyJudge(reward, weights, chunk_words=3, calibration=Calibration("temperature", scale=2.0))
    found, turned = judge.judge(PROMPTS, A, B), judge.judge(PROMPTS, B, A)
    for i, prompt in enumerate(PROMPTS):
        ends = [chunk_ends(text, 3) for text in (A[i], B[i])]
        for chunks in range(1, 20):
            at = [min(chunks, len(one[0])) - 1 for one in ends]
            texts = [text[: one[0][k]] for text, one, k in zip((A[i], B[i]), ends, at, strict=True)]
            one, other = score_texts(reward, [prompt] * 2, texts).values.astype(float)
            ended = [k == len(e[0]) - 1 for e, k in zip(ends, at, strict=True)]
            features = stop_features(np.nan_to_num(one - other), np.array(float(chunks)), float(any(ended)))
            q = sum(w * float(f) for w, f in zip(weights, features, strict=True))
            if all(ended) or (
                one == one and other == other and np.logaddexp((one - other) / 2, (other - one) / 2) >= q
            ):
                break
        np.testing.assert_allclose(found.differences[i], one - other, rtol=1e-5, equal_nan=True)
        assert found.words_read[i] == sum(e[1][k] for e, k in zip(ends, at, strict=True))
    np.testing.assert_allclose(found.differences, -turned.differences, atol=1e-6)
    assert found.words_read.tolist() == turned.words_read.tolist()
    probabilities = judge.compare(PROMPTS, A, B)
    assert np.isnan(probabilities).tolist() == [False, False, True, False]  # the empty response cannot be read
    np.testing.assert_allclose((probabilities + judge.compare(PROMPTS, B, A))[[0, 1, 3]], 1, atol=1e-6)
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-found.differences / 2)), rtol=1e-5)
    one_by_one = np.concatenate([judge.compare(PROMPTS[:1], A[i : i + 1], B[i : i + 1]) for i in range(4)])
    np.testing.assert_allclose(one_by_one, probabilities, atol=1e-5)


def test_reads_all_or_only_the_first_chunk(reward) -> None:
    prompts, a, b = PROMPTS[:2], A[:2], B[:2]
    never = EarlyJudge(reward, [1e6, 0, 0, 0, 0, 0, 0], chunk_words=2).judge(prompts, a, b)
    assert never.unread == 0
    scores = [score_texts(reward, prompts, side).values for side in (a, b)]
    np.testing.assert_allclose(never.differences, scores[0] - scores[1], atol=1e-5)
    at_once = EarlyJudge(reward, [-1e6, 0, 0, 0, 0, 0, 0], chunk_words=2).judge(prompts, a, b)
    assert at_once.words_read.tolist() == [4, 4]
    assert at_once.unread == 1 - 8 / at_once.words.sum()


def test_what_cannot_be_read_has_no_verdict(reward) -> None:
    judge = EarlyJudge(reward, [-1e6, 0, 0, 0, 0, 0, 0], chunk_words=2)
    assert np.isnan(judge.compare(["How?"], ["ЖЩЮ ЖЩЮ ЖЩЮ"], ["good"])).all()


def test_folder_is_a_scorer_and_by_its_other_name_a_comparer(reward, tmp_path) -> None:
    judge = EarlyJudge(reward, np.arange(7) / 7, chunk_words=3, calibration=Calibration("temperature", scale=3.0))
    judge.save(tmp_path / "judge")
    scorer, again = load_scorer(tmp_path / "judge"), ScorerConfig(name=f"early:{tmp_path / 'judge'}").load_system()
    assert isinstance(scorer, Scorer)
    assert isinstance(again, Comparer)
    assert not isinstance(again, Scorer)
    np.testing.assert_array_equal(scorer.score(PROMPTS, A), reward.score(PROMPTS, A))
    np.testing.assert_array_equal(again.compare(PROMPTS, A, B), judge.compare(PROMPTS, A, B))
    assert {path.suffix for path in (tmp_path / "judge").rglob("*") if path.is_file()} <= {".json", ".safetensors"}


def test_folder_that_does_not_say_when_to_stop_is_refused(reward, tmp_path) -> None:
    EarlyJudge(reward, np.zeros(7), chunk_words=3).save(tmp_path)
    file = tmp_path / "early_judge.json"
    content = json.loads(file.read_text())
    assert tuple(content["stop_weights"]) == STOP_FEATURES
    file.write_text(json.dumps(content | {"stop_weights": {"1": 0.0}}))
    with pytest.raises(ContractError, match="does not say when an early judge stops"):
        EarlyJudge.load(tmp_path)
    file.unlink()
    with pytest.raises(ContractError, match="guerdon judge writes it"):
        EarlyJudge.load(tmp_path)
