"""What can be said about optimising a policy: the same object in Python, on the command line, and in the run folder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from guerdon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedConfig:
    """A run of reward-weighted training."""

    policy: str = "smollm2"
    """Causal language model to start from: `smollm2`, a folder, or a hub name."""
    objective: Literal["reward", "rwr", "raft"] = "reward"
    """`reward`: L_MLE - lambda R, with the references of the data, where it has them; `rwr`: weights exp(R / beta);
    `raft`: the best answer to each prompt alone."""
    lam: float = 1.0
    """The lambda of `reward`: what a unit of reward is worth, in nats of likelihood."""
    beta: float = 1.0
    """The temperature of `rwr`, in units of the reward."""
    samples: int = 4
    """Answers sampled to each prompt of a step."""
    prompts_per_step: int = 16
    """Prompts of an optimiser step, over all devices."""
    epochs: float = 1.0
    """Passes over the prompts."""
    learning_rate: float = 0.0
    """Peak rate of AdamW; 0 takes 1e-5, or 1e-4 for LoRA."""
    warmup: float = 0.1
    """Share of the steps over which the rate rises; it then falls to 0 along a line."""
    weight_decay: float = 0.0
    """Of weight matrices."""
    lora_rank: int = 16
    """Rank of LoRA adapters, which are merged when the policy is saved; 0 trains all weights."""
    lora_alpha: int = 32
    """LoRA's scale: updates are multiplied by alpha / rank."""
    max_new_tokens: int = 128
    """Longest answer, in tokens."""
    temperature: float = 1.0
    """Of the sampling."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 is a tenth of the run."""
    tokens_per_batch: int = 0
    """Padded tokens of a micro-batch; 0 is 16384 on a GPU and 1024 on a CPU."""
    seed: int = 0
    """Of the order of the prompts and of the sampling."""
    trust_remote_code: bool = False
    """Run code that comes with the policy; only for models you trust."""

    def __post_init__(self) -> None:
        faults = []
        for name in ("samples", "prompts_per_step", "max_new_tokens"):
            if getattr(self, name) < 1:
                faults.append(f"--{name.replace('_', '-')} must be at least 1, got {getattr(self, name)}")
        for name in ("epochs", "beta", "temperature"):
            if not getattr(self, name) > 0:
                faults.append(f"--{name} must be above 0, got {getattr(self, name)}")
        numbers = [field.name for field in fields(self) if isinstance(getattr(self, field.name), int | float)]
        faults += [f"--{name.replace('_', '-')} must not be negative" for name in numbers if getattr(self, name) < 0]
        if self.samples < 2 and self.objective in ("reward", "raft"):
            faults.append(f"--objective {self.objective} compares answers: --samples must be at least 2")
        if faults:
            raise ConfigError("; ".join(faults))
