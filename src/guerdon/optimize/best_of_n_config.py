"""The options of best-of-n: the same object in Python and on the command line, and in the folder of the run."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class BestOfNConfig:
    """Where the responses come from, and out of how many the best is taken.

    Example:
        >>> BestOfNConfig(policy="smollm2", n=8).max_new_tokens
        128
    """

    policy: str | None = None
    """Language model that responds to the prompts: `smollm2`, a folder, a hub name, or what `endpoint` calls it."""
    endpoint: str | None = None
    """Address of an OpenAI-compatible server, for example http://localhost:8000/v1; the key, where it wants one, is
    read from OPENAI_API_KEY."""
    n: int = 0
    """Number of responses to each prompt; 0 takes 16 of a policy, and of a file as many as 90% of its prompts have."""
    max_new_tokens: int = 128
    """Largest length of a sampled response, in tokens."""
    temperature: float = 1.0
    """Sampling temperature."""
    top_p: float = 1.0
    """Share of the probability that sampling keeps: only the most probable tokens that hold it are drawn."""
    seed: int = 0
    """Random seed of the sampling and of the intervals."""

    def __post_init__(self) -> None:
        faults = option_faults(self, positive=("max_new_tokens", "top_p"))
        if self.endpoint and not self.policy:
            faults.append("--endpoint needs the server's name of the model in --policy")
        if self.n == 1:
            faults.append(f"--n must be 2 or more, got {self.n}")
        if faults:
            raise ConfigError("; ".join(faults))
