"""LoRA models as training leaves them."""

from __future__ import annotations

import torch

from guerdon.hf import Lora
from guerdon.rewards.transformer import TransformerReward


def trained_lora(
    folder: str,
    attributes: tuple[str, ...] = ("score",),
    lora: Lora = Lora(4),  # noqa: B008  # frozen
) -> TransformerReward:
    """A LoRA model whose adapters and head are not what a fresh one would have."""
    reward = TransformerReward.create(folder, attributes=attributes, lora=lora)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in reward.net.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return reward
