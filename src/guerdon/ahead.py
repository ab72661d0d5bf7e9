"""What can be done in a thread while a device computes: what it needs next, and what needs no device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, Generic, TypeVar

import torch

Item = TypeVar("Item")


class Ahead(Generic[Item]):
    """Calls `make` for the numbers from 0 to `count` - 1, each some numbers before it is asked for.

    One thread makes one item after the other, in the order in which they will be asked for: ascending, from anywhere.
    What `make` raises is raised where its item is asked for.
    """

    def __init__(self, make: Callable[[int], Item], count: int, *, depth: int = 2) -> None:
        """`depth` items wait at most."""
        self._make, self._count, self._depth = make, count, depth
        self._thread = ThreadPoolExecutor(1, "guerdon-ahead")
        self._waiting: dict[int, Future[Item]] = {}

    def __call__(self, number: int) -> Item:
        """Item `number`."""
        for later in range(number, min(number + self._depth + 1, self._count)):
            if later not in self._waiting:
                self._waiting[later] = self._thread.submit(self._make, later)
        return self._waiting.pop(number).result()


def beside(work: Callable[[], Item]) -> Callable[[], Item]:
    """Does work that needs no GPU in a thread, while the GPU computes.

    Without a GPU it is done when it is asked for: there it would take cores from what is computed.

    Returns:
        What waits for the result, or raises what the work raised; however often it is called, the work is done once.
    """
    if not torch.cuda.is_available():
        return cache(work)
    return ThreadPoolExecutor(1, "guerdon-beside").submit(work).result


def pinned(value: Any) -> Any:
    """Tensors in dictionaries, lists and tuples, in memory that a GPU copies from while it computes."""
    if isinstance(value, torch.Tensor):
        return value.pin_memory()
    if isinstance(value, dict):
        return {key: pinned(item) for key, item in value.items()}
    return type(value)(map(pinned, value)) if isinstance(value, list | tuple) else value
