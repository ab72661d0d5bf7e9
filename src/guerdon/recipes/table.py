"""The applications, a row each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from guerdon.errors import ConfigError
from guerdon.recipes.choices import Choice, code, judged, preferred


@dataclass(frozen=True, slots=True)
class Recipe:
    """From judgements to better picks in one application."""

    about: str
    read: Callable[[str], Sequence[Choice]]
    """Source -> choices."""
    yardstick: str
    """What the value of a candidate is."""
    metric: Literal["picked", "ndcg"] = "picked"
    """The value of what is picked, or nDCG@10 of the order of all."""
    cross: bool = False
    """Every fold is held out in turn; else one is."""


RECIPES: dict[str, Recipe] = {
    "translation": Recipe("machine translation", judged, "human score of the translation picked"),
    "summarisation": Recipe("summarisation", judged, "human score of the summary picked"),
    "dialogue": Recipe("dialogue", preferred, "share of answers picked that people preferred"),
    "question-answering": Recipe("question answering", preferred, "share of answers picked that people preferred"),
    "code-generation": Recipe("code generation", code, "share of programs picked that pass their tests"),
    "code-completion": Recipe("code completion", code, "share of programs picked that pass their tests"),
    "retrieval": Recipe("retrieval re-ranking", judged, "nDCG@10 of the passages", metric="ndcg", cross=True),
}
"""By name on the command line."""


def recipe_named(name: str) -> Recipe:
    """The recipe of a name. Raises ConfigError."""
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]
