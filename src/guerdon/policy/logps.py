"""Log-probabilities of responses, with gradient: the prompt of a group of responses is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from guerdon.packing import Tokens, batches, items_of


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
    """Cuts responses into batches of at most `budget` padded tokens, longest first.

    Args:
        groups: prompts with their responses.
        budget: padded tokens of a batch; a longer row is a batch of its own.
        pad_id: any valid id.
        shared: compute the prompt of a group once (`guerdon.packing.reads_shared_rows`).

    Yields:
        Which responses these are, counted through all groups, and the batch.
    """
    tokens = [Tokens(group.prompt + response) for group in groups for response in group.responses]
    group_of = [number for number, group in enumerate(groups) for _ in group.responses]
    packed = batches(tokens, range(len(tokens)), group_of, budget=budget, pad_id=pad_id, shared=shared, positions=True)
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
        yield (
            items_of(rows),
            batch | {name: torch.tensor(values, dtype=torch.long) for name, values in fields.items()},
        )


def token_states(backbone: Any, batch: ResponseBatch) -> Tensor:
    """The hidden state that predicts each response token, shape (tokens, hidden)."""
    hidden: Tensor = backbone(**model_inputs(batch), use_cache=False).last_hidden_state
    return hidden[batch["row"], batch["column"]]


def model_inputs(batch: ResponseBatch) -> dict[str, Tensor]:
    """The part of a batch that the model reads."""
    return {name: value for name, value in batch.items() if name not in TOKEN_FIELDS}


def token_logps(logits: Tensor, token_ids: Tensor, temperature: float = 1.0) -> Tensor:
    """The log-probability of each token, log softmax(logits / temperature), in float32.

    Args:
        logits: shape (tokens, vocabulary).
        token_ids: shape (tokens,).
        temperature: the temperature of the sampling; 0 is the plain softmax, as in sampling.

    Returns:
        Shape (tokens,).
    """
    scaled = logits.float() / (temperature or 1.0)
    return scaled.gather(1, token_ids.unsqueeze(1)).squeeze(1) - torch.logsumexp(scaled, dim=1)


def pad_by_response(values: Tensor, batch: ResponseBatch, responses: int, length: int) -> Tensor:
    """Values of tokens, shape (tokens,), as one row a response, shape (responses, length), 0 behind their ends."""
    return values.new_zeros(responses, length).index_put((batch["response"], batch["position"]), values)
