"""Where a reward that is made stands: where one that is loaded would."""

from __future__ import annotations

import pytest
import torch

from guerdon import hf
from guerdon.hf import Lora
from guerdon.rewards.transformer import TransformerReward


@pytest.mark.parametrize("lora", [None, Lora(2)])
def test_create_follows_the_rule_of_load(lora: Lora | None, tiny_bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By itself on the device that `device_and_dtype` names, elsewhere if asked to, and in float32 wherever it is."""

    def rule(device: str | None, dtype: str) -> tuple[torch.device, torch.dtype]:
        return torch.device(device or "meta"), getattr(torch, dtype)

    monkeypatch.setattr(hf, "device_and_dtype", rule)
    reward = TransformerReward.create(tiny_bert, lora=lora)
    assert {(p.device.type, p.dtype) for p in reward.net.parameters()} == {("meta", torch.float32)}
    assert TransformerReward.create(tiny_bert, lora=lora, device="cpu").device.type == "cpu"
