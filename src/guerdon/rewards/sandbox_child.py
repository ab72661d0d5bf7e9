"""Inside the sandbox: limits first, then either the candidate, which serves calls, or the tests, which make them.

Runs alone, on the standard library. Values cross as JSON that says what Python's plain types are; nothing else does.
"""

import ast
import ctypes
import json
import os
import platform
import resource
import socket
import sys
from typing import Any, TextIO

# What may cross: None, booleans, numbers, text, bytes, and lists, tuples, sets and dictionaries of them.


def pack(value: Any) -> Any:
    """A value as JSON, by exact type: a subclass may behave as it likes, so none crosses."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return {"int": str(value)} if kind is int else value
    if kind is float:
        return {"float": value.hex()}
    if kind is complex:
        return {"complex": [value.real.hex(), value.imag.hex()]}
    if kind is bytes:
        return {"bytes": value.hex()}
    if kind in (list, tuple, set, frozenset):
        return {kind.__name__: [pack(item) for item in value]}
    if kind is dict:
        return {"dict": [[pack(key), pack(item)] for key, item in value.items()]}
    raise TypeError(f"a {kind.__name__} cannot cross")


def unpack(value: Any) -> Any:
    """The value that `pack` was given."""
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    plain: dict[str, Any] = {"int": int, "float": float.fromhex, "bytes": bytes.fromhex}
    if kind in plain:
        return plain[kind](held)
    if kind == "complex":
        return complex(*map(float.fromhex, held))
    if kind == "dict":
        return {unpack(key): unpack(item) for key, item in held}
    made: Any = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset}[kind]
    return made(unpack(item) for item in held)


def limit(task: dict[str, Any]) -> None:
    """Sets the limits of this process; none of them can be raised again."""
    for name, value in (
        (resource.RLIMIT_AS, task["memory"]),
        (resource.RLIMIT_FSIZE, task["file"]),
        (resource.RLIMIT_NOFILE, task["files"]),
        (resource.RLIMIT_CPU, int(task["seconds"]) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(name, (value, value))
    forbid_processes()


SYSCALLS = {"x86_64": (0xC000003E, 56, (57, 58, 59, 322, 435)), "aarch64": (0xC00000B7, 220, (221, 281, 435))}
"""Audit number, clone, and (fork, vfork, execve, execveat, clone3) where they exist."""
CLONE_THREAD = 0x00010000


class Filter(ctypes.Structure):
    """One instruction of a seccomp filter."""

    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint32))


class Program(ctypes.Structure):
    """A seccomp filter."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(Filter)))


def forbid_processes() -> None:
    """No new process and no other program: RLIMIT_NPROC does not bind root. Threads may start."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
    known = SYSCALLS.get(platform.machine())
    if known is None:
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        return
    audit, clone, others = known
    load, equal, any_bit, give = 0x20, 0x15, 0x45, 0x06
    allow, refuse, not_there = 0x7FFF0000, 0x00050001, 0x00050026  # EPERM; ENOSYS, so that libc falls back on clone
    rows = [(load, 0, 0, 4), (equal, 1, 0, audit), (give, 0, 0, refuse), (load, 0, 0, 0)]
    for number in others:
        rows += [(equal, 0, 1, number), (give, 0, 0, not_there if number == 435 else refuse)]
    rows += [(equal, 0, 3, clone), (load, 0, 0, 16), (any_bit, 1, 0, CLONE_THREAD), (give, 0, 0, refuse)]
    rows += [(give, 0, 0, allow)]
    filters = (Filter * len(rows))(*[Filter(*row) for row in rows])
    if libc.prctl(22, 2, ctypes.byref(Program(len(rows), filters)), 0, 0):  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
        raise OSError(ctypes.get_errno(), "no seccomp filter")


def serve(task: dict[str, Any], channel: TextIO) -> None:
    """Runs the candidate, then answers calls of its functions until nobody asks any more."""
    names: dict[str, Any] = {"__name__": "candidate"}
    fault = None
    try:
        exec(compile(task["source"], "candidate", "exec"), names)
    except BaseException as error:  # whatever it does, it is its own fault
        fault = f"{type(error).__name__}: {error}"
    for line in channel:
        asked = json.loads(line)
        try:
            if fault is not None:
                raise RuntimeError(fault)
            made = names[asked["name"]]
            if asked["call"]:
                made = made(*unpack(asked["args"]), **unpack(asked["named"]))
            reply = {"value": pack(made)}
        except BaseException as error:
            reply = {"error": type(error).__name__, "message": str(error)[:500]}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()


class Stub:
    """Stands in for what the candidate defines under a name."""

    def __init__(self, name: str, channel: TextIO) -> None:
        self._name, self._channel = name, channel

    def _ask(self, call: bool, args: Any, named: Any) -> Any:
        asked = {"name": self._name, "call": call, "args": pack(args), "named": pack(named)}
        self._channel.write(json.dumps(asked) + "\n")
        self._channel.flush()
        reply = json.loads(self._channel.readline() or '{"error": "EOFError", "message": "the candidate is gone"}')
        if "error" in reply:
            import builtins

            kind = getattr(builtins, str(reply["error"]), RuntimeError)
            known = isinstance(kind, type) and issubclass(kind, Exception)
            raise (kind if known else RuntimeError)(str(reply["message"]))
        return unpack(reply["value"])

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Calls the candidate's function."""
        return self._ask(True, args, named)


def judge(task: dict[str, Any], channel: TextIO) -> dict[str, Any]:
    """Runs the tests, each top-level assert as one, and says how many passed."""
    names: dict[str, Any] = {name: Stub(name, channel) for name in task["names"]}
    names["__name__"] = "tests"
    passed = tests = 0
    reason = ""
    for node in ast.parse(task["tests"]).body:
        is_test = isinstance(node, ast.Assert)
        tests += is_test
        try:
            exec(compile(ast.Module([node], []), "tests", "exec"), names)
            passed += is_test
        except Exception as error:
            reason = reason or f"{ast.unparse(node)[:200]}: {type(error).__name__}: {error}"[:500]
            if not is_test:  # nothing below it means what it says
                tests += 1
                break
    tests = tests or 1  # a check without asserts passes by ending
    return {"passed": passed if reason or passed else tests, "tests": tests, "reason": reason}


def main() -> None:
    """Reads the task from standard input, and plays the part that it names."""
    task = json.loads(sys.stdin.readline())
    said = os.dup(1)
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(quiet, number)
    channel = socket.socket(fileno=task["channel"]).makefile("rw", encoding="utf-8")
    limit(task)
    if task["role"] == "candidate":
        os.close(said)
        serve(task, channel)
    else:
        os.write(said, json.dumps({"nonce": task["nonce"], **judge(task, channel)}).encode())


if __name__ == "__main__":
    main()
