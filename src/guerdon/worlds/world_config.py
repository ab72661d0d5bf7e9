"""How play is collected, and how an agent is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from guerdon.errors import ConfigError

Judge = Literal["score", "person"]
Shaping = Literal["rise", "potential"]


@dataclass(frozen=True, kw_only=True)
class CollectConfig:
    """Who plays, and which pieces are compared.

    Example:
        >>> CollectConfig(pairs=3000).walkthrough_share
        0.5
    """

    episodes: int = 60
    """Episodes that are played, spread over the games."""
    pairs: int = 3000
    """Pairs of pieces that are compared."""
    length: int = 1
    """Steps of a piece. Two pieces of one game and equally many steps are compared by where they lead."""
    walkthrough_share: float = 0.5
    """Share of the episodes that begin with steps of TextWorld's walkthrough, a number drawn from none to all of them:
    random commands alone hardly ever see the end of a game. How many such steps were taken is printed."""
    agent: str | None = None
    """Folder of an agent that plays instead of random commands."""
    judge: Judge = "score"
    """Who compares: the true score, or a person in the terminal."""
    max_steps: int = 100
    """An episode's limit."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        faults = _below_one(episodes=self.episodes, pairs=self.pairs, length=self.length, max_steps=self.max_steps)
        if not 0 <= self.walkthrough_share <= 1:
            faults.append(f"--walkthrough-share must be from 0 to 1, got {self.walkthrough_share}")
        if self.judge not in get_args(Judge):
            faults.append(f"--judge must be one of {', '.join(get_args(Judge))}; got {self.judge!r}")
        if faults:
            raise ConfigError("; ".join(faults))


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """How an agent is trained by PPO.

    Example:
        >>> AgentConfig(steps=16_384).gamma
        0.95
    """

    steps: int = 16_384
    """Steps in games, all together; with imitation, as many examples, each as often as `epochs` says."""
    length: int = 1
    """Steps of the pieces that the reward reads: as many as it was trained on."""
    shaping: Shaping = "rise"
    """How a learned reward is paid. rise: each new height, so that nothing is gained by going back and forth.
    potential: gamma times what it says now less what it said before, 0 at the end of a game, which leaves the best play
    of the win bonus as it is (Ng et al. 1999)."""
    win_bonus: float = 1.0
    """Paid for a win besides, whatever else is paid."""
    learning_rate: float = 1e-3
    """Learning rate of Adam."""
    gamma: float = 0.95
    """Discount of later payments."""
    lam: float = 0.9
    """Lambda of PPO's generalised advantage estimation."""
    entropy: float = 0.02
    """Weight of the policy's entropy."""
    epochs: int = 4
    """Passes over each batch."""
    envs: int = 8
    """Games that are played side by side."""
    env_runners: int = 0
    """Processes that share these games; 0 plays them in this one."""
    fragment: int = 64
    """Steps of each between two updates."""
    max_steps: int = 100
    """An episode's limit."""
    eval_episodes: int = 10
    """Episodes of each game that the trained agent plays at the end, drawn and greedily."""
    seed: int = 0
    """Random seed."""

    def __post_init__(self) -> None:
        faults = _below_one(
            steps=self.steps, length=self.length, epochs=self.epochs, envs=self.envs, fragment=self.fragment,
            max_steps=self.max_steps, eval_episodes=self.eval_episodes,
        )  # fmt: skip
        if self.shaping not in get_args(Shaping):
            faults.append(f"--shaping must be one of {', '.join(get_args(Shaping))}; got {self.shaping!r}")
        if self.env_runners < 0 or (self.env_runners and self.envs % self.env_runners):
            faults.append(f"--env-runners must divide --envs {self.envs}, or be 0; got {self.env_runners}")
        if self.learning_rate <= 0:
            faults.append(f"--learning-rate must be above 0, got {self.learning_rate}")
        if not (0 <= self.gamma <= 1 and 0 <= self.lam <= 1):
            faults.append(f"--gamma and --lam must be from 0 to 1, got {self.gamma} and {self.lam}")
        if faults:
            raise ConfigError("; ".join(faults))


def _below_one(**values: int) -> list[str]:
    """Faults of numbers that must be 1 or more."""
    return [f"--{name.replace('_', '-')} must be 1 or more, got {value}" for name, value in values.items() if value < 1]
