"""Whether code passes its unit tests."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from guerdon.cpu import count
from guerdon.rewards.rules.sandbox import USUAL, Limits, Verdict, run_tests
from guerdon.types import Prompt, prompt_text

logger = logging.getLogger(__name__)

_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UnitTests:
    """Runs Python code against the tests in `references`; NaN where there are none, or where they could not be run.

    A test is an `assert` at the top level of the reference. Candidate and tests run in sandboxes of their own (see
    `guerdon.rewards.rules.sandbox`): the tests call the candidate's functions by name, and only plain data crosses.
    """

    partial: bool = False
    """The share of tests passed, instead of 1 for all and 0 otherwise."""
    complete_prompt: bool = False
    """The response goes on where the prompt ends, as in code completion."""
    limits: Limits = USUAL
    unsafe: bool = False
    """Run without a sandbox where the machine has none: generated code then does what it likes."""

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`.

        Raises:
            ConfigError: this machine has no sandbox, and `unsafe` was not asked for.
        """
        given = references if references is not None else [None] * len(responses)
        work = list(zip(prompts, responses, given, strict=True))
        with ThreadPoolExecutor(count()) as pool:
            verdicts = list(pool.map(lambda one: self._verdict(*one), work))
        broken = [verdict.reason for verdict in verdicts if verdict is not None and verdict.passed is None]
        if broken:
            logger.warning("%d of %d responses have no verdict: %s", len(broken), len(responses), broken[0])
        return np.array([self._worth(verdict) for verdict in verdicts], dtype=np.float32)

    def _verdict(self, prompt: Prompt, response: str, tests: str | None) -> Verdict | None:
        if not tests or not tests.strip():
            return None
        source = prompt_text(prompt) + response if self.complete_prompt else code_of(response)
        return run_tests(source, tests, self.limits, unsafe=self.unsafe)

    def _worth(self, verdict: Verdict | None) -> float:
        if verdict is None or verdict.passed is None:
            return float("nan")
        return verdict.passed / verdict.tests if self.partial else float(verdict.passed == verdict.tests)


def code_of(response: str) -> str:
    """The code of a response: what stands between fences, all of it; the whole response where there are none."""
    fenced = _FENCE.findall(response)
    return "\n\n".join(fenced) if fenced else response
