"""Unit tests as a reward."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor

import pytest

from guerdon.rewards.rules.code import UnitTests, code_of
from guerdon.rewards.rules.sandbox import Limits, sandbox_fault

pytestmark = pytest.mark.skipif(bool(sandbox_fault()), reason=sandbox_fault() or "-")
TESTS = "assert double(2) == 4\nassert double([1]) == [1, 1]\nassert double('a') == 'aa'"
GOOD = "def double(x):\n    return x * 2"


def test_the_reward() -> None:
    fenced = f"Here it is:\n```python\n{GOOD}\n```\nDone."
    assert code_of(fenced).strip() == GOOD
    responses = [fenced, GOOD, "def double(x): return 4", "I do not know", GOOD]
    references = [TESTS, TESTS, TESTS, TESTS, None]
    found = UnitTests().score(["?"] * 5, responses, references=references)
    assert found[:4].tolist() == [1, 1, 0, 0]
    assert math.isnan(found[4])
    broken = UnitTests().score_with_reasons(["?"] * 2, [GOOD] * 2, references=[None, "assert double("])
    assert broken.reasons[0] == "the row has no unit tests (as its reference)"
    assert broken.reasons[1].startswith("the tests are not Python")
    assert UnitTests(partial=True).score(["?"], responses[2:3], references=[TESTS])[0] == pytest.approx(1 / 3)
    rest = UnitTests(complete_prompt=True).score(["def double(x):\n"], ["    return x * 2"], references=[TESTS])
    assert rest.tolist() == [1]


def test_eight_threads_get_what_one_gets() -> None:
    responses = [GOOD, "def double(x): return 4"] * 2
    reward = UnitTests(limits=Limits(seconds=60))  # sixteen at once, on a machine that is busy
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: reward.score(["?"] * 4, responses, references=[TESTS] * 4).tolist(), range(8)))
    assert found == [[1, 0, 1, 0]] * 8
