"""Attention over rows of whole texts, as training computes them: without a mask where none is needed.

A mask keeps the fast attention kernels of a GPU away. It is not needed where rows are padded on the right (a causal
model never reads what comes later), nor where texts stand one behind the other without padding (the packed layout of
`guerdon.collation`): there each piece of a row is given the keys that it reads, and variable-length attention does the
rest. Registered with Transformers by its `AttentionInterface`, for models with full causal attention alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NAME = "guerdon_rows"
"""What Transformers knows this attention by."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Pieces of texts, one behind the other in a single row, and the keys that each of them reads.

    Piece i has the queries `query_starts[i]` to `query_starts[i + 1]`; its keys are those at the places
    `keys[key_starts[i] : key_starts[i + 1]]` of the row, of which its own tokens are the last.
    """

    query_starts: Tensor
    """int32, shape (pieces + 1,)."""
    key_starts: Tensor
    """int32, shape (pieces + 1,)."""
    longest_query: int
    longest_key: int
    keys: Tensor | None = None
    """Shape (all keys,); None where every piece reads itself alone."""


def packs(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the packed layout is computed fast: by PyTorch's variable-length attention, on NVIDIA from Ampere on."""
    if device.type != "cuda" or dtype not in (torch.bfloat16, torch.float16):
        return False
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    known = inspect.signature(varlen_attn).parameters.keys() >= {"window_size", "enable_gqa", "scale"}
    return known and torch.cuda.get_device_capability(device) >= (8, 0)


@contextmanager
def unmasked(model: PreTrainedModel) -> Iterator[None]:
    """Lets a model with full causal attention compute by this module, its rows being padded on the right if at all."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)  # no mask is registered by this name: Transformers makes none
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    packed: Packed | None = None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """What Transformers asks of an attention: heads (rows, heads, length, size) to (rows, length, heads, size).

    Packed rows have no attention dropout, and the model neither a window nor a bias of positions.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if packed is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
    dtype = value.dtype  # rotary embeddings leave queries and keys in float32 under autocast
    q, k, v = (one.squeeze(0).transpose(0, 1).to(dtype) for one in (query, key, value))
    if packed.keys is not None:
        k, v = k.index_select(0, packed.keys), v.index_select(0, packed.keys)
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    return _attend_pieces(q, k, v, packed, scale).unsqueeze(0), None


def _attend_pieces(q: Tensor, k: Tensor, v: Tensor, packed: Packed, scale: float) -> Tensor:
    """Causal attention of every piece, aligned at its last token; shapes (tokens, heads, size)."""
    if not q.is_cuda:
        bounds = zip(packed.query_starts.tolist(), packed.key_starts.tolist(), strict=True)
        return _piece_by_piece(q, k, v, list(bounds), scale)
    from torch.nn.attention.varlen import varlen_attn

    found = varlen_attn(
        q,
        k,
        v,
        packed.query_starts,
        packed.key_starts,
        packed.longest_query,
        packed.longest_key,
        scale=scale,
        window_size=(-1, 0),  # causal
        enable_gqa=q.shape[1] != k.shape[1],
    )
    assert isinstance(found, Tensor)
    return found


def _piece_by_piece(q: Tensor, k: Tensor, v: Tensor, bounds: list[tuple[int, int]], scale: float) -> Tensor:
    found = []
    for (query, key), (query_stop, key_stop) in pairwise(bounds):
        queries, keys = query_stop - query, key_stop - key
        sees = torch.ones(queries, keys, dtype=torch.bool, device=q.device).tril(keys - queries)
        parts = (q[query:query_stop], k[key:key_stop], v[key:key_stop])
        own_q, own_k, own_v = (part.transpose(0, 1)[None] for part in parts)
        read = scaled_dot_product_attention(own_q, own_k, own_v, attn_mask=sees, scale=scale, enable_gqa=True)
        found.append(read[0].transpose(0, 1))
    return torch.cat(found)
