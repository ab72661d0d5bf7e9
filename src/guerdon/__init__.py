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
    from guerdon.collect.agreement_run import annotator_agreement as annotator_agreement
    from guerdon.collect.choosing.choosing_config import ChoosingConfig as ChoosingConfig
    from guerdon.collect.choosing.learn_run import learn_collection as learn_collection
    from guerdon.collect.collect_config import CollectionConfig as CollectionConfig
    from guerdon.collect.collection_run import export_judgements as export_judgements
    from guerdon.collect.collection_run import invite_person as invite_person
    from guerdon.collect.collection_run import judge_collection as judge_collection
    from guerdon.collect.collection_run import serve_collection as serve_collection
    from guerdon.data.check import check_data as check_data
    from guerdon.data.check import describe_data as describe_data
    from guerdon.data.convert import convert_data as convert_data
    from guerdon.data.convert import split_data as split_data
    from guerdon.data.data_options import SplitConfig as SplitConfig
    from guerdon.data.read import load_rows as load_rows
    from guerdon.errors import GuerdonError as GuerdonError
    from guerdon.evaluate.advise import advise_reward as advise_reward
    from guerdon.evaluate.advise_config import AdviseConfig as AdviseConfig
    from guerdon.evaluate.agreement import evaluate_reward as evaluate_reward
    from guerdon.evaluate.audit.audit_config import AuditConfig as AuditConfig
    from guerdon.evaluate.audit.audit_files import audit_data as audit_data
    from guerdon.evaluate.audit.audit_files import audit_reward as audit_reward
    from guerdon.evaluate.calibrate import calibrate_reward as calibrate_reward
    from guerdon.evaluate.comparison import compare_rewards as compare_rewards
    from guerdon.evaluate.doctor import check_reward_model as check_reward_model
    from guerdon.evaluate.downstream import evaluate_downstream as evaluate_downstream
    from guerdon.evaluate.downstream_config import DownstreamConfig as DownstreamConfig
    from guerdon.evaluate.repair import repair_reward as repair_reward
    from guerdon.evaluate.repair_config import RepairConfig as RepairConfig
    from guerdon.explain.explain_config import ExplainConfig as ExplainConfig
    from guerdon.explain.explain_run import explain_reward as explain_reward
    from guerdon.optimize.best_of_n_run import run_best_of_n as run_best_of_n
    from guerdon.optimize.optimize_config import BestOfNConfig as BestOfNConfig
    from guerdon.optimize.optimize_config import LabelConfig as LabelConfig
    from guerdon.optimize.optimize_config import RLConfig as RLConfig
    from guerdon.optimize.optimize_config import WeightedConfig as WeightedConfig
    from guerdon.optimize.rl.environment import PromptEnvironment as PromptEnvironment
    from guerdon.optimize.rl.environment import TextEnvironment as TextEnvironment
    from guerdon.optimize.rl.environment import TurnResult as TurnResult
    from guerdon.optimize.rl.rl_run import train_rl_policy as train_rl_policy
    from guerdon.optimize.rollout_labels import label_steps as label_steps
    from guerdon.optimize.weighted import train_weighted_policy as train_weighted_policy
    from guerdon.quickstart.quickstart_config import QuickstartConfig as QuickstartConfig
    from guerdon.quickstart.quickstart_run import run_quickstart as run_quickstart
    from guerdon.recipes.job_events import JobEvents as JobEvents
    from guerdon.recipes.recipe_config import RecipeConfig as RecipeConfig
    from guerdon.recipes.recipe_run import run_recipe as run_recipe
    from guerdon.rewards.load import ScorerConfig as ScorerConfig
    from guerdon.rewards.load import load_scorer as load_scorer
    from guerdon.rewards.score_rows import score_rows as score_rows
    from guerdon.rewards.scoring import score_texts as score_texts
    from guerdon.train.fit_config import FitConfig as FitConfig
    from guerdon.train.fit_run import fit_reward as fit_reward
    from guerdon.train.judge_config import JudgeConfig as JudgeConfig
    from guerdon.train.judge_run import train_judge as train_judge
    from guerdon.train.train_config import TrainConfig as TrainConfig
    from guerdon.train.train_run import train_reward_model as train_reward_model
    from guerdon.train.verdict_config import VerdictConfig as VerdictConfig
    from guerdon.train.verdict_run import train_verdict_judge as train_verdict_judge
    from guerdon.types import Candidates as Candidates
    from guerdon.types import Comparer as Comparer
    from guerdon.types import Comparison as Comparison
    from guerdon.types import Message as Message
    from guerdon.types import Ranking as Ranking
    from guerdon.types import Rating as Rating
    from guerdon.types import ReasonedScorer as ReasonedScorer
    from guerdon.types import Reference as Reference
    from guerdon.types import Rewards as Rewards
    from guerdon.types import Scorer as Scorer
    from guerdon.types import Steps as Steps
    from guerdon.types import StepScorer as StepScorer
    from guerdon.types import ToolCall as ToolCall
    from guerdon.worlds.agent_run import train_agent as train_agent
    from guerdon.worlds.collect_run import collect_play as collect_play
    from guerdon.worlds.games import GameConfig as GameConfig
    from guerdon.worlds.games import make_games as make_games
    from guerdon.worlds.play import play_game as play_game
    from guerdon.worlds.watch import watch_game as watch_game
    from guerdon.worlds.world_config import AgentConfig as AgentConfig
    from guerdon.worlds.world_config import CollectConfig as CollectConfig

