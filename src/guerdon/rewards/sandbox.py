"""Running code that nobody has read.

Candidate and tests are two processes, each in a sandbox of bubblewrap: namespaces of its own (no network, no other
process in sight), a file system that is empty but for a read-only Python, no capability, no new process, limits on
time, memory and files. The tests see the candidate's functions as stand-ins that send arguments and get results, as
plain data and nothing else: an object that claims to be equal to everything cannot cross. The result comes from the
tests' process and carries a number that the candidate never sees.

Without bubblewrap, or where the machine forbids namespaces, nothing is run, unless `unsafe` says so.
"""

from __future__ import annotations

import ast
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from guerdon.errors import ConfigError

CHILD = Path(__file__).with_name("sandbox_child.py")
"""The program inside the sandbox; it knows nothing of Guerdon."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources that a candidate may use."""

    seconds: float = 5.0
    """Wall-clock time, for candidate and tests together."""
    memory_mb: int = 512
    """Address space of each process."""
    file_kb: int = 1024
    """Size of each file that it writes, in a folder that nobody sees."""
    files: int = 32
    """Files that it may have open at once."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class TestResult:
    """How many tests a candidate passed."""

    __test__ = False  # for pytest

    passed: int | None
    """Tests passed; None where they could not be run."""
    tests: int
    """All tests."""
    reason: str = ""
    """The first failure, or why the tests could not be run."""


def run_tests(source: str, tests: str, limits: Limits = DEFAULT_LIMITS, *, unsafe: bool = False) -> TestResult:
    """Runs tests, Python code whose top-level `assert`s count, against the code whose functions they call.

    Raises:
        ConfigError: no sandbox, and not `unsafe`.
    """
    try:
        total = sum(isinstance(node, ast.Assert) for node in ast.parse(tests).body)
    except (SyntaxError, ValueError) as error:
        return TestResult(None, 0, f"the tests are not Python: {error}")
    try:
        names = _top_level(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return TestResult(0, max(total, 1), f"not Python: {type(error).__name__}: {error}")
    inside = sandbox_command(unsafe)
    nonce = secrets.token_hex(16)
    candidate_end, tests_end = socket.socketpair()
    with candidate_end, tests_end:
        candidate = _start(inside, "candidate", candidate_end, {"source": source}, limits)
        judge = _start(inside, "tests", tests_end, {"tests": tests, "names": names, "nonce": nonce}, limits)
    return _result(candidate, judge, nonce, total, limits)


def _result(
    candidate: subprocess.Popen[bytes], judge: subprocess.Popen[bytes], nonce: str, total: int, limits: Limits
) -> TestResult:
    """Waits for the result, not longer than allowed, and leaves no process behind."""
    try:
        output, complaint = judge.communicate(timeout=limits.seconds)
    except subprocess.TimeoutExpired:
        return TestResult(0, max(total, 1), f"not done after {limits.seconds:g} s")
    finally:
        for process in (candidate, judge):
            process.kill()
            process.communicate()
    try:
        found = json.loads(output)
        if found["nonce"] != nonce:
            raise ValueError(found)
    except (ValueError, KeyError, TypeError):
        message = complaint.decode(errors="replace").strip()[-300:] or "no output"
        return TestResult(None, total, f"the tests gave no result: {message}")
    return TestResult(found["passed"], max(total, found["tests"], 1), found["reason"])


def _start(
    inside: Sequence[str], role: str, channel: socket.socket, task: dict[str, object], limits: Limits
) -> subprocess.Popen[bytes]:
    number = channel.fileno()
    child = [sys.executable, "-I", "-S", str(CHILD) if not inside else "/guerdon/child.py"]
    process = subprocess.Popen(
        [*inside, *child],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=(number,), env={}, cwd="/",
    )  # fmt: skip
    given = {"role": role, "channel": number, "memory": limits.memory_mb << 20, "file": limits.file_kb << 10}
    line = json.dumps({**given, "seconds": limits.seconds, "files": limits.files, **task}) + "\n"
    assert process.stdin is not None
    threading.Thread(target=_feed, args=(process, line.encode()), daemon=True).start()
    return process


def _feed(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    with suppress(OSError):  # it is gone already; whoever waits for it says why
        process.stdin.write(line)
        process.stdin.flush()


def _top_level(tree: ast.Module) -> list[str]:
    """Names that a module binds at its top level."""
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return sorted(names)


@cache
def sandbox_fault() -> str:
    """Why this machine cannot isolate code; empty where it can."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return "bubblewrap is not installed (apt-get install bubblewrap)"
    command = [*_bwrap(bwrap), sys.executable, "-I", "-S", "-c", "print(1)"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.stdout == b"1\n":
        return ""
    return f"bubblewrap cannot run here: {done.stderr.decode(errors='replace').strip()[:200]}"


def sandbox_command(unsafe: bool) -> list[str]:
    """What a command inside the sandbox begins with; nothing where there is none and `unsafe` says that none need be.

    Raises:
        ConfigError: there is none.
    """
    fault = sandbox_fault()
    if not fault:
        return _bwrap(str(shutil.which("bwrap")))
    if unsafe:
        return []
    raise ConfigError(
        f"generated code is run in a sandbox only, and there is none: {fault}. Fix: install it, or --unsafe-sandbox "
        "lets the code do on this machine whatever it likes"
    )


def _bwrap(bwrap: str) -> list[str]:
    """A file system with Python in it and nothing else, and namespaces of its own."""
    readable = {sys.base_prefix, sys.prefix, sysconfig.get_path("stdlib"), str(Path(sys.executable).resolve().parent)}
    places = ["/usr", "/lib", "/lib64", "/bin", *sorted(readable)]
    binds = [part for place in places if os.path.exists(place) for part in ("--ro-bind", place, place)]
    return [
        bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--size", str(16 << 20), "--tmpfs", "/tmp", *binds,  # a Python below /tmp is bound into it
        "--ro-bind", str(CHILD), "/guerdon/child.py", "--proc", "/proc", "--dev", "/dev",
        "--chdir", "/tmp", "--remount-ro", "/", "--",
    ]  # fmt: skip
