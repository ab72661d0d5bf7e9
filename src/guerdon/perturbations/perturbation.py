"""What a perturbation is: a pure function of a response, the same for the same seed."""

from __future__ import annotations

import functools
import hashlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, NamedTuple, TypeAlias

from guerdon.text.language import Language, language_of
from guerdon.types import Prompt, prompt_text

Change: TypeAlias = Callable[[str, str, Language, random.Random], str | None]
"""(response, what was asked, language of the response, random numbers) -> the changed response; None where it does not
apply."""
Measure: TypeAlias = Callable[[str, str], float]
"""(response, what was asked) -> how much of it a response has by itself."""
Liking: TypeAlias = Literal["no", "same", "depends"]
"""Whether people would prefer the changed response. `no`: nothing is gained, or something lost. `same`: both say the
same. `depends`: on taste and on the question, so that the choices of people must be asked."""


class Matched(NamedTuple):
    """Two texts that differ in one thing."""

    changed: str
    control: str
    """What it stands against: the response itself, or the response with the other half of a contrast."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One thing that can be changed in a response."""

    name: str
    family: str
    """What kinds of change it belongs to; the tables are ordered by it."""
    about: str
    """What is done, in a few words that go on after `the response`."""
    liked: Liking
    change: Change
    control: Change | None = None
    """The other half of a contrast (`Speaking as a man` to `Speaking as a woman`); None is the response itself."""
    measure: Measure | None = None
    """How much of it natural responses have: what the choices of people are compared by."""
    style: str = ""
    """What is measured, where it is not what the name says."""
    languages: tuple[Language, ...] = ("en", "zh")

    @property
    def measured(self) -> str:
        """What natural responses have more or less of."""
        return self.style or self.name

    @property
    def same_meaning(self) -> bool:
        """Whether a pair of responses must keep its order when both are changed."""
        return self.family == SAME_MEANING

    def apply(self, prompt: Prompt, response: str, *, seed: int = 0) -> Matched | None:
        """Changes a response.

        Args:
            prompt: what it answers.
            response: any text.
            seed: another seed, other random choices; with one seed, the result depends on the two texts alone.

        Returns:
            The changed text and its control; None where there is nothing to change, or no words for its language.
        """
        language = language_of(response)
        if language is None or language not in self.languages:
            return None
        asked = last_question(prompt)
        key = f"{seed}\0{self.name}\0{asked}\0{response}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")
        changed = self.change(response, asked, language, random.Random(number))
        control = response
        if self.control is not None:
            control = self.control(response, asked, language, random.Random(number)) or response
        return None if changed is None or changed == control else Matched(changed, control)


SAME_MEANING, DAMAGE = "same meaning", "damage"
"""The family of the transformations that keep the meaning, and that of changes which a reward should notice."""


def last_question(prompt: Prompt) -> str:
    """What was asked last: the content of the last user turn, or a prompt that is no chat as it is."""
    if isinstance(prompt, str):
        return prompt
    return next((turn.content for turn in reversed(prompt) if turn.role == "user"), prompt_text(prompt))


@functools.cache
def phrases(name: str) -> dict[Language, list[Any]]:
    """Sentences and phrases of `phrases.json`, by language."""
    found: dict[Language, list[Any]] = _read("phrases.json")[name]
    return found


@functools.cache
def words(name: str) -> dict[Language, dict[str, str]]:
    """Words and what they are replaced by, of `words.json`, by language."""
    found: dict[Language, dict[str, str]] = _read("words.json")[name]
    return found


@functools.cache
def marks(name: str) -> list[str]:
    """The regular expressions of `marks.json` by which a style is recognised, in every language."""
    return [pattern for patterns in _read("marks.json")[name].values() for pattern in patterns]


@functools.cache
def _read(file: str) -> Any:
    return json.loads((resources.files(__package__) / file).read_text(encoding="utf-8"))
