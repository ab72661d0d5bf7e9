"""Guerdon: a reward-model workbench for language models.

Every verb of the command line is a function here, and every function takes plain Python objects or the names that the
command line takes. A reward is anything that scores text:

    >>> import guerdon
    >>> longest = guerdon.load_scorer("longest")
    >>> longest.score(["How long does an egg take?"] * 2, ["Eight minutes.", "It depends."]).tolist()
    [14.0, 11.0]

Names are imported when they are first asked for, so `import guerdon` is instant. No name is that of a package, so
`guerdon.train` is always the folder of the stage and `guerdon.train_reward_model` the function.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from guerdon.data.check import check_data, describe_data
    from guerdon.data.convert import convert_data, split_data
    from guerdon.data.read import load_rows
    from guerdon.errors import GuerdonError
    from guerdon.evaluate.agreement import evaluate_reward
    from guerdon.evaluate.doctor import check_reward_model
    from guerdon.optimize.best_of_n_config import BestOfNConfig
    from guerdon.optimize.best_of_n_run import run_best_of_n
    from guerdon.optimize.rl.environment import PromptEnvironment, TextEnvironment, TurnResult
    from guerdon.optimize.rl.rl_config import RLConfig
    from guerdon.optimize.rl.rl_run import train_rl_policy
    from guerdon.optimize.weighted import train_weighted_policy
    from guerdon.optimize.weighted_config import WeightedConfig
    from guerdon.quickstart.quickstart_config import QuickstartConfig
    from guerdon.quickstart.quickstart_events import QuickstartEvents
    from guerdon.quickstart.quickstart_run import run_quickstart
    from guerdon.recipes.recipe_config import RecipeConfig
    from guerdon.recipes.recipe_events import RecipeEvents
    from guerdon.recipes.recipe_run import run_recipe
    from guerdon.rewards.load import ScorerConfig, load_scorer
    from guerdon.rewards.score_rows import score_rows
    from guerdon.rewards.scoring import score_texts
    from guerdon.train.train_config import TrainConfig
    from guerdon.train.train_run import train_reward_model
    from guerdon.types import (
        Candidates,
        Comparer,
        Comparison,
        Message,
        Ranking,
        Rating,
        ReasonedScorer,
        Reference,
        Rewards,
        Scorer,
        ToolCall,
    )

__version__ = "0.1.0"

__all__ = [
    "BestOfNConfig",
    "Candidates",
    "Comparer",
    "Comparison",
    "GuerdonError",
    "Message",
    "PromptEnvironment",
    "QuickstartConfig",
    "QuickstartEvents",
    "RLConfig",
    "Ranking",
    "Rating",
    "ReasonedScorer",
    "RecipeConfig",
    "RecipeEvents",
    "Reference",
    "Rewards",
    "Scorer",
    "ScorerConfig",
    "TextEnvironment",
    "ToolCall",
    "TrainConfig",
    "TurnResult",
    "WeightedConfig",
    "check_data",
    "check_reward_model",
    "convert_data",
    "describe_data",
    "evaluate_reward",
    "load_rows",
    "load_scorer",
    "run_best_of_n",
    "run_quickstart",
    "run_recipe",
    "score_rows",
    "score_texts",
    "split_data",
    "train_reward_model",
    "train_rl_policy",
    "train_weighted_policy",
]

_HOMES = {
    "BestOfNConfig": "guerdon.optimize.best_of_n_config",
    "GuerdonError": "guerdon.errors",
    "QuickstartConfig": "guerdon.quickstart.quickstart_config",
    "QuickstartEvents": "guerdon.quickstart.quickstart_events",
    "PromptEnvironment": "guerdon.optimize.rl.environment",
    "RLConfig": "guerdon.optimize.rl.rl_config",
    "TextEnvironment": "guerdon.optimize.rl.environment",
    "TurnResult": "guerdon.optimize.rl.environment",
    "RecipeConfig": "guerdon.recipes.recipe_config",
    "RecipeEvents": "guerdon.recipes.recipe_events",
    "ScorerConfig": "guerdon.rewards.load",
    "TrainConfig": "guerdon.train.train_config",
    "WeightedConfig": "guerdon.optimize.weighted_config",
    "check_data": "guerdon.data.check",
    "check_reward_model": "guerdon.evaluate.doctor",
    "convert_data": "guerdon.data.convert",
    "describe_data": "guerdon.data.check",
    "evaluate_reward": "guerdon.evaluate.agreement",
    "load_rows": "guerdon.data.read",
    "load_scorer": "guerdon.rewards.load",
    "run_best_of_n": "guerdon.optimize.best_of_n_run",
    "run_quickstart": "guerdon.quickstart.quickstart_run",
    "run_recipe": "guerdon.recipes.recipe_run",
    "score_rows": "guerdon.rewards.score_rows",
    "score_texts": "guerdon.rewards.scoring",
    "split_data": "guerdon.data.convert",
    "train_reward_model": "guerdon.train.train_run",
    "train_rl_policy": "guerdon.optimize.rl.rl_run",
    "train_weighted_policy": "guerdon.optimize.weighted",
}
"""Public name -> the module that defines it; a name that is not listed is defined in `guerdon.types`."""


def __getattr__(name: str) -> Any:
    """Imports a public name from its home when it is first asked for."""
    if name in __all__:
        value = getattr(importlib.import_module(_HOMES.get(name, "guerdon.types")), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'guerdon' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted({*globals(), *__all__})
