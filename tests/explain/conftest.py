"""Rewards to explain: tiny transformers, one that reads its first token and one that reads its last."""

from __future__ import annotations

import pytest

from guerdon.rewards.transformer import TransformerReward


@pytest.fixture(scope="session")
def encoder_reward(tiny_bert: str) -> TransformerReward:
    return TransformerReward.create(tiny_bert)


@pytest.fixture(scope="session")
def decoder_reward(tiny_llama: str) -> TransformerReward:
    return TransformerReward.create(tiny_llama)
