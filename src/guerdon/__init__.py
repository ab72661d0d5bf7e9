"""Guerdon: a reward-model workbench for language models.

Stages have their functions in their own folders: `guerdon.train.run.train`, `guerdon.evaluate.agreement.evaluate`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guerdon.data.read import load_rows
    from guerdon.rewards.load import load_scorer
    from guerdon.types import Comparer, Comparison, Message, Ranking, Rating, Reference, Scorer

__version__ = "0.1.0"

_HOMES = {
    "load_rows": "guerdon.data.read",
    "load_scorer": "guerdon.rewards.load",
    **dict.fromkeys(("Comparer", "Comparison", "Message", "Ranking", "Rating", "Reference", "Scorer"), "guerdon.types"),
}

__all__ = [
    "Comparer",
    "Comparison",
    "Message",
    "Ranking",
    "Rating",
    "Reference",
    "Scorer",
    "load_rows",
    "load_scorer",
]


def __getattr__(name: str) -> Any:
    """Imports a public name from its home when it is first asked for, so that `import guerdon` stays instant."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'guerdon' has no attribute {name!r}")
