"""One process at a time: a second start is refused, and what a killed process left is taken over."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from guerdon.errors import OutputError
from guerdon.runs.lock import LOCK_FILE, locked


def holder(pid: int, host: str | None = None) -> dict[str, Any]:
    return {"pid": pid, "host": host or socket.gethostname(), "started": time.time()}


def leave(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / LOCK_FILE).write_text(json.dumps(content))


def test_the_lock_says_who_holds_it_and_goes_at_the_end(tmp_path: Path) -> None:
    with locked(tmp_path / "out" / "run"):
        held = json.loads((tmp_path / "out" / "run" / LOCK_FILE).read_text())
        assert held["pid"] == os.getpid()
        assert held["host"] == socket.gethostname()
        assert held["started"] == pytest.approx(time.time(), abs=60)
    assert list(tmp_path.iterdir()) == [], "folders that were made for it, and stayed empty, go as well"


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(OutputError, match=rf"is in use: process {os.getpid()} on .* Fix: wait for it or end it"),
        locked(tmp_path / "run"),
    ):
        pass
    with pytest.raises(RuntimeError), locked(tmp_path / "run"):
        raise RuntimeError
    with locked(tmp_path / "run"):
        pass


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    script = "import sys,time,pathlib\nfrom guerdon.runs.lock import locked\nwith locked(pathlib.Path(sys.argv[1])):\n"
    script += "    print('held', flush=True); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(OutputError, match=f"process {child.pid} on"), locked(tmp_path):
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with locked(tmp_path):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_number_that_another_process_has_now_does_not_hold_it(tmp_path: Path) -> None:
    leave(tmp_path, holder(os.getppid()))
    with locked(tmp_path):
        pass


@pytest.mark.parametrize("content", [holder(1, "elsewhere"), holder(2**22 + 1, "elsewhere"), {}, {"pid": "1"}])
def test_what_cannot_be_told_is_left_alone(content: dict[str, Any], tmp_path: Path) -> None:
    leave(tmp_path, content)
    with pytest.raises(OutputError, match=r"if it no longer runs, delete .*lock\.json"), locked(tmp_path):
        pass
    assert json.loads((tmp_path / LOCK_FILE).read_text()) == content


def _hold(folder: Path, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        with locked(folder):
            results.put("held")
            time.sleep(1.0)
    except OutputError:
        results.put("refused")


def test_of_many_that_find_a_stale_lock_one_takes_it(tmp_path: Path) -> None:
    gone = multiprocessing.get_context("fork").Process(target=int)
    gone.start()
    gone.join()
    assert gone.pid is not None
    leave(tmp_path, holder(gone.pid))
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(6), context.Queue()
    racers = [context.Process(target=_hold, args=(tmp_path, barrier, results)) for _ in range(6)]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=30) for _ in racers]
    for racer in racers:
        racer.join()
    assert sorted(found) == ["held", *["refused"] * 5]
