"""Attention of a step of decoding without repeated keys: query heads that share keys stand side by side.

Transformers' `sdpa` does so too, but not where a step is compiled: there it repeats keys for every query head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from guerdon.hf import unwrap

_GROUPED = "guerdon_grouped"


def _grouped(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention of one token a row.

    Query (rows, heads, 1, width), key and value (rows, heads of keys, length, width); gives (rows, 1, heads, width).
    """
    rows, heads = query.shape[:2]
    side_by_side = query.reshape(rows, key.shape[1], heads // key.shape[1], -1)
    attended = nn.functional.scaled_dot_product_attention(
        side_by_side, key, value, attn_mask=attention_mask, scale=scaling
    )
    return attended.reshape(rows, 1, heads, -1), None


@contextmanager
def grouped_attention(model: nn.Module) -> Iterator[None]:
    """Lets a model that attends by `sdpa` do so without repeated keys, which that does only uncompiled."""
    inner: Any = unwrap(model)
    AttentionInterface.register(_GROUPED, _grouped)
    AttentionMaskInterface.register(_GROUPED, sdpa_mask)
    inner.set_attn_implementation(_GROUPED)
    try:
        yield
    finally:
        inner.set_attn_implementation("sdpa")
