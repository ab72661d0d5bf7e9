"""Log-probabilities of answers, with gradient: the prompt of a group of answers is computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from guerdon.packing import SharedRow, Tokens, by_budget, collate_padded, collate_shared


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt and answers to it, as token ids; no answer is empty."""

    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]


AnswerBatch = dict[str, Tensor]
"""Answers that are computed side by side: the keyword arguments of the backbone, and of each token taken:

`row` and `column` of the state that it was drawn from; `taken`, the token itself; `answer`, which answer of the batch
it is of; `place`, where in that answer; each of shape (tokens,).
"""
OF_TOKENS = ("row", "column", "taken", "answer", "place")


def answer_batches(
    groups: Sequence[Asked], *, budget: int, pad_id: int, shared: bool
) -> Iterator[tuple[list[int], AnswerBatch]]:
    """Cuts answers into batches of at most `budget` padded tokens, longest first.

    Args:
        groups: prompts with their answers.
        budget: padded tokens of a batch; a longer row is a batch of its own.
        pad_id: any valid id.
        shared: compute the prompt of a group once (`guerdon.packing.reads_shared_rows`).

    Yields:
        Which answers these are, counted through all groups, and the batch.
    """
    tokens = [Tokens(group.prompt + answer) for group in groups for answer in group.answers]
    prompts = [len(group.prompt) for group in groups for _ in group.answers]
    rows: list[SharedRow] = []
    start = 0
    for group in groups:
        members = range(start, start + len(group.answers))
        start += len(group.answers)
        rows += _rows(tokens, members, len(group.prompt), budget) if shared else [_alone(tokens, i) for i in members]
    for chosen in by_budget([row.length for row in rows], budget):
        yield _collate(tokens, prompts, [rows[index] for index in chosen], pad_id)


def _alone(tokens: Sequence[Tokens], item: int) -> SharedRow:
    return SharedRow((item,), 0, len(tokens[item]))


def _rows(tokens: Sequence[Tokens], members: Sequence[int], prompt: int, budget: int) -> Iterator[SharedRow]:
    """Answers to one prompt, the prompt in front of as many as the budget allows."""
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
) -> tuple[list[int], AnswerBatch]:
    items = [item for row in rows for item in row.items]
    if any(len(row.items) > 1 for row in rows):
        batch = collate_shared(tokens, rows, pad_id=pad_id)
    else:
        batch = collate_padded([tokens[item] for item in items], pad_id=pad_id, positions=True)
    at_row: list[int] = []
    at_column: list[int] = []
    taken: list[int] = []
    answer: list[int] = []
    place: list[int] = []
    number = 0
    for index, row in enumerate(rows):
        end = row.prefix
        for item in row.items:
            ids, prompt = tokens[item].ids, prompts[item]
            count = len(ids) - prompt
            end += len(ids) - row.prefix
            at_row += [index] * count
            # The first token is drawn at the prompt's end, every other where the one before it stands.
            at_column += [prompt - 1, *range(end - count, end - 1)]
            taken += ids[prompt:]
            answer += [number] * count
            place += range(count)
            number += 1
    columns = zip(OF_TOKENS, (at_row, at_column, taken, answer, place), strict=True)
    return items, batch | {name: torch.tensor(values, dtype=torch.long) for name, values in columns}


def states_of(backbone: Any, batch: AnswerBatch) -> Tensor:
    """The hidden state that each token was drawn from, shape (tokens, hidden)."""
    hidden: Tensor = backbone(**inputs_of(batch), use_cache=False).last_hidden_state
    return hidden[batch["row"], batch["column"]]


def inputs_of(batch: AnswerBatch) -> dict[str, Tensor]:
    """The part of a batch that the model reads."""
    return {name: value for name, value in batch.items() if name not in OF_TOKENS}


def token_logps(logits: Tensor, taken: Tensor, temperature: float = 1.0) -> Tensor:
    """The log-probability of the tokens taken, log softmax(logits / temperature), in float32.

    Args:
        logits: shape (tokens, vocabulary).
        taken: shape (tokens,).
        temperature: of the sampling; 0 is the plain softmax, as in sampling.

    Returns:
        Shape (tokens,).
    """
    scaled = logits.float() / (temperature or 1.0)
    return scaled.gather(1, taken.unsqueeze(1)).squeeze(1) - torch.logsumexp(scaled, dim=1)


def by_place(values: Tensor, batch: AnswerBatch, answers: int, length: int) -> Tensor:
    """Values of tokens, shape (tokens,), as answers by places, shape (answers, length), 0 behind their ends."""
    return values.new_zeros(answers, length).index_put((batch["answer"], batch["place"]), values)
