"""The applications, a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from guerdon.errors import ConfigError
from guerdon.recipes.readers import preferred_candidates, program_candidates, rated_candidates
from guerdon.types import Candidates


@dataclass(frozen=True, slots=True)
class Recipe:
    """From judgements to better picks in one application."""

    title: str
    read: Callable[[str], list[Candidates]]
    """Source -> candidates with a score each."""
    yardstick: str
    """What the score of a candidate is."""
    metric: Literal["picked", "ndcg"] = "picked"
    """The score of what is picked, or nDCG@10 of the order of all."""
    cross_validated: bool = False
    """Every fold is held out in turn; else one is."""


RECIPES: dict[str, Recipe] = {
    "translation": Recipe("machine translation", rated_candidates, "human score of the translation picked"),
    "summarisation": Recipe("summarisation", rated_candidates, "human score of the summary picked"),
    "dialogue": Recipe("dialogue", preferred_candidates, "share of responses picked that people preferred"),
    "question-answering": Recipe(
        "question answering", preferred_candidates, "share of responses picked that people preferred"
    ),
    "code-generation": Recipe("code generation", program_candidates, "share of programs picked that pass their tests"),
    "code-completion": Recipe("code completion", program_candidates, "share of programs picked that pass their tests"),
    "retrieval": Recipe(
        "retrieval re-ranking", rated_candidates, "nDCG@10 of the passages", metric="ndcg", cross_validated=True
    ),
}
"""By name on the command line."""


def recipe_named(name: str) -> Recipe:
    """The recipe of a name. Raises ConfigError."""
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]
