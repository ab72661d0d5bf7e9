"""The options of a recipe."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.train.fit_config import MEMBERS, FitConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeConfig:
    """How a recipe divides its data, what its reward is made of, and which language model responds to others.

    Example:
        >>> RecipeConfig(folds=3, policy="smollm2").num_generations
        8
    """

    folds: int = 5
    """The prompts are dealt out to this many parts, one of which is measured on (retrieval: each in turn)."""
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None = None
    """Columns of other names: prompt=question,response=answer,score=quality, or a JSON file of them."""
    limit: int = 0
    """Train on about this many prompts; 0 takes all."""
    members: tuple[str, ...] = ()
    """What the reward is made of, as for `guerdon fit`, but for saved models, which may have learnt from what is
    measured; none named: what suits the application."""
    encoder: str = FitConfig.encoder
    """Frozen model of embedding and cosine: minilm, a folder, or a hub name."""
    reader: str = FitConfig.policy
    """Causal language model of likelihood and decoder: smollm2, a folder, or a hub name."""
    device: str | None = None
    """Device of the frozen models: cpu, cuda, cuda:1, mps ...; None takes a GPU where there is one."""
    seed: int = 0
    """Random seed of the folds, of the prompts that --limit takes, and of what the policy samples."""
    policy: str = ""
    """A language model that responds to held-out prompts, for the reward to pick from: `smollm2`, a folder or a
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
        if unknown := [name for name in self.members if name not in MEMBERS]:
            faults.append(f"--members must be of {', '.join(MEMBERS)}; got {', '.join(unknown)}")
        if self.num_generations < 2:
            faults.append(f"--num-generations must be 2 or more, got {self.num_generations}")
        if self.num_prompts < 1:
            faults.append(f"--num-prompts must be 1 or more, got {self.num_prompts}")
        if faults:
            raise ConfigError("recipe options: " + "; ".join(faults))
