"""Hidden states of a frozen language model as features: what it makes of a response as it reads it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from guerdon.metrics import Floats
from guerdon.rewards.embedding import EncoderFeatures, TextEncoder, mean_over_tokens
from guerdon.rewards.linear import FeatureMatrix
from guerdon.types import Prompt, prompt_text

_PARTS = ("middle", "end")


class DecoderStates(TextEncoder):
    """A frozen decoder that gives each text the mean of its hidden states in the middle layer, and in the last.

    The middle layer knows more of style and quality, the last more of what comes next. The first token, which takes up
    what attention does not need (Xiao et al. 2023, arXiv:2309.17453), is left out of the mean.
    """

    def __init__(self, name: str, device: str | None, trust_remote_code: bool) -> None:
        """Loads a model by name; use `decoder_states`. Raises ModelError."""
        super().__init__(name, device, trust_remote_code)
        self.width *= len(_PARTS)

    def _token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        first = self.tokenizer.bos_token_id
        found = super()._token_ids(texts)
        return [ids if first is None or ids[:1] == [first] else [first, *ids][: self.max_length] for ids in found]

    def _pooled(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        states = self.model(input_ids=input_ids, attention_mask=mask, output_hidden_states=True).hidden_states
        own = _without_first(mask)
        means = [mean_over_tokens(states[layer], own) for layer in (len(states) // 2, -1)]
        return torch.cat([torch.nn.functional.normalize(mean, dim=1) for mean in means], dim=1)

    def _shares(self, input_ids: Tensor, mask: Tensor) -> Tensor:
        states = self.model(input_ids=input_ids, attention_mask=mask, output_hidden_states=True).hidden_states
        own = _without_first(mask)
        parts = [states[layer].float() * own.unsqueeze(2) for layer in (len(states) // 2, -1)]
        return torch.cat([part / part.sum(dim=1, keepdim=True).norm(dim=2, keepdim=True) for part in parts], dim=2)


def _without_first(mask: Tensor) -> Tensor:
    """The mask without the first token of each row, but for rows that have no other."""
    own = mask.clone()
    own[torch.arange(len(mask)), mask.argmax(dim=1)] = (mask.sum(dim=1) == 1).to(mask.dtype)
    return own


@lru_cache(maxsize=2)
def decoder_states(name: str, device: str | None = None, trust_remote_code: bool = False) -> DecoderStates:
    """The decoder of that name; all who ask for it share it and its vectors."""
    return DecoderStates(name, device=device, trust_remote_code=trust_remote_code)


class DecoderFeatures(EncoderFeatures):
    """The vector of a response by a frozen decoder (see `DecoderStates`). The prompt is not read."""

    kind: ClassVar[str] = "decoder"
    penalties: ClassVar[tuple[float, ...]] = (300.0, 3000.0, 30000.0)
    encoder_is, load_encoder = "decoder", staticmethod(decoder_states)

    def compute(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> FeatureMatrix:
        """The features of n responses, shape (n, width)."""
        vectors = self.encoder.embed(responses)
        return FeatureMatrix(vectors.astype(np.float64), self.encoder.reasons(vectors))

    def located(self, prompt: Prompt, response: str, weights: Floats) -> tuple[Floats, Floats]:
        """Token by token. The prompt is not read: its characters add nothing."""
        return np.zeros(len(prompt_text(prompt))), self.encoder.located(response, weights)

    def names(self) -> list[str]:
        """`middle 0` ..., `end 0` ...."""
        return [f"{part} {i}" for part in _PARTS for i in range(self.encoder.width // len(_PARTS))]
