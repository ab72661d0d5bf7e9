"""Code that nobody has read: it is judged, and it gets nowhere."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from guerdon.errors import ConfigError
from guerdon.rewards import sandbox
from guerdon.rewards.sandbox import Limits, TestResult, run_tests, sandbox_fault

FAULT = sandbox_fault()
inside = pytest.mark.skipif(bool(FAULT), reason=FAULT or "-")
TESTS = "assert double(2) == 4\nassert double([1]) == [1, 1]\nassert double('a') == 'aa'"
GOOD = "def double(x):\n    return x * 2"


def passes(source: str, tests: str = TESTS, **limits: float) -> bool:
    found = run_tests(source, tests, Limits(**limits))  # type: ignore[arg-type]
    assert found.passed is not None, found.reason
    return found.passed == found.tests


@inside
def test_tests_are_counted() -> None:
    assert run_tests(GOOD, TESTS) == TestResult(3, 3)
    half = run_tests("def double(x):\n    return x + x if x == 2 else None", TESTS)
    assert (half.passed, half.tests) == (1, 3)
    assert "double([1])" in half.reason
    assert run_tests("def other(x): return 1", TESTS).passed == 0
    assert run_tests("def double(x: return", TESTS).reason.startswith("not Python: SyntaxError")


@inside
def test_values_cross_as_they_are() -> None:
    source = "def same(*a, **k):\n    return (a, k)\nANSWER = 42\ndef refuse(x):\n    raise KeyError(x)"
    values = (
        "1, True, None, 1.5, float('inf'), 'ä行', b'x', (1, [2]), {3}, frozenset({4}), {'a': {1: (2,)}}, 10**30, 2j"
    )
    tests = f"""
assert same({values}, key=[1]) == (({values}), {{'key': [1]}})
assert type(same(True)[0][0]) is bool
def check(f):
    try:
        f('x')
    except KeyError as error:
        return str(error)
assert 'x' in check(refuse)
"""
    assert passes(source, tests)
    assert run_tests("class A: pass\ndef f(): return A()", "assert f()").passed == 0


@inside
@pytest.mark.parametrize(
    "attack",
    [
        # An object that is equal to everything.
        "class Yes(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\ndef double(x): return Yes(7)",
        "class Yes(str):\n    __eq__ = lambda s, o: True\ndef double(x): return Yes()",
        # Leaving early, as if all were well; saying so on every channel there is.
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        'import os, json\nfor fd in range(1, 20):\n    try: os.write(fd, b\'{"passed": 3, "tests": 3, "nonce": "", '
        '"reason": ""}\\n\')\n    except OSError: pass\ndef double(x): return None',
        # Looking for the tests.
        "import os, signal\nfor pid in range(2, 200):\n    try: os.kill(pid, signal.SIGKILL)\n"
        "    except OSError: pass\ndef double(x): return None",
        "import gc, sys\ndef double(x): return sys._getframe(1).f_locals.get('right')",
    ],
)
def test_nothing_passes_that_does_not_compute(attack: str) -> None:
    assert run_tests(attack, TESTS).passed == 0


@inside
@pytest.mark.parametrize(
    ("what", "source"),
    [
        (
            "network",
            "import socket\ndef f():\n    s = socket.create_connection(('127.0.0.1', {port}), 1)\n    return True",
        ),
        ("files", "def f():\n    return bool(open({secret!r}).read())"),
        ("writing", "def f():\n    open('/guerdon/x', 'w'); return True"),
        ("python", "import os\ndef f():\n    open(os.__file__, 'a'); return True"),
        ("fork", "import os\ndef f():\n    pid = os.fork()\n    if not pid: os._exit(0)\n    return True"),
        ("program", "import subprocess\ndef f():\n    return subprocess.run(['/bin/true']).returncode == 0"),
        ("environment", "import os\ndef f():\n    return bool(os.environ.get('HOME') or os.environ.get('PATH'))"),
        ("memory", "def f():\n    x = bytearray(2 << 30); return True"),
        ("file size", "def f():\n    open('big', 'wb').write(b'x' * (4 << 20)); return True"),
        ("others", "import os\ndef f():\n    return len([p for p in os.listdir('/proc') if p.isdigit()]) > 3"),
    ],
)
def test_there_is_no_way_out(what: str, source: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        source = source.replace("{port}", str(port)).replace("{secret!r}", repr(str(secret)))
        assert run_tests(source, "assert f()").passed == 0, what
    assert secret.read_text(encoding="utf-8") == "key"


@inside
def test_what_is_allowed() -> None:
    source = """
import threading
def f():
    found = []
    thread = threading.Thread(target=found.append, args=(1,))
    thread.start(); thread.join()
    open('note', 'w').write('x')
    return found and open('note').read() == 'x'
"""
    assert passes(source, "assert f()")


@inside
@pytest.mark.parametrize(
    "where",
    [
        f"{GOOD}\nwhile True: pass",
        "def double(x):\n    while True: pass",
        f"{GOOD}\nimport time\ntime.sleep(99)",
    ],
)
def test_time_ends(where: str) -> None:
    start = time.monotonic()
    found = run_tests(where, TESTS, Limits(seconds=1))
    assert found.passed == 0
    assert "not done after 1 s" in found.reason
    assert time.monotonic() - start < 4


@inside
def test_tests_that_give_no_result_have_none() -> None:
    assert run_tests(GOOD, "assert double(").passed is None
    assert run_tests(GOOD, "import os\nos._exit(1)\nassert double(2) == 4").passed is None


@inside
def test_tests_as_humaneval_has_them() -> None:
    tests = "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(3) == 6\n\ncheck(double)\n"
    assert passes(GOOD, tests)
    assert not passes("def double(x): return 4", tests)


def test_without_a_sandbox_nothing_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "sandbox_fault", lambda: "bubblewrap is not installed (apt-get install bubblewrap)")
    with pytest.raises(ConfigError, match=r"sandbox only.*apt-get install bubblewrap.*--unsafe-sandbox"):
        run_tests(GOOD, TESTS)
    assert run_tests(GOOD, TESTS, unsafe=True) == TestResult(3, 3)
