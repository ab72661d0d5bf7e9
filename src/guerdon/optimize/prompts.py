"""Which prompts a run samples responses to, in which order, and whether its policy can read them."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from guerdon.data.write import prompt_value
from guerdon.errors import TextError
from guerdon.types import Candidates

if TYPE_CHECKING:
    from guerdon.policy.model import Policy


def prompt_stream(count: int, seed: int, *, skip: int = 0) -> Iterator[int]:
    """Indices of `count` prompts without end: each once, in an order of its own, before any comes again.

    Args:
        count: how many prompts there are.
        seed: random seed of the orders.
        skip: how many indices were taken before.
    """
    rng = random.Random(seed)
    for _ in range(skip // count):
        rng.sample(range(count), count)
    skip %= count
    while True:
        yield from rng.sample(range(count), count)[skip:]
        skip = 0


def check_lengths(policy: Policy, requests: Sequence[Candidates], *, max_new_tokens: int) -> None:
    """Finds out whether every prompt leaves the policy `max_new_tokens` tokens for its response.

    Raises:
        DataError: one does not; with the place that it was read at.
    """
    try:
        policy.encode_prompts([request.prompt for request in requests], max_new_tokens=max_new_tokens)
    except TextError as error:
        raise error.at(requests[error.index].origin) from None


def fingerprint_of(requests: Sequence[Candidates]) -> dict[str, Any]:
    """What tells one set of prompts from another."""
    digest = hashlib.sha256()
    for request in requests:
        record = [prompt_value(request.prompt), request.reference, request.demonstration]
        digest.update(json.dumps(record, ensure_ascii=False).encode())
    return {"rows": len(requests), "sha256": digest.hexdigest()}
