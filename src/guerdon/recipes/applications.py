"""The applications, a row each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.metrics import METRICS, Metric
from guerdon.recipes.readers import preferred_candidates, program_candidates, rated_candidates
from guerdon.train.fit_config import FitConfig
from guerdon.types import Candidates


@dataclass(frozen=True, slots=True)
class Recipe:
    """One application: how its data is read, and what a pick is worth."""

    title: str
    read: Callable[..., list[Candidates]]
    """Source and `ColumnOptions` -> candidates with a score each."""
    metric: Metric
    """What a pick is worth: the mean score of the candidates picked, or for retrieval the nDCG of the order of all."""
    members: tuple[str, ...]
    """What its reward is made of, unless told otherwise (see `guerdon.train.fit_config.FitConfig`)."""
    cross_validated: bool = False
    """Every fold is held out in turn; else one is."""


RATED = Metric("human_score", "human score of what is picked", "Mean human score of the picks.", decimals=None)
PREFERRED = Metric("preferred", "share of picks that people preferred", "Share of picks that nothing was preferred to.")
PASSED = Metric("passed", "share of picks that pass their tests", "Share of picked programs that pass their tests.")

_TEXT = FitConfig().members
_SOURCE = (*_TEXT, "likelihood")
"""Where a response is to be true to its prompt: a language model tells how likely it is given that."""
_CODE = (  # an encoder of prose reads no code; a language model has seen some
    "longest",
    "shortest",
    "surface",
    "tfidf",
    "likelihood",
    "decoder",
)
_RETRIEVAL = ("bm25", "embedding", "cosine")

RECIPES: dict[str, Recipe] = {
    "translation": Recipe("machine translation", rated_candidates, RATED, _SOURCE),
    "summarisation": Recipe("summarisation", rated_candidates, RATED, _SOURCE),
    "dialogue": Recipe("dialogue", preferred_candidates, PREFERRED, _TEXT),
    "question-answering": Recipe("question answering", preferred_candidates, PREFERRED, _TEXT),
    "code-generation": Recipe("code generation", program_candidates, PASSED, _CODE),
    "code-completion": Recipe("code completion", program_candidates, PASSED, _CODE),
    "retrieval": Recipe("retrieval re-ranking", rated_candidates, METRICS["ndcg"], _RETRIEVAL, cross_validated=True),
}
"""Name on the command line -> recipe."""


def recipe_named(name: str) -> Recipe:
    """The recipe of a name. Raises ConfigError."""
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}; known are {', '.join(RECIPES)}")
    return RECIPES[name]
