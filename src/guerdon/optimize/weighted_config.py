"""The options of reward-weighted training: the same object in Python, on the command line, and in the run folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedConfig:
    """A run of reward-weighted training.

    Example:
        >>> WeightedConfig(objective="raft", num_generations=8).prompts_per_step
        16
    """

    policy: str = "smollm2"
    """Causal language model to start from: `smollm2`, a folder, or a hub name."""
    objective: Literal["reward", "rwr", "raft"] = "reward"
    """How responses are weighted. `reward`: L_MLE - lambda R, with the demonstrations of the data, where it has some;
    `rwr`: weights proportional to exp(R / beta); `raft`: only the best response to each prompt counts."""
    lam: float = 1.0
    """The lambda of objective `reward`: nats of log-likelihood that one unit of reward is worth."""
    beta: float = 1.0
    """The temperature of objective `rwr`, in units of the reward: the smaller, the more the best response counts."""
    num_generations: int = 4
    """Number of responses that are sampled for each prompt of a step."""
    prompts_per_step: int = 16
    """Number of prompts of an optimiser step, over all devices."""
    epochs: float = 1.0
    """Number of passes over the prompts."""
    learning_rate: float = 0.0
    """Peak learning rate of AdamW; 0 takes 1e-5, or 1e-4 for LoRA."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    weight_decay: float = 0.0
    """Weight decay of AdamW, for weight matrices only."""
    lora_r: int = 16
    """Rank of the LoRA adapters, which are merged when the policy is saved; 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of LoRA: updates are multiplied by lora_alpha / lora_r."""
    max_new_tokens: int = 128
    """Largest length of a response, in tokens."""
    temperature: float = 1.0
    """Sampling temperature."""
    save_steps: int = 0
    """Number of steps between checkpoints; 0 saves ten times in a run."""
    tokens_per_batch: int = 0
    """Padded tokens of a micro-batch: lower it when memory runs out; 0 takes 16384 on a GPU and 1024 on a CPU."""
    seed: int = 0
    """Random seed of the order of the prompts, of new adapters and of the sampling."""
    trust_remote_code: bool = False
    """Run code that comes with the policy; only for models you trust."""

    def __post_init__(self) -> None:
        counts = ("num_generations", "prompts_per_step", "max_new_tokens", "lora_alpha")
        faults = option_faults(self, positive=(*counts, "epochs", "beta", "temperature"), below={"warmup_ratio": 1.0})
        if self.num_generations < 2 and self.objective in ("reward", "raft"):
            faults.append(f"--objective {self.objective} compares responses: --num-generations must be at least 2")
        if faults:
            raise ConfigError("; ".join(faults))
