"""A causal language model as what is trained: batches of responses to log-probabilities, with gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from guerdon.collation import Tokens, items_of, with_mask
from guerdon.errors import ConfigError
from guerdon.hf import unwrap
from guerdon.packing import batches, reads_shared_rows


@dataclass(frozen=True, slots=True)
class TokenizedGroup:
    """A prompt and responses to it, as token ids; no response is empty."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]


ResponseBatch = dict[str, Tensor]
"""Responses that are computed side by side: the keyword arguments of the backbone, and of each response token:

`row` and `column` of the state that predicts it; `token_ids`, the token itself; `response`, which response of the
batch it belongs to; `position`, where in that response; each of shape (tokens,).
"""
TOKEN_FIELDS = ("row", "column", "token_ids", "response", "position")


def response_batches(
    groups: Sequence[TokenizedGroup], *, budget: int, pad_id: int, shared: bool
) -> Iterator[tuple[list[int], ResponseBatch]]:
    """Cuts responses into batches of at most `budget` padded tokens, longest first, as `guerdon.packing.batches`.

    Yields:
        Which responses these are, counted through all groups, and the batch.
    """
    tokens = [Tokens(group.prompt + response) for group in groups for response in group.responses]
    group_of = [number for number, group in enumerate(groups) for _ in group.responses]
    row_of = [(number, row) for number, group in enumerate(groups) for row in _rows_of(group)]
    packed = batches(tokens, range(len(tokens)), row_of, budget=budget, pad_id=pad_id, shared=shared, positions=True)
    for rows, batch in packed:
        fields: dict[str, list[int]] = {name: [] for name in TOKEN_FIELDS}
        prefixes = [row.prefix for row in rows for _ in row.items]
        ends = zip(items_of(rows), prefixes, batch["row"].tolist(), batch["column"].tolist(), strict=True)
        for number, (item, prefix, row, end) in enumerate(ends):
            ids, prompt = tokens[item].ids, len(groups[group_of[item]].prompt)
            # A token is predicted where the one before it stands: in what the row's sequences share, or behind it.
            before, moved = range(prompt - 1, len(ids) - 1), end - (len(ids) - 1)
            fields["row"] += [row] * len(before)
            fields["column"] += [place if place < prefix else place + moved for place in before]
            fields["token_ids"] += ids[prompt:]
            fields["response"] += [number] * len(before)
            fields["position"] += range(len(before))
        placed = {name: torch.tensor(values, dtype=torch.long) for name, values in fields.items()}
        yield items_of(rows), batch | placed


_ATTENTION = 5e-4
"""What attention to one token more costs, in shares of all else that a token costs (measured with SmolLM2-135M)."""


def _rows_of(group: TokenizedGroup) -> Iterator[int]:
    """In which row each response of a group is computed, one row behind the other.

    A row has its prompt of P tokens once, and attention over its whole length: of S tokens of responses each costs
    (1 + P / S) (1 + a (P + S)), which is least at S = sqrt(P (1 + a P) / a).
    """
    prompt = len(group.prompt)
    most = math.sqrt(prompt * (1 + _ATTENTION * prompt) / _ATTENTION)
    row, filled = 0, 0
    for response in group.responses:
        if filled and filled + len(response) / 2 > most:  # nearer to it without this one
            row, filled = row + 1, 0
        filled += len(response)
        yield row


def _model_inputs(batch: ResponseBatch) -> dict[str, Tensor]:
    """The part of a batch that the model reads."""
    return with_mask({name: value for name, value in batch.items() if name not in TOKEN_FIELDS})


def token_logps(logits: Tensor, token_ids: Tensor, temperature: float = 1.0) -> Tensor:
    """Log softmax(logits / temperature) of the tokens taken, float32, shape (tokens,); 0 is the plain softmax.

    `logits` have shape (tokens, vocabulary), `token_ids` (tokens,).
    """
    scaled = logits.float() if temperature in (0, 1) else logits.float() / temperature
    return -nn.functional.cross_entropy(scaled, token_ids, reduction="none")


