"""Batches spread over cores come back whole and in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from guerdon.cpu import map_on_cores, one_blas_thread


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_results_come_in_the_order_of_the_items(threads: int, count: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(map_on_cores(work, iter(range(count)))) == [item * item for item in range(count)]
    assert torch.get_num_threads() == threads


def test_several_run_at_once_with_one_thread_of_torch_each(threads: int) -> None:
    together = threading.Barrier(threads, timeout=20)

    def work(_: int) -> int:
        together.wait()  # would break if the items came one by one
        return torch.get_num_threads()

    assert set(map_on_cores(work, range(2 * threads))) == {1}
    assert torch.get_num_threads() == threads


def test_an_error_ends_the_work(threads: int) -> None:
    done = []

    def work(item: int) -> None:
        if item == 3:
            raise ValueError("item 3")
        done.append(item)

    with pytest.raises(ValueError, match="item 3"):
        list(map_on_cores(work, range(10_000)))
    assert len(done) < 100
    assert torch.get_num_threads() == threads


def test_many_callers_share_the_workers_and_keep_their_own_threads(threads: int) -> None:
    at_once, most = 0, 0
    lock = threading.Lock()

    def work(item: int) -> int:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.001)
        with lock:
            at_once -= 1
        return item + torch.get_num_threads()

    def caller(start: int) -> tuple[list[int], int]:
        found = list(map_on_cores(work, range(start, start + 20)))
        return found, torch.get_num_threads()

    with ThreadPoolExecutor(8) as callers:
        results = list(callers.map(caller, range(8)))
    assert results == [([item + 1 for item in range(start, start + 20)], threads) for start in range(8)]
    if threads > 1:
        assert most <= threads, "eight callers do not take the cores of each other"


def test_numpy_and_scipy_compute_with_one_thread_and_then_with_as_many_as_before() -> None:
    def threads() -> list[int]:
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    with one_blas_thread():
        inside = threads()
    assert inside
    assert set(inside) == {1}
    with threadpool_limits(3, "blas"):
        before = threads()
        with one_blas_thread():
            pass
        assert threads() == before
