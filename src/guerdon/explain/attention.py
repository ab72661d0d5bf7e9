"""Where a transformer looks: attention from the position that the score is read at, by layer and head, and its rollout.

    rollout = product over layers of (mean over heads of A + I) / 2        (Abnar & Zuidema 2020, arXiv:2005.00928)

Attention says what is mixed into a position, not what that does to the score: it has no sign, and a token that is read
much may change nothing. docs/explain.md measures it beside attribution.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.errors import ModelError
from guerdon.explain.tokens import READS, tokenized
from guerdon.explain.units import Unit, sum_onto
from guerdon.metrics import Floats
from guerdon.types import Prompt

if TYPE_CHECKING:
    from guerdon.rewards.transformer import TransformerReward


@dataclass(frozen=True, slots=True, eq=False)
class AttentionPaid:
    """The attention that the position of the score pays to each token of a text."""

    units: tuple[Unit, ...]
    """The tokens of prompt and response; special tokens are left out."""
    heads: Floats
    """Shape (layers, heads, tokens)."""
    rollout: Floats
    """Shape (tokens,)."""
    special: float
    """The share of the rollout that special tokens get."""

    def onto(self, units: Sequence[Unit], *, layer: int | None = None, head: int | None = None) -> Floats:
        """The rollout, or the attention of a layer (mean over heads) or of one head, summed over coarser units."""
        values = self.rollout
        if layer is not None:
            values = self.heads[layer].mean(axis=0) if head is None else self.heads[layer, head]
        return sum_onto(values, self.units, units)


def attention_paid(reward: TransformerReward, prompt: Prompt, response: str) -> AttentionPaid:
    """Computes a text once with its attention, and reads it at the position that the score is read at.

    Args:
        reward: a trained model. Its implementation of attention is `eager` meanwhile: others give no weights.
        prompt: the prompt.
        response: the response.

    Raises:
        ModelError: the model gives no attention.
    """
    import torch

    text, net = tokenized(reward, prompt, response), reward.net
    given = {name: tensor for name, tensor in text.batch.items() if name not in READS}
    with reward.in_force(), _eager(net.classifier), torch.no_grad():
        net.eval()
        found: Any = net.model(**given, output_attentions=True)
    layers = [layer[0].double().cpu().numpy() for layer in found.attentions or () if layer is not None]
    if not layers:
        raise ModelError(f"{type(net.classifier).__name__} gives no attention weights")
    places = None if reward.contract.pooling == "mean" else [0]
    if reward.contract.pooling in ("last", "steps"):
        places = text.batch["column"].tolist()
    heads = np.stack([_read(layer, places) for layer in layers])
    mixed = np.eye(layers[0].shape[-1])
    for layer in layers:
        step = (layer.mean(axis=0) + np.eye(layer.shape[-1])) / 2
        mixed = step / step.sum(axis=1, keepdims=True) @ mixed
    rollout = _read(mixed[None], places)[0]
    where = [place for place, unit in enumerate(text.units) if unit is not None]
    units = tuple(unit for unit in text.units if unit is not None)
    return AttentionPaid(units, heads[:, :, where], rollout[where], float(rollout.sum() - rollout[where].sum()))


def _read(attention: np.ndarray, places: list[int] | None) -> Floats:
    """The mean row of (heads, queries, keys) over the places at which the score is read; None is all of them."""
    return np.asarray((attention if places is None else attention[:, places]).mean(axis=1))


@contextmanager
def _eager(model: Any) -> Iterator[None]:
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)
