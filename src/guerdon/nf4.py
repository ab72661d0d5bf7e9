"""Frozen linear layers in 4 bits: the NormalFloat of QLoRA (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes.

A layer of n weights takes 0.516 n bytes: 4 bits each, a scale of 8 bits to 64 of them, and a float32 to 256 scales. It
computes with the rounded weights. An adapter that learnt on them is loaded on ordinary layers with the same rounded
weights (`modeling_guerdon.round_base`), which are faster, and into which it can be merged.
"""

from __future__ import annotations

import logging
import sys
from typing import Any

import torch
from torch import nn

from guerdon.errors import ConfigError, MissingExtraError
from guerdon.modeling_guerdon import NF4, backbone_linears, rounding_device

logger = logging.getLogger(__name__)


def bitsandbytes() -> Any:
    """The package. Raises MissingExtraError."""
    try:
        import bitsandbytes as package
    except ImportError as error:
        raise MissingExtraError("A base in 4 bits", "bitsandbytes", "nf4") from error
    return package


def quantize(model: Any, compute_dtype: torch.dtype) -> None:
    """Replaces the linear layers of a classifier's backbone, which is on the CPU, by frozen ones in 4 bits there.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
        ConfigError: the backbone has no such layers.
    """
    package = bitsandbytes()
    matrices = sum(weight.numel() for weight in model.parameters() if weight.dim() > 1)
    embedded = sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Embedding))
    places, rounded = list(backbone_linears(model)), 0
    for parent, name in places:  # layer by layer, so that no two copies of the model are in memory
        layer = getattr(parent, name)
        frozen = package.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=False,
            compute_dtype=compute_dtype,
            quant_type="nf4",
            device="meta",
        )
        frozen.weight = package.nn.Params4bit(layer.weight.data, requires_grad=False, **NF4)
        frozen.bias = layer.bias
        frozen.support_avx512bf16_for_cpu = False  # else it reorders its weights, and fails at 32 inputs
        frozen = frozen.to(rounding_device()).to("cpu")
        frozen.weight.quant_state.dtype = compute_dtype  # what the backward pass makes of a weight
        rounded += layer.weight.numel()
        setattr(parent, name, frozen)
    name = type(model).__name__
    if not rounded:
        raise ConfigError(
            f"--base-dtype nf4 rounds layers of the kind nn.Linear, and {name} has none. Fix: --base-dtype bfloat16"
        )
    if rounded < 0.9 * (matrices - embedded):
        logger.warning(
            "--base-dtype nf4 rounds layers of the kind nn.Linear, which hold %.0f%% of the weights of %s; the others "
            "stay in bfloat16, so that it takes more memory than docs/scale.md says",
            100 * rounded / (matrices - embedded), name,
        )  # fmt: skip


def dequantize(model: nn.Module) -> None:
    """Replaces linear layers in 4 bits by ordinary ones with their rounded weights, in float32; other layers stay."""
    package: Any = sys.modules.get("bitsandbytes")
    if package is None:  # then there are none
        return
    frozen: list[tuple[nn.Module, str, Any]] = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, package.nn.Linear4bit)
    ]
    for parent, name, layer in frozen:
        layer.weight.quant_state.dtype = torch.float32
        plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        weight = package.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        plain.weight = nn.Parameter(weight, requires_grad=False)
        plain.bias = layer.bias
        setattr(parent, name, plain)