__version__ = "0.1.0"

_HOMES = {
    name: f"guerdon.{home}"
    for home, names in {
        "collect.agreement_run": "annotator_agreement",
        "collect.choosing.choosing_config": "ChoosingConfig",
        "collect.choosing.learn_run": "learn_collection",
        "collect.collect_config": "CollectionConfig",
        "collect.collection_run": "export_judgements invite_person judge_collection serve_collection",
        "data.check": "check_data describe_data",
        "data.convert": "convert_data split_data",
        "data.data_options": "SplitConfig",
        "data.read": "load_rows",
        "errors": "GuerdonError",
        "evaluate.advise": "advise_reward",
        "evaluate.advise_config": "AdviseConfig",
        "evaluate.agreement": "evaluate_reward",
        "evaluate.calibrate": "calibrate_reward",
        "evaluate.audit.audit_config": "AuditConfig",
        "evaluate.audit.audit_files": "audit_data audit_reward",
        "evaluate.comparison": "compare_rewards",
        "evaluate.doctor": "check_reward_model",
        "evaluate.downstream": "evaluate_downstream",
        "evaluate.downstream_config": "DownstreamConfig",
        "evaluate.repair": "repair_reward",
        "evaluate.repair_config": "RepairConfig",
        "explain.explain_config": "ExplainConfig",
        "explain.explain_run": "explain_reward",
        "optimize.best_of_n_run": "run_best_of_n",
        "optimize.optimize_config": "BestOfNConfig LabelConfig RLConfig WeightedConfig",
        "optimize.rl.environment": "PromptEnvironment TextEnvironment TurnResult",
        "optimize.rl.rl_run": "train_rl_policy",
        "optimize.rollout_labels": "label_steps",
        "optimize.weighted": "train_weighted_policy",
        "quickstart.quickstart_config": "QuickstartConfig",
        "quickstart.quickstart_run": "run_quickstart",
        "recipes.job_events": "JobEvents",
        "recipes.recipe_config": "RecipeConfig",
        "recipes.recipe_run": "run_recipe",
        "rewards.load": "ScorerConfig load_scorer",
        "rewards.score_rows": "score_rows",
        "rewards.scoring": "score_texts",
        "train.fit_config": "FitConfig",
        "train.fit_run": "fit_reward",
        "train.judge_config": "JudgeConfig",
        "train.judge_run": "train_judge",
        "train.train_config": "TrainConfig",
        "train.train_run": "train_reward_model",
        "train.verdict_config": "VerdictConfig",
        "train.verdict_run": "train_verdict_judge",
        "types": (
            "Candidates Comparer Comparison Message Ranking Rating ReasonedScorer Reference Rewards Scorer StepScorer "
            "Steps ToolCall"
        ),
        "worlds.agent_run": "train_agent",
        "worlds.collect_run": "collect_play",
        "worlds.games": "GameConfig make_games",
        "worlds.play": "play_game",
        "worlds.watch": "watch_game",
        "worlds.world_config": "AgentConfig CollectConfig",
    }.items()
    for name in names.split()
}
"""Public name -> the module that defines it."""

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    """Imports a public name from its home when it is first asked for."""
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'guerdon' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted({*globals(), *__all__})
