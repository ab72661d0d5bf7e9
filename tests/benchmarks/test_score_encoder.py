"""What the benchmark of scoring says of the seconds that it took."""

from __future__ import annotations

import numpy as np
import pytest

import score_encoder
from guerdon.rewards.transformer import TransformerReward
from score_encoder import GUERDON, MODEL, TOKENIZER

TEXTS = [("How do I boil an egg?", "Eight minutes" + " in boiling water" * n) for n in range(9)]


def test_ratios_are_those_of_medians_beside_the_best_peer_and_the_longer_part() -> None:
    seconds = {GUERDON: [9.0, 2.0, 1.0], "A": [5.0] * 3, "B": [4.0] * 3, TOKENIZER: [1.6] * 3, MODEL: [0.5] * 3}
    scores = {GUERDON: np.array([1.0, 2.0, 3.0]), "A": np.array([1.0, 2.5, 9.0]), "B": np.array([1.0, 2.0, 3.0])}
    found = score_encoder.result_of(seconds, scores, np.array([True, True, False]), 6e12, 2.0)
    assert found["best_peer"] == "B"
    assert found["over_best_peer"] == 2.0
    assert found["over_longer_part"] == 1.25
    assert found["systems"]["A"]["largest_difference"] == 0.5  # the third is cut
    assert found["systems"][GUERDON]["median"] == 1.5
    assert found["systems"][GUERDON]["share_of_peak"] == pytest.approx(1.5)
    assert "largest_difference" not in found["systems"][MODEL]


def test_the_parts_are_all_of_the_work(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert, overlong="cut")
    reward.tokens_per_batch = 64
    laid = score_encoder.batches_of(reward, TEXTS)
    assert len(laid) > 1
    assert sum(len(batch["row"]) for batch in laid) == len(TEXTS)
    systems = {GUERDON: lambda texts: reward.score(*map(list, zip(*texts, strict=True)))}
    seconds, scores = score_encoder.measured(reward, systems, TEXTS, 2)
    assert set(seconds) == {GUERDON, TOKENIZER, MODEL}
    assert all(len(runs) == 2 and min(runs) > 0 for runs in seconds.values())
    assert scores[GUERDON].shape == (9,)
    np.testing.assert_array_equal(
        [len(one) for one in scores[TOKENIZER].tokens],
        [len(one) for one in reward.encode(*zip(*TEXTS)).tokens],  # noqa: B905
    )


def test_work_grows_with_tokens_and_faster_with_length(tiny_bert: str) -> None:
    reward = TransformerReward.create(tiny_bert)
    # 2 layers, hidden 32, intermediate 64: 8,192 weights a layer
    assert score_encoder.flops(reward, [10]) == 2 * (2 * 8192 * 10 + 4 * 10 * 10 * 32)
    assert score_encoder.flops(reward, [10, 10]) == 2 * score_encoder.flops(reward, [10])
    assert score_encoder.flops(reward, [20]) > 2 * score_encoder.flops(reward, [10])
