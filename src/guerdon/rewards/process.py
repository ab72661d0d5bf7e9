"""Process rewards: where a response is cut into steps, and how the scores of its steps become one.

With z_k the logit of step k and p_k = sigmoid(z_k) the probability that it is right, each aggregation is a rising
function of the published one, so that it orders solutions alike, but has no bounds: products of many probabilities
would tie near 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

AGGREGATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "min": lambda z: z.amin(dim=0),
    "product": lambda z: logsigmoid(z).sum(dim=0),
    "mean": lambda z: torch.logsumexp(logsigmoid(z), dim=0) - torch.logsumexp(logsigmoid(-z), dim=0),
    "last": lambda z: z[-1],
    "geometric-mean": lambda z: logsigmoid(z).mean(dim=0),
    "max": lambda z: z.amax(dim=0),
    "mean-of-logits": lambda z: z.mean(dim=0),
    "mean-of-odds": lambda z: torch.logsumexp(z, dim=0) - torch.tensor(len(z), dtype=z.dtype).log(),
}
"""Logits of the steps of one solution, shape (s, ...), to its score, shape (...).

`min`, `max`, `last` and `mean-of-logits`: that logit (Lightman et al. 2023, arXiv:2305.20050, and Wang et al. 2024,
arXiv:2312.08935, take the product and the minimum of p). `product`: log prod p. `geometric-mean`: its log. `mean`: the
logit of the mean p. `mean-of-odds`: the log of the mean p / (1 - p)."""

_BREAKS = {"line": re.compile(r"\n"), "paragraph": re.compile(r"\n\s*\n")}


def aggregate(logits: Tensor, sequence: Tensor, how: str) -> Tensor:
    """The score of each sequence.

    Args:
        logits: of all steps, shape (m, outputs).
        sequence: which sequence each is of, ascending from 0, none left out; shape (m,).
        how: a key of `AGGREGATIONS`.

    Returns:
        Shape (n, outputs).
    """
    return torch.stack([AGGREGATIONS[how](part) for part in logits.split(sequence.bincount().tolist())])


def step_spans(response: str, unit: str) -> list[tuple[int, int]]:
    """First and last character (exclusive) of each step of a response; at least one step."""
    starts = [0, *(found.end() for found in _BREAKS[unit].finditer(response))]
    stops = [*(found.start() for found in _BREAKS[unit].finditer(response)), len(response)]
    pieces = [(start, response[start:stop]) for start, stop in zip(starts, stops, strict=True)]
    found = [(start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())) for start, piece in pieces]
    return [(start, stop) for start, stop in found if start < stop] or [(0, 0)]


def with_marks(response: str, unit: str, mark: str) -> tuple[str, list[tuple[int, int, int]]]:
    """A response with the mark behind each of its steps; the mark's own letters in a step become spaces.

    Returns:
        The text, and (start there, start in the response, length) of each step.
    """
    text, pieces = "", []
    for start, stop in step_spans(response, unit):
        pieces.append((len(text), start, stop - start))
        text += response[start:stop].replace(mark, " " * len(mark)) + mark
    return text, pieces
