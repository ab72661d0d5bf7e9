"""Code items: references pass their unit tests; buggy code, stubs and the worst hand-written answers fail them."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from guerdon.data.starter import _all_pairs
from guerdon.data.starter.items import Item, load_items
from guerdon.data.starter.operators import OPERATORS

ITEMS = [item for item in load_items() if item.task == "code"]
HARMLESS = {"padded", "rude"}
"""Operators after which code still runs."""

RUNNER = """
import contextlib, io, json, sys

LIMIT = 300_000  # steps of the interpreter: some bugs are endless loops

def passes(code, tests):
    steps = 0
    def count(frame, event, argument):
        nonlocal steps
        steps += 1
        if steps > LIMIT:
            raise TimeoutError
        return count
    space = {}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            sys.settrace(count)
            exec(code, space)
            exec(tests, space)
    except BaseException:
        return False
    finally:
        sys.settrace(None)
    return True

json.dump([passes(*case) for case in json.load(sys.stdin)], sys.stdout)
"""


def run_all(cases: list[tuple[str, str, str]]) -> dict[str, bool]:
    """Name -> whether the code passes its tests, for cases (name, code, tests); all in one other process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUNNER],
        input=json.dumps([[code, tests] for _, code, tests in cases]),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    results = json.loads(done.stdout)
    return {name: passed for (name, _, _), passed in zip(cases, results, strict=True)}


def cases_of(item: Item) -> list[tuple[str, str, bool]]:
    """(name, code, whether it should pass) for everything of an item whose outcome is promised."""
    cases = [("reference", item.reference, True)]
    cases += [(f"fact {wrong}", item.reference.replace(right, wrong), False) for right, wrong in item.facts]
    cases += [(f"hand {worse.fault}", worse.text, False) for worse in item.worse if worse.grade <= 1]
    cases += [(f"hand {worse.fault}", worse.text, True) for worse in item.worse if worse.grade == 3]
    for name, operator in OPERATORS.items():
        for draw in range(3):
            text = operator.apply(item.reference, item, random.Random(f"{name} {draw}"))
            if text is not None:
                cases.append((f"{name} {draw}", text, name in HARMLESS))
    return cases


@pytest.fixture(scope="module")
def outcomes() -> dict[str, tuple[bool, bool]]:
    """Item and case -> (passes, should pass)."""
    cases = {
        f"{item.id} {name}": (code, item.tests or "", should) for item in ITEMS for name, code, should in cases_of(item)
    }
    passed = run_all([(name, code, tests) for name, (code, tests, _) in cases.items()])
    return {name: (passed[name], should) for name, (_, _, should) in cases.items()}


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.id)
def test_code_passes_or_fails_its_tests_as_promised(item: Item, outcomes: dict[str, tuple[bool, bool]]) -> None:
    own = {name: outcome for name, outcome in outcomes.items() if name.startswith(item.id + " ")}
    assert len(own) > 15
    assert {name: outcome for name, outcome in own.items() if outcome[0] != outcome[1]} == {}
    assert 3 <= (item.tests or "").count("assert ") <= 8


def test_compositions_that_are_used_fail_unless_both_operators_are_harmless() -> None:
    pairs = [p for p in _all_pairs() if p.item.task == "code" and "+" in p.worse.fault]
    passed = run_all([(pair.worse.text, pair.worse.text, pair.item.tests or "") for pair in pairs])
    for pair in pairs:
        assert passed[pair.worse.text] == (set(pair.worse.fault.split("+")) <= HARMLESS), pair.worse.text
