"""What the processes of one launch must agree on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any


def launch_state() -> Any:
    """The place of this process among those of its launch (`accelerate launch`, `torchrun`).

    Accelerate asks its launcher's flag for the CPU only when it makes the rest of its state, which is too late to know
    who is first: so it is told here.
    """
    import torch
    from accelerate import PartialState
    from accelerate.utils import parse_flag_from_env

    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=cpu, timeout=timedelta(days=1))  # a policy may generate for hours before the others go on


@contextlib.contextmanager
def main_process_first() -> Iterator[bool]:
    """Lets the first of a launcher's processes through before the others; gives whether this is the first.

    Should the first one fail, the launcher (`accelerate launch`, `torchrun`) ends the others.
    """
    state = launch_state()
    with state.main_process_first():
        yield state.is_main_process


def on_first_process(work: Callable[[], object]) -> None:
    """Does something once in a launch, while the other processes wait."""
    with main_process_first() as main:
        if main:
            work()


def is_first_process() -> bool:
    """Whether this is the one that prints."""
    return bool(launch_state().is_main_process)


def device_name() -> str:
    """The device of this process, each of a launch having its own."""
    return str(launch_state().device)


def is_sharded() -> bool:
    """Whether each process of the launch has a part of the weights: FSDP or DeepSpeed."""
    from accelerate.utils import parse_flag_from_env

    return any(parse_flag_from_env(f"ACCELERATE_USE_{way}") for way in ("FSDP", "DEEPSPEED"))
