"""Whether code passes its unit tests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import ClassVar

from guerdon.cpu import count
from guerdon.rewards.rules.rule import Answered, Rule
from guerdon.rewards.rules.sandbox import DEFAULT_LIMITS, Limits, run_tests
from guerdon.types import Prompt, prompt_text

_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UnitTests(Rule):
    """Runs Python code against the tests in `references`; no reward where there are none, or they could not be run.

    A test is an `assert` at the top level of the reference. Candidate and tests run in sandboxes of their own (see
    `guerdon.rewards.rules.sandbox`): the tests call the candidate's functions by name, and only plain data crosses.
    """

    needs_reference: ClassVar[str] = "unit tests (as its reference)"
    partial: bool = False
    """The share of tests passed, instead of 1 for all and 0 otherwise."""
    complete_prompt: bool = False
    """The response goes on where the prompt ends, as in code completion."""
    limits: Limits = DEFAULT_LIMITS
    """The resources that the code may use."""
    unsafe: bool = False
    """Run without a sandbox where the machine has none: generated code then does what it likes."""

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """Runs the tests on one response.

        Raises:
            ConfigError: this machine has no sandbox, and `unsafe` was not asked for.
        """
        source = prompt_text(prompt) + response if self.complete_prompt else code_of(response)
        result = run_tests(source, reference, self.limits, unsafe=self.unsafe)
        if result.passed is None:
            return result.reason
        return result.passed / result.tests if self.partial else float(result.passed == result.tests)

    def _map(self, reward: Callable[[Answered], float | str], items: Iterable[Answered]) -> Iterator[float | str]:
        """Tests as many responses at once as there are cores."""
        with ThreadPoolExecutor(count()) as pool:
            yield from pool.map(reward, items)


def code_of(response: str) -> str:
    """The code of a response: what stands between fences, all of it; the whole response where there are none."""
    fenced = _FENCE.findall(response)
    return "\n\n".join(fenced) if fenced else response
