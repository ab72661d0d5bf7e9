"""Frozen linear layers in 4 bits: the NormalFloat of QLoRA (Dettmers et al. 2023, arXiv:2305.14314), by bitsandbytes.

A layer of n weights takes 0.516 n bytes: 4 bits each, a scale of 8 bits to 64 of them, and a float32 to 256 scales. It
computes with the rounded weights. An adapter that learnt on them is loaded on ordinary layers with the same rounded
weights, which are faster, and into which it can be merged.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn

from guerdon.errors import MissingExtraError
from guerdon.modeling_guerdon import NF4, backbone_linears, round_to_nf4, rounding_device


def bitsandbytes() -> Any:
    """The package. Raises MissingExtraError."""
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # else it tells of kernels that only CPUs would need
    try:
        import bitsandbytes as package
    except ImportError as error:
        raise MissingExtraError("A base in 4 bits", "bitsandbytes", "nf4") from error
    return package


def quantize(model: nn.Module, compute_dtype: torch.dtype) -> None:
    """Replaces the linear layers of a classifier's backbone, which is on the CPU, by frozen ones in 4 bits there.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    package = bitsandbytes()
    for parent, name, layer in list(backbone_linears(model)):
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
        setattr(parent, name, frozen.to(rounding_device()).to("cpu"))


def dequantize(model: nn.Module) -> None:
    """Replaces linear layers in 4 bits by ordinary ones with their rounded weights, in float32; other layers stay."""
    frozen: list[tuple[nn.Module, str, Any]] = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer).__name__ == "Linear4bit"
    ]
    for parent, name, layer in frozen:
        weight = bitsandbytes().functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
        plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
        plain.weight = nn.Parameter(weight.float(), requires_grad=False)
        plain.bias = layer.bias
        setattr(parent, name, plain)


def round_weights(model: nn.Module) -> None:
    """Gives the linear layers of a classifier's backbone the weights that they have in 4 bits, as ordinary weights.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    bitsandbytes()
    round_to_nf4(model)
