"""The applications, a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.metrics import METRICS, Metric
from guerdon.recipes.readers import preferred_candidates, program_candidates, rated_candidates
from guerdon.types import Candidates


@dataclass(frozen=True, slots=True)
class Recipe:
    """One application: how its data is read, and what a pick is worth."""

    title: str
    read: Callable[[str, str | None], list[Candidates]]
    """Source and question of it (see `ReadOptions`) -> candidates with a score each."""
    metric: Metric
    """What a pick is worth: the mean score of the candidates picked, or for retrieval the nDCG of the order of all."""
    cross_validated: bool = False
    """Every fold is held out in turn; else one is."""


RATED = Metric("human_score", "human score of what is picked", "Mean human score of the picks.", decimals=None)
PREFERRED = Metric("preferred", "share of picks that people preferred", "Share of picks that nothing was preferred to.")
PASSED = Metric("passed", "share of picks that pass their tests", "Share of picked programs that pass their tests.")

RECIPES: dict[str, Recipe] = {
    "translation": Recipe("machine translation", rated_candidates, RATED),
    "summarisation": Recipe("summarisation", rated_candidates, RATED),
    "dialogue": Recipe("dialogue", preferred_candidates, PREFERRED),
    "question-answering": Recipe("question answering", preferred_candidates, PREFERRED),
    "code-generation": Recipe("code generation", program_candidates, PASSED),
    "code-completion": Recipe("code completion", program_candidates, PASSED),
    "retrieval": Recipe("retrieval re-ranking", rated_candidates, METRICS["ndcg"], cross_validated=True),
}
"""Name on the command line -> recipe."""


def recipe_named(name: str) -> Recipe:
    """The recipe of a name. Raises ConfigError."""
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]
