"""Whether a response has the form that was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.errors import ConfigError
from guerdon.types import Prompt


@dataclass(frozen=True, slots=True)
class Matches:
    """1 where a regular expression matches somewhere in the response, else 0."""

    pattern: str
    """As of Python's `re`, `.` matching line ends too: `^<think>.*</think>` asks for a beginning."""

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern, re.DOTALL)
        except re.error as error:
            raise ConfigError(f"{self.pattern!r} is not a regular expression: {error}") from error

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`."""
        found = re.compile(self.pattern, re.DOTALL)
        return np.array([float(found.search(text) is not None) for text in responses], dtype=np.float32)


@dataclass(frozen=True, slots=True)
class LengthWithin:
    """1 where the response has at least `least` and at most `most` characters; less, in proportion, outside.

    Below: length / least. Above: most / length.
    """

    least: int = 0
    most: int = 0
    """0 sets no limit."""

    def __post_init__(self) -> None:
        if self.least < 0 or (self.most and self.most < self.least):
            raise ConfigError(f"0 <= least <= most, or most 0 for no limit: got {self.least} and {self.most}")

    def score(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`."""
        return np.array([self._worth(len(text)) for text in responses], dtype=np.float32)

    def _worth(self, length: int) -> float:
        if length < self.least:
            return length / self.least
        return self.most / length if self.most and length > self.most else 1.0
