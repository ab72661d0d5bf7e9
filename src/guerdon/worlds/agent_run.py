"""An agent trained by RLlib's PPO, as it comes: on the true score, or on a learned reward."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.errors import ConfigError, MissingExtraError, ModelError
from guerdon.files import check_writable, write_json
from guerdon.metrics import Interval, mean_interval
from guerdon.rewards.load import ScorerConfig
from guerdon.worlds.agent import WEIGHTS_FILE, CommandRanker, Episode, play_episodes, save_agent
from guerdon.worlds.games import find_games, import_textworld
from guerdon.worlds.imitation import imitate_play
from guerdon.worlds.paid import LearnedPay, PotentialPay
from guerdon.worlds.world_config import AgentConfig

RECORD_FILE = "training.json"
_SCALING_EPISODES = 10


@dataclass(frozen=True, slots=True)
class PPOUpdate:
    """One update of PPO."""

    steps: int
    """Steps in games so far."""
    seconds: float
    score: float
    """Mean true score of the episodes that ended since the update before, as a share; NaN where none did."""
    won: float
    """Share of them that were won."""


@dataclass(frozen=True, slots=True, eq=False)
class Played:
    """What a player reached in episodes of some games."""

    player: str
    """`random`, `agent` (drawn), or `agent, greedy`."""
    where: str
    """`training games` or `unseen games`."""
    score: Interval
    """Mean true score as a share of the highest; 95% interval over episodes, those of a game together where there are
    several."""
    won: float
    """Share of the episodes."""

    @classmethod
    def of(cls, player: str, where: str, episodes: Sequence[Episode]) -> Played:
        """What these episodes reached."""
        names = [episode.game.stem for episode in episodes]
        clusters = names if len(set(names)) > 1 else [str(number) for number in range(len(names))]
        score = mean_interval(np.array([episode.score for episode in episodes]), clusters)
        return cls(player, where, score, float(np.mean([episode.won for episode in episodes])))


@dataclass(frozen=True, slots=True, eq=False)
class TrainedAgent:
    """An agent, how its training went, and what it reaches."""

    network: CommandRanker
    progress: list[PPOUpdate]
    played: list[Played]
    without_reward: int
    """Steps of training whose piece of play had no reward."""


def train_agent(
    games: Sequence[str | Path],
    out: str | Path,
    config: AgentConfig | None = None,
    *,
    reward: ScorerConfig | str | None = None,
    imitate: str | Path | None = None,
    unseen: Sequence[str | Path] = (),
    on_update: Callable[[PPOUpdate], None] = lambda progress: None,
) -> TrainedAgent:
    """Trains an agent that ranks the commands of a game, and lets it play beside random commands.

    It is trained by PPO on what is paid, or, where `imitate` is given, to give the commands of collected play.

    Args:
        games: game files, or folders of them; each episode is one of them.
        out: folder of the agent.
        config: how.
        reward: what is paid: the rise of this reward over its highest value in the episode; None pays the rise of the
            true score, which is sparse where the game's is.
        imitate: folder of collected play of these games (`collect_play`) whose commands it learns to give.
        unseen: games that are played at the end only.
        on_update: called after each update.

    Raises:
        DataError: no game, or play of other games.
        ConfigError: a reward and play to imitate.
        MissingExtraError: TextWorld or RLlib is not installed.
        ModelError: the reward cannot be loaded, or never rises.
        OutputError: the folder cannot be written.

    Example:
        >>> guerdon.train_agent(["games"], "agent", reward="reward").played[-1].score.point
    """
    if reward is not None and imitate is not None:
        raise ConfigError(
            "an agent learns from a reward or imitates play, not both. Fix: leave --reward or --imitate out"
        )
    config, out = config or AgentConfig(), Path(out)
    import_textworld()
    paths, others = find_games(games), find_games(unseen) if unseen else []
    check_writable(out / WEIGHTS_FILE)
    scorer = ScorerConfig(name=reward) if isinstance(reward, str) else reward
    progress: list[PPOUpdate] = []
    missing = 0
    if imitate is not None:
        network = imitate_play(paths, Path(imitate), config)
    else:
        network, progress, missing = _ppo(paths, _pay(scorer, paths, config), config, on_update)
    played = []
    for where, some in (("training games", paths), ("unseen games", others)):
        each = [path for path in some for _ in range(config.eval_episodes)]
        for player, greedy in (("random", False), ("agent", False), ("agent, greedy", True)) if each else ():
            who = None if player == "random" else network
            # Greedy play of one game is the same each time.
            episodes = play_episodes(
                who, some if greedy else each, greedy=greedy, max_steps=config.max_steps, seed=config.seed
            )
            played.append(Played.of(player, where, episodes))
    trained = TrainedAgent(network, progress, played, missing)
    save_agent(network, out)
    learnt_from = {"reward": scorer.name if scorer else None, "imitated": str(imitate) if imitate else None}
    write_json(out / RECORD_FILE, {"config": dataclasses.asdict(config)} | learnt_from | _record(trained))
    return trained


def _record(trained: TrainedAgent) -> dict[str, Any]:
    """What `training.json` says of the training."""
    return {
        "without_reward": trained.without_reward,
        "played": [_without_nan(one) | {"score": _without_nan(one.score)} for one in trained.played],
        "progress": [_without_nan(one) for one in trained.progress],
    }


def _without_nan(found: Any) -> dict[str, Any]:
    """The fields, None for what is not known."""
    return {name: None if value != value else value for name, value in dataclasses.asdict(found).items()}


def _pay(scorer: ScorerConfig | None, paths: Sequence[Path], config: AgentConfig) -> Callable[[], LearnedPay] | None:
    """Makes what pays by a learned reward; None without one."""
    if scorer is None:
        return None
    kind = partial(PotentialPay, gamma=config.gamma) if config.shaping == "potential" else LearnedPay
    return partial(kind, scorer, length=config.length, scale=_scale(scorer, paths, config))


def _scale(scorer: ScorerConfig, paths: Sequence[Path], config: AgentConfig) -> float:
    """How far the reward rises in an episode of random commands, in the mean: the unit of what is paid."""
    rises = []
    every = [paths[number % len(paths)] for number in range(_SCALING_EPISODES)]
    for episode in play_episodes(None, every, max_steps=config.max_steps, seed=config.seed):
        pay = LearnedPay(scorer, length=config.length)
        pay.begin(episode.situations[0], episode.objective)
        rises.append(sum(map(pay.step, episode.situations[1:])))
    if not (scale := float(np.mean(rises))) > 0:
        raise ModelError(f"{scorer.name} never rises in {_SCALING_EPISODES} games of random commands: nothing to learn")
    return scale


def _ppo(
    paths: Sequence[Path],
    pay: Callable[[], LearnedPay] | None,
    config: AgentConfig,
    on_update: Callable[[PPOUpdate], None],
) -> tuple[CommandRanker, list[PPOUpdate], int]:
    """Trains by RLlib's PPO; also gives how many steps had no reward."""
    try:
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.core.rl_module.rl_module import RLModuleSpec
    except ImportError as error:
        raise MissingExtraError("Training agents", "ray[rllib]", "worlds") from error
    from guerdon.runs.ray_cluster import ray_running
    from guerdon.worlds.agent_module import RankerModule
    from guerdon.worlds.game_environment import TextGameEnv

    settings = {
        "games": [path.resolve() for path in paths],
        "max_steps": config.max_steps,
        "win_bonus": config.win_bonus,
        "pay": pay,
    }
    batch = config.envs * config.fragment
    ppo = (
        PPOConfig()
        .environment(TextGameEnv, env_config=settings)
        .env_runners(
            num_env_runners=config.env_runners,
            num_envs_per_env_runner=config.envs // max(1, config.env_runners),
            rollout_fragment_length=config.fragment,
        )
        .rl_module(rl_module_spec=RLModuleSpec(module_class=RankerModule))
        .training(
            lr=config.learning_rate,
            gamma=config.gamma,
            lambda_=config.lam,
            entropy_coeff=config.entropy,
            train_batch_size_per_learner=batch,
            minibatch_size=min(128, batch),
            num_epochs=config.epochs,
            use_kl_loss=False,
            clip_param=0.2,
            vf_clip_param=10.0,
            grad_clip=0.5,
        )
        .callbacks(on_episode_end=_log_score)
        .debugging(seed=config.seed, log_level="ERROR")
    )
    progress: list[PPOUpdate] = []
    missing = 0
    start = time.monotonic()
    with ray_running(config.env_runners):
        algorithm = ppo.build_algo()
        try:
            while not progress or progress[-1].steps < config.steps:
                found: Mapping[str, Any] = algorithm.train()["env_runners"]
                steps, seconds = (len(progress) + 1) * batch, time.monotonic() - start
                score, won = (float(found.get(name, np.nan)) for name in ("score", "won"))
                missing += int(np.nan_to_num(found.get("without_reward", 0)))  # NaN where no episode has ended
                progress.append(PPOUpdate(steps, seconds, score, won))
                on_update(progress[-1])
            network = CommandRanker()
            network.load_state_dict(algorithm.get_module().network.state_dict())
        finally:
            algorithm.stop()
    return network.eval(), progress, missing


def _log_score(*, episode: Any, metrics_logger: Any, **_: Any) -> None:
    """Logs the true score of an episode that has ended, and its steps without a reward."""
    info = episode.get_infos(-1)
    for name in ("score", "won"):
        metrics_logger.log_value(name, float(info[name]), reduce="mean", window=20)
    metrics_logger.log_value("without_reward", info["without_reward"], reduce="sum")
