"""Texts on their way through a network: in which order, in which chunks, and without waiting for the device.

A chunk is tokenized in a thread while the device computes the one before (fast tokenizers leave the interpreter's
lock), and what it gave is fetched once, when the next one has begun. On a CPU one comes after the other: what a second
thread does in Python would hold up the computing ones at every operation.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from guerdon.ahead import Ahead, pinned
from guerdon.collation import Batch
from guerdon.errors import ModelError

Made = TypeVar("Made")
Result = TypeVar("Result")

CHUNK_TEXTS, CHUNK_CHARACTERS = 512, 262_144
"""What a chunk has at most: enough for a large batch, little enough for the device to begin at once."""


def budget_on(device: str | torch.device) -> int:
    """Padded tokens of a scoring batch: small ones fill a core as well and hold less padding; a GPU wants them large.

    Nothing is kept for a gradient, so that many more fit than in training.
    """
    return 65536 if torch.device(device).type == "cuda" else 1024


def chunks_of(prompts: Sequence[str], responses: Sequence[str], *, by_prompt: bool) -> list[list[int]]:
    """Texts (indices) in chunks of like length, longest first, equal ones side by side.

    The longest come first because they need most memory, and are most likely to be refused. `by_prompt` keeps the
    responses to one prompt together, for networks that compute it once.
    """

    def length(place: int) -> tuple[int, str, int, str]:
        prompt, response = prompts[place], responses[place]
        return -len(prompt) - (0 if by_prompt else len(response)), prompt, -len(response), response

    chunks: list[list[int]] = []
    characters = 0
    for place in sorted(range(len(responses)), key=length):
        computed_before = by_prompt and chunks and prompts[chunks[-1][-1]] == prompts[place]
        own = len(responses[place]) + (0 if computed_before else len(prompts[place]))
        if not chunks or len(chunks[-1]) == CHUNK_TEXTS or characters + own > CHUNK_CHARACTERS:
            chunks.append([])
            characters = 0
        chunks[-1].append(place)
        characters += own
    return chunks


def read_in_chunks(
    chunks: Sequence[Sequence[int]],
    make: Callable[[Sequence[int]], Made],
    begin: Callable[[Made, Sequence[int]], Callable[[], np.ndarray]],
    width: int,
    *,
    device: torch.device,
) -> np.ndarray:
    """Makes each chunk ahead, begins to compute it, and fetches what it gave once the next one has begun.

    Args:
        chunks: the places of the texts of each chunk; all together, 0 to n - 1.
        make: tokenizes a chunk; runs in a thread of its own where there are several, and a device beside the CPU.
        begin: starts to compute a chunk; what it returns waits for the values, shape (texts, ...).
        width: how many values there are for a text at least.
        device: what computes.

    Returns:
        The values of the n texts, float32, shape (n, `width` or more), NaN where there are fewer.
    """
    several = len(chunks) > 1 and device.type != "cpu"
    ready = Ahead(lambda number: make(chunks[number]), len(chunks)) if several else None
    begun: deque[Callable[[], np.ndarray]] = deque()
    values: list[np.ndarray] = []
    for number, places in enumerate(chunks):
        begun.append(begin(ready(number) if ready else make(places), places))
        if len(begun) > 1:
            values.append(begun.popleft()())
    values += [wait() for wait in begun]
    most = max([width, *(one.shape[1] for one in values)])
    found = np.full((sum(map(len, chunks)), most), np.nan, dtype=np.float32)
    for places, one in zip(chunks, values, strict=True):
        found[places, : one.shape[1]] = one
    return found


def within_memory(compute: Callable[[int], Result], budget: int, longest: int) -> tuple[Result, int]:
    """What `compute` gives in batches of `budget` tokens, or of half as many, and so on, until the memory suffices.

    Returns:
        The result, and the budget that it took.

    Raises:
        ModelError: the memory does not suffice for the longest sequence alone, of `longest` tokens.
    """
    while True:
        try:
            return compute(budget), budget
        except torch.OutOfMemoryError as error:
            if budget <= longest:
                fault = str(error).partition(".")[0]
                raise ModelError(
                    f"{fault}, for one text of {longest} tokens. Fix: --device cpu, or a smaller model"
                ) from error
        budget //= 2  # only here has the exception let go of what filled the memory
        torch.cuda.empty_cache()


def moved(batch: Batch, device: torch.device) -> Batch:
    """A batch on the device; a GPU copies it while it computes what it was given before."""
    ready: Batch = pinned(batch) if device.type == "cuda" else batch
    return {name: tensor.to(device, non_blocking=True) for name, tensor in ready.items()}


def fetched(values: Tensor) -> Callable[[], np.ndarray]:
    """Begins to copy values to the CPU, behind what the device still computes; the result waits for them."""
    if values.device.type != "cuda":
        return values.numpy
    copied = values.to("cpu", non_blocking=True)  # into pinned memory, as PyTorch does for a copy of this kind
    done = torch.cuda.current_stream(values.device).record_event()

    def wait() -> np.ndarray:
        done.synchronize()
        return copied.numpy()

    return wait
