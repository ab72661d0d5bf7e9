"""Rewards by rule: what can be checked, and what a trained model must beat before anyone should believe it."""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import log1p
from typing import ClassVar

import numpy as np

from guerdon.cpu import count
from guerdon.errors import ConfigError
from guerdon.rewards.sandbox import DEFAULT_LIMITS, Limits, run_tests
from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.types import Prompt, Prompts, References, Responses, Rewards, prompt_text

Answered = tuple[Prompt, str, str | None]
"""Prompt, response, reference."""

_NUMBER = re.compile(r"[-+\u2212]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?(?:/\d+)?|[-+\u2212]?\.\d+")
_MARKED = (re.compile(r"####\s*(.+)"), re.compile(r"\\boxed\{([^{}]*)\}"))
"""How data sets and models mark a final answer: GSM8K's ####, and \\boxed{} of mathematics."""
_FENCE = re.compile(r"```[ \t]*(?:python|py)?[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL | re.IGNORECASE)


class Rule(BaseScorer):
    """A reward that is computed for one response at a time, by a rule."""

    __slots__ = ()
    needs_reference: ClassVar[str] = ""
    """What a row must have as its reference ("reference answer"); empty where the rule needs none."""

    @abstractmethod
    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """The reward of one response, or the reason why it has none; the reference is empty where none is needed."""

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Scores n responses; those without a reference that the rule needs have no reward."""
        check_lengths(prompts, responses, references)
        given = [None] * len(responses) if references is None else references
        found = list(self._map(self._one, zip(prompts, responses, given, strict=True)))
        values = [np.nan if isinstance(one, str) else one for one in found]
        return Rewards(np.array(values, dtype=np.float32), tuple(one if isinstance(one, str) else "" for one in found))

    def _map(self, reward: Callable[[Answered], float | str], items: Iterable[Answered]) -> Iterable[float | str]:
        """Applies the rule to every response, in order."""
        return map(reward, items)

    def _one(self, item: Answered) -> float | str:
        prompt, response, reference = item
        if self.needs_reference and not (reference and reference.strip()):
            return f"the row has no {self.needs_reference}"
        return self._reward(prompt, response, reference or "")


@dataclass(frozen=True, slots=True)
class LengthReward(Rule):
    """The number of characters (Unicode code points) of the response: +1 is "longest wins", -1 "shortest wins".

    People often prefer longer answers, so length alone is right far more often than guessing: on the 10,105 pairs
    of UKPConvArg1-Strict that Guerdon is measured on, in about 77% of them.

    Example:
        >>> LengthReward().score(["Hello?", "Hello?"], ["Hi.", "Hello!"])
        array([3., 6.], dtype=float32)
    """

    sign: int = 1
    """+1 or -1, times which the length counts."""
    log: bool = False
    """Count log(1 + characters): the same order, and no long response outweighs all else where rewards are summed."""

    def __post_init__(self) -> None:
        if self.sign not in (1, -1):  # a zero would make every pair a tie
            raise ValueError(f"sign is +1 (longest wins) or -1 (shortest wins), got {self.sign!r}")

    @property
    def name(self) -> str:
        """What `load_scorer` takes."""
        return ("log-" if self.log else "") + ("longest" if self.sign > 0 else "shortest")

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        return self.sign * (log1p(len(response)) if self.log else float(len(response)))


@dataclass(frozen=True, slots=True)
class LengthWithin(Rule):
    """1 where the response has at least `least` and at most `most` characters; less, in proportion, outside.

    Below: length / least. Above: most / length.
    """

    least: int = 0
    most: int = 0
    """0 sets no limit."""

    def __post_init__(self) -> None:
        if self.least < 0 or (self.most and self.most < self.least):
            raise ConfigError(f"0 <= least <= most, or most 0 for no limit: got {self.least} and {self.most}")

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        length = len(response)
        if length < self.least:
            return length / self.least
        return self.most / length if self.most and length > self.most else 1.0


@dataclass(frozen=True, slots=True)
class Matches(Rule):
    """1 where a regular expression matches somewhere in the response, else 0."""

    pattern: str
    """A pattern of Python's `re`; `.` also matches line ends. `^<think>.*</think>` asks for a beginning."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern, re.DOTALL)
        except re.error as error:
            raise ConfigError(f"{self.pattern!r} is not a regular expression: {error}") from error

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        return float(re.search(self.pattern, response, re.DOTALL) is not None)


@dataclass(frozen=True, slots=True)
class ExactAnswer(Rule):
    r"""1 where the final answer is the reference, 0 where it is not; no reward without a reference.

    The final answer is what stands behind the last `####` or in the last `\boxed{}`, else the whole response; case,
    width, white space and a full stop at the end do not count.
    """

    needs_reference: ClassVar[str] = "reference answer"

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        return float(_normal(_final(response)) == _normal(_final(reference)))


@dataclass(frozen=True, slots=True)
class NumericAnswer(Rule):
    """1 where the last number of the final answer is that of the reference, 0 where it is not.

    No reward where there is no reference, or no number in it.
    """

    needs_reference: ClassVar[str] = "reference answer"
    tolerance: float = 0.0
    """Largest difference, relative to the reference, that still counts as equal."""

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        expected = last_number(_final(reference))
        if expected is None:
            return f"the reference has no number: {reference[:60]!r}"
        found = last_number(_final(response))
        return float(found is not None and abs(found - expected) <= Fraction(self.tolerance) * abs(expected))


def last_number(text: str) -> Fraction | None:
    """The last number in a text, exactly: 1,000 and 1e3 and 3/4 are numbers; None where there is none."""
    found = _NUMBER.findall(unicodedata.normalize("NFKC", text))
    if not found:
        return None
    over, _, under = found[-1].replace(",", "").replace("\u2212", "-").partition("/")
    try:
        return Fraction(Decimal(over)) / int(under or 1)
    except (InvalidOperation, ZeroDivisionError, OverflowError):
        return None


def _final(text: str) -> str:
    marked = [(match.start(), match.group(1)) for pattern in _MARKED for match in pattern.finditer(text)]
    return max(marked)[1] if marked else text


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".\u3002 ")


