"""How a judge is trained by reinforcement learning: the same object in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults

Scoring: TypeAlias = Literal["agreement", "log", "brier"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeConfig:
    """A judge that earns reward by agreeing with people, and pays for what it reads.

    Example:
        >>> JudgeConfig(algorithm="ppo").chunk_words
        12
    """

    algorithm: Literal["exact", "ppo"] = "exact"
    """How the reward is learnt. `exact`: by the expected return, which labels make computable; needs nothing sampled.
    `ppo`: by RLlib's PPO, from sampled episodes; needs the extra `rl`."""
    scoring: Scoring = "agreement"
    """What an answer earns: the share of people who agree with it, or a proper scoring rule for the probability that it
    states (exact alone)."""
    entropy: float = 0.1
    """Weight of the policy's entropy (exact alone; ppo has 0.03): rewards differ by (2 y - 1) / entropy where a share y
    of people prefers one."""
    training_cost: float = 0.01
    """What reading all of both responses costs while the reward is learnt, in units of agreement."""
    loss: float = 0.0075
    """How much accuracy may be lost by stopping early, on comparisons that the reward has not learnt from."""
    chunk_words: int = 12
    """Words of each response (characters of Chinese and Japanese) that are read at a time."""
    encoder: str = "minilm"
    """Frozen encoder whose vectors the judge reads: `minilm`, a folder in HF layout, or a hub name."""
    folds: int = 4
    """Parts of the groups for what is chosen or fitted on comparisons that the reward has not learnt from."""
    balance_length: float = 0.0
    """Let comparisons that the shorter response won count more: 1 as much in sum as those that the longer won."""
    iterations: int = 8
    """Of PPO: most iterations of 4,096 steps; where to end is chosen on groups kept aside."""
    device: str | None = None
    """Device of the frozen encoder; None takes a GPU where there is one."""
    trust_remote_code: bool = False
    """Run code that comes with the encoder; only for models you trust."""
    seed: int = 0
    """Seed of folds and sampling."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        faults = option_faults(self, positive=("chunk_words", "iterations"))
        if self.folds < 2:
            faults.append(f"--folds must be at least 2, got {self.folds}")
        if self.algorithm == "ppo" and self.scoring != "agreement":
            faults.append(f"--scoring {self.scoring} pays a probability, which a sampled answer does not state")
        if faults:
            raise ConfigError("; ".join(faults))
