"""The options of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.train.train_config import TrainConfig

DEFAULT_TRAINING = TrainConfig(epochs=2, validation=0.0)
"""How a recipe trains unless told otherwise: nothing is held out to choose a checkpoint by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeConfig:
    """How a recipe divides its data, and which language model responds to the held-out prompts.

    Example:
        >>> RecipeConfig(folds=3, policy="smollm2").num_generations
        8
    """

    folds: int = 5
    """The prompts are dealt out to this many parts, one of which is measured on (retrieval: each in turn)."""
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    limit: int = 0
    """Train on about this many prompts; 0 takes all."""
    policy: str = ""
    """A language model that responds to held-out prompts, for the reward model to pick from: `smollm2`, a folder or a
    hub name. Unit tests, or a gold reward that never trained, tell what picking gains. Empty leaves this out."""
    num_prompts: int = 64
    """Number of held-out prompts that the policy responds to, at the most."""
    num_generations: int = 8
    """Number of responses of the policy to each prompt."""
    max_new_tokens: int = 128
    """Longest response of the policy, in tokens."""
    temperature: float = 0.7
    """Temperature of the policy's sampling."""

    def __post_init__(self) -> None:
        faults = []
        if self.folds < 2:
            faults.append(f"--folds must be 2 or more, got {self.folds}")
        if self.num_generations < 2:
            faults.append(f"--num-generations must be 2 or more, got {self.num_generations}")
        if self.num_prompts < 1:
            faults.append(f"--num-prompts must be 1 or more, got {self.num_prompts}")
        if faults:
            raise ConfigError("recipe options: " + "; ".join(faults))