def pad_by_response(values: Tensor, batch: ResponseBatch, responses: int, length: int) -> Tensor:
    """Values of tokens, shape (tokens,), as one row a response, shape (responses, length), 0 behind their ends."""
    return values.new_zeros(responses, length).index_put((batch["response"], batch["position"]), values)


class PolicyNet(nn.Module):
    """A causal language model, or a PEFT model around one."""

    def __init__(self, model: nn.Module) -> None:
        """Raises ConfigError for a model that is not a causal language model."""
        super().__init__()
        self.model = model
        if self.language_model.config.is_encoder_decoder:
            raise ConfigError(
                f"{type(self.language_model).__name__} is an encoder-decoder; only causal language models can be "
                "trained. Fix: choose another --policy (best-of-n takes this one)"
            )

    @property
    def language_model(self) -> Any:
        """The Transformers model itself, adapters in place."""
        return unwrap(self.model)

    @property
    def backbone(self) -> Any:
        """What gives hidden states."""
        model = self.language_model
        return getattr(model, model.base_model_prefix)

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP must keep whole; accelerate asks the outermost module."""
        return self.language_model._no_split_modules

    def freeze_below(self, count: int) -> None:
        """Leaves only the last `count` layers to train. Raises ConfigError where the model has no such layers."""
        layers = getattr(self.backbone, "layers", ())
        if not 0 < count <= len(layers):
            raise ConfigError(f"{type(self.language_model).__name__} has {len(layers)} layers; cannot train {count}")
        kept = {id(parameter) for layer in layers[-count:] for parameter in layer.parameters()}
        for parameter in self.model.parameters():
            parameter.requires_grad_(parameter.requires_grad and id(parameter) in kept)

    @property
    def reads_groups(self) -> bool:
        """Whether the prompt of a group of responses may be computed once."""
        return reads_shared_rows(self.backbone, self.language_model.config)

    def forward(self, batch: ResponseBatch, temperature: float = 1.0) -> Tensor:
        """Log-probabilities of the tokens of a batch of responses, float32, shape (tokens,)."""
        _, logits = self.read(batch)
        return token_logps(logits, batch["token_ids"], temperature)

    def read(self, batch: ResponseBatch) -> tuple[Tensor, Tensor]:
        """The state that predicts each token (tokens, hidden), and the logits there (tokens, vocabulary)."""
        model, places = self.language_model, (batch["row"], batch["column"])
        if _plain_head(model):
            # Only where response tokens are predicted: on the prompt the logits cost as much as a third of the model.
            states = self.backbone(**_model_inputs(batch), use_cache=False).last_hidden_state[places]
            return states, model.get_output_embeddings()(states)
        output = model(**_model_inputs(batch), use_cache=False, output_hidden_states=True)
        return output.hidden_states[-1][places], output.logits[places]

    def hidden_states(self, batch: ResponseBatch, layers: Sequence[int]) -> Tensor:
        """The states that predict each token, behind these layers (0: the embeddings), (layers, tokens, hidden)."""
        found = self.backbone(**_model_inputs(batch), use_cache=False, output_hidden_states=True).hidden_states
        return torch.stack([found[layer][batch["row"], batch["column"]] for layer in layers])

    def next_logits(self, **inputs: Any) -> Tensor:
        """Logits of the token that follows the last column, shape (rows, vocabulary); no gradient is asked for."""
        model = self.language_model
        head = model.get_output_embeddings()
        product = _plain_head(model) and type(head) is nn.Linear and getattr(head, "bias", None) is None
        if not product or len(inputs["input_ids"]) > _FEW or head.weight.device.type != "cpu":
            logits: Tensor = model(**inputs, logits_to_keep=1).logits[:, -1]
            return logits
        states: Tensor = self.backbone(**inputs).last_hidden_state[:, -1]
        by_token: Tensor = head.weight @ states.T
        return by_token.T


_FEW = 128
"""Up to so many rows a CPU multiplies the head by the rows faster than the rows by the head (1.2 to 1.9 times)."""


def _plain_head(model: Any) -> bool:
    """Whether logits are the head's product and nothing more (Gemma caps them, Granite and Cohere scale them)."""
    config = model.config.get_text_config()
    names = ("final_logit_softcapping", "logits_scaling", "logit_scale")
    return not any(getattr(config, name, None) for name in names)