@dataclass(frozen=True, slots=True)
class ChrF(Rule):
    """chrF of the response and its reference, in [0, 1]; no reward without a reference.

    A yardstick for translations, summaries and short answers that needs no training, in any script.
    """

    needs_reference: ClassVar[str] = "reference text"
    order: int = 6
    """Longest n-grams, in characters."""
    beta: float = 2.0
    """Recall counts beta times as much as precision."""

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        return chrf(response, reference, order=self.order, beta=self.beta)


def chrf(text: str, reference: str, *, order: int = 6, beta: float = 2.0) -> float:
    """The character n-gram F-score (Popovic 2015; chrF2 as in sacrebleu, which gives it times 100).

        F = (1 + beta^2) P R / (beta^2 P + R)

    P and R are the shares of the n-grams of the text in the reference and the other way round, averaged over the orders
    1 to `order` that both have; white space does not count.
    """
    text, reference = "".join(text.split()), "".join(reference.split())
    precisions, recalls = [], []
    for n in range(1, order + 1):
        if len(text) < n or len(reference) < n:
            break
        found, wanted = (Counter(one[i : i + n] for i in range(len(one) - n + 1)) for one in (text, reference))
        shared = (found & wanted).total()
        precisions.append(shared / found.total())
        recalls.append(shared / wanted.total())
    if not precisions or not sum(precisions):
        return 0.0
    precision, recall = np.mean(precisions), np.mean(recalls)
    return float((1 + beta**2) * precision * recall / (beta**2 * precision + recall))


@dataclass(frozen=True, slots=True)
class UnitTests(Rule):
    """Runs Python code against the tests in `references`; no reward where there are none, or they could not be run.

    A test is an `assert` at the top level of the reference. Candidate and tests run in sandboxes of their own (see
    `guerdon.rewards.sandbox`): the tests call the candidate's functions by name, and only plain data crosses. Scoring
    raises ConfigError where this machine has no sandbox, and `unsafe` was not asked for.
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

    def _reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
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
