"""How rewards are put to use in an evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class DownstreamConfig:
    """How rewards are put to use.

    Example:
        >>> DownstreamConfig(policy="smollm2", n=8, rl_steps=10).max_new_tokens
        64
    """

    policy: str | None = None
    """Language model that responds to the prompts, for best of n and for RL; not needed where the data hold
    responses and there is no RL."""
    n: int = 0
    """Number of responses to each prompt; 0 takes 8 of a policy, and of a file as many as 90% of its prompts have."""
    rl_steps: int = 0
    """Number of steps of reinforcement learning (GRPO) by each reward; 0 trains nothing."""
    prompts_per_step: int = 8
    """Number of prompts of a step of RL."""
    learning_rate: float = 1e-4
    """Learning rate of the LoRA adapters of RL."""
    max_new_tokens: int = 64
    """Largest length of a sampled response, in tokens."""
    temperature: float = 1.0
    """Sampling temperature."""

    def __post_init__(self) -> None:
        if self.rl_steps and not self.policy:
            raise ConfigError("--rl-steps needs a --policy to train")
