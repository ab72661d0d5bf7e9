"""Log-probabilities of responses, with gradient: the prompt of a group of responses is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from guerdon.packing import SharedRow, Tokens, by_budget, collate_padded, collate_shared


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
    prompts = [len(group.prompt) for group in groups for _ in group.responses]
    rows: list[SharedRow] = []
    start = 0
    for group in groups:
        members = range(start, start + len(group.responses))
        start += len(group.responses)
        rows += _rows(tokens, members, len(group.prompt), budget) if shared else [_alone(tokens, i) for i in members]
    for chosen in by_budget([row.length for row in rows], budget):
        yield _collate(tokens, prompts, [rows[index] for index in chosen], pad_id)


def _alone(tokens: Sequence[Tokens], item: int) -> SharedRow:
    return SharedRow((item,), 0, len(tokens[item]))


def _rows(tokens: Sequence[Tokens], members: Sequence[int], prompt: int, budget: int) -> Iterator[SharedRow]:
    """Responses to one prompt, the prompt in front of as many as the budget allows."""
    held: list[int] = []
    length = prompt
    for item in members:
        own = len(tokens[item]) - prompt
        if held and length + own > budget:
            yield SharedRow(tuple(held), prompt, length) if len(held) > 1 else _alone(tokens, held[0])
            held, length = [], prompt
        held.append(item)
        length += own
    yield SharedRow(tuple(held), prompt, length) if len(held) > 1 else _alone(tokens, held[0])


def _collate(
    tokens: Sequence[Tokens], prompts: Sequence[int], rows: Sequence[SharedRow], pad_id: int
) -> tuple[list[int], ResponseBatch]:
    items = [item for row in rows for item in row.items]
    if any(len(row.items) > 1 for row in rows):
        batch = collate_shared(tokens, rows, pad_id=pad_id)
    else:
        batch = collate_padded([tokens[item] for item in items], pad_id=pad_id, positions=True)
    fields: dict[str, list[int]] = {name: [] for name in TOKEN_FIELDS}
    number = 0
    for index, row in enumerate(rows):
        end = row.prefix
        for item in row.items:
            ids, prompt = tokens[item].ids, prompts[item]
            count = len(ids) - prompt
            end += len(ids) - row.prefix
            fields["row"] += [index] * count
            # The first token is predicted at the prompt's end, every other where the one before it stands.
            fields["column"] += [prompt - 1, *range(end - count, end - 1)]
            fields["token_ids"] += ids[prompt:]
            fields["response"] += [number] * count
            fields["position"] += range(count)
            number += 1
    return items, batch | {name: torch.tensor(values, dtype=torch.long) for name, values in fields.items()}


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
