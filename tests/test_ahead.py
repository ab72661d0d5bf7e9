"""What is needed next is made ahead, once each, and what fails fails where it is asked for."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch

from guerdon.ahead import Ahead, beside, pinned


def test_items_are_made_once_each_some_ahead_in_another_thread() -> None:
    made: list[int] = []
    fourth = threading.Event()

    def make(number: int) -> int:
        assert threading.current_thread() is not threading.main_thread()
        made.append(number)
        if number == 5:
            fourth.set()
        return number * number

    ahead = Ahead(make, 8, depth=2)
    assert ahead(3) == 9, "a resumed run begins anywhere"
    assert fourth.wait(timeout=30), "two more are made unasked"
    assert made == [3, 4, 5]
    assert [ahead(number) for number in range(4, 8)] == [16, 25, 36, 49]
    assert made == [3, 4, 5, 6, 7], "and none beyond the last"


def test_a_fault_is_raised_where_its_item_is_asked_for() -> None:
    ahead = Ahead(lambda number: 1 // (number - 1), 4)
    assert ahead(0) == -1
    with pytest.raises(ZeroDivisionError):
        ahead(1)
    assert ahead(2) == 1


def test_every_tensor_is_pinned_and_all_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor + 1)
    given: Any = ({"a": torch.zeros(2), "longest": 7}, [torch.ones(1), "text"])
    batch, rest = pinned(given)
    assert (batch["a"].tolist(), batch["longest"]) == ([1, 1], 7)
    assert (rest[0].tolist(), rest[1]) == ([2], "text")


def test_what_needs_no_gpu_is_done_beside_one_and_without_one_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[threading.Thread] = []
    started = threading.Event()

    def work() -> int:
        done.append(threading.current_thread())
        started.set()
        return len(done)

    asked = beside(work)
    assert not done
    assert [asked(), asked()] == [1, 1]
    assert done == [threading.current_thread()]
    started.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    asked = beside(work)
    assert started.wait(timeout=20)
    assert [asked(), asked()] == [2, 2]
    assert done[1] is not threading.current_thread()

    def fails() -> None:
        raise ValueError("of the work")

    for there in (True, False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=there: there)
        with pytest.raises(ValueError, match="of the work"):
            beside(fails)()
