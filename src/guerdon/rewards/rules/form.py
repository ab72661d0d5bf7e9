"""Whether a response has the form that was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.rewards.rules.rule import Rule
from guerdon.types import Prompt


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

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """1 where the pattern is found."""
        return float(re.search(self.pattern, response, re.DOTALL) is not None)


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

    def reward(self, prompt: Prompt, response: str, reference: str) -> float | str:
        """1 within the limits, a proportion outside."""
        length = len(response)
        if length < self.least:
            return length / self.least
        return self.most / length if self.most and length > self.most else 1.0
