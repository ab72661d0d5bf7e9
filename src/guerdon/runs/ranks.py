"""What the processes of one launch must agree on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import timedelta


@contextlib.contextmanager
def main_process_first() -> Iterator[bool]:
    """Lets the first of a launcher's processes through before the others; gives whether this is the first.

    Should the first one fail, the launcher (`accelerate launch`, `torchrun`) ends the others.
    """
    from accelerate import PartialState

    state = PartialState(timeout=timedelta(days=1))  # a policy may generate for hours meanwhile
    with state.main_process_first():
        yield state.is_main_process


def device_name() -> str:
    """The device of this process, each of a launch having its own."""
    from accelerate import PartialState

    return str(PartialState().device)
