"""Where a score reads the first token alone, the last layer computes that one, and the score stays as it was."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from guerdon.hf import Lora
from guerdon.packing import collate_padded
from guerdon.rewards.reward_net import prepare_first_token
from guerdon.rewards.transformer import TransformerReward

Texts = tuple[list[Any], list[str]]


@pytest.fixture(params=["tiny_bert", "tiny_roberta"])
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many positions the feed-forward network of each layer got."""
    seen: list[int] = []

    def watch(module: torch.nn.Module, given: Any, _: Any) -> None:
        if type(module).__name__.endswith("Intermediate"):
            seen.append(given[0].shape[1])

    handle = torch.nn.modules.module.register_module_forward_hook(watch)
    yield seen
    handle.remove()


def batch_of(reward: TransformerReward, texts: Texts, **options: Any) -> Any:
    return collate_padded(reward.encode(*texts).tokens, pad_id=0, positions=False, **options)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_score_is_that_of_the_whole_layer(
    name: str, attention: str, texts: Texts, computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reward = TransformerReward.create(name, pooling="native")
    reward.net.classifier.set_attn_implementation(attention)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)  # so that nothing is left to rounding
    reward.net.double().eval()
    batch = batch_of(reward, texts)
    whole = reward.net(**batch).detach()  # with gradients, as in training
    length = batch["input_ids"].shape[1]
    assert set(computed) == {length}
    computed.clear()
    with torch.no_grad():
        short = reward.net(**batch)
    assert computed[-1] == 1
    assert set(computed[:-1]) <= {length}
    assert whole.dtype == torch.float64
    torch.testing.assert_close(short, whole, rtol=0, atol=1e-12)


def test_what_reads_every_token_gets_every_token(name: str, texts: Texts, computed: list[int]) -> None:
    reward = TransformerReward.create(name, pooling="native")
    reward.net.eval()
    with torch.no_grad():
        batch = batch_of(reward, texts)
        reward.net.classifier(batch["input_ids"], batch["attention_mask"])  # not through the reward
        reward.net.pooling = "mean"
        reward.net(**batch)
    assert 1 not in computed


def test_copies_and_adapters_compute_with_their_own_weights(name: str, texts: Texts) -> None:
    reward = TransformerReward.create(name, pooling="native", lora=Lora(rank=2))
    reward.net.eval()
    twin = copy.deepcopy(reward.net)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    batch = batch_of(reward, texts)
    for net in (reward.net, twin):
        with torch.no_grad():
            short = net(**batch)
        torch.testing.assert_close(short, net(**batch).detach(), rtol=0, atol=1e-5)
    with torch.no_grad():
        assert not torch.allclose(twin(**batch), reward.net(**batch))


def test_decoders_are_left_alone(tiny_llama: str) -> None:
    assert not prepare_first_token(TransformerReward.create(tiny_llama).net.classifier)
