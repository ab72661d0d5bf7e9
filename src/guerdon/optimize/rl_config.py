"""The options of reinforcement learning: the same object in Python, on the command line, and in the run folder."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal

from guerdon.errors import ConfigError


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _below(config: Any, least: int, *names: str) -> list[str]:
    return [
        f"{_option(name)} must be at least {least}, got {getattr(config, name)}"
        for name in names
        if getattr(config, name) < least
    ]


def _negative(config: Any) -> list[str]:
    numbers = [field.name for field in fields(config) if isinstance(getattr(config, field.name), int | float)]
    return [f"{_option(name)} must not be negative" for name in numbers if getattr(config, name) < 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RLConfig:
    """A run of RL fine-tuning."""

    policy: str = "smollm2"
    """Causal language model to start from: `smollm2`, a folder, or a hub name."""
    algorithm: str = "grpo"
    """ppo, rloo, reinforce++, grpo, dr-grpo, dapo, gspo or cispo: a row of the table in docs/optimize.md."""
    samples: int = 8
    """Answers to each prompt, which are compared with each other by all but ppo and reinforce++."""
    prompts_per_step: int = 16
    """Prompts of a sampling step, over all runners."""
    epochs: float = 1.0
    """Passes over the prompts."""
    passes: int = 1
    """How often the answers of a sampling step are learnt from."""
    prompts_per_minibatch: int = 0
    """Prompts of an optimiser step; 0 is all of a sampling step."""
    learning_rate: float = 0.0
    """Rate of AdamW; 0 takes 1e-6, or 5e-5 for LoRA."""
    warmup: float = 0.05
    """Share of the steps over which the rate rises; it then stays."""
    weight_decay: float = 0.0
    """Of AdamW."""
    clip_gradient: float = 1.0
    """Largest norm of the gradient."""
    beta: float | None = None
    """Weight of the KL to the policy at the start; default: what the algorithm's row says."""
    kl_target: float = 0.0
    """Steer beta so that the KL stays near so many nats an answer; 0 leaves beta as it is."""
    gamma: float = 1.0
    """Discount of ppo and reinforce++."""
    lam: float = 0.95
    """The lambda of ppo's advantages."""
    turns: int = 1
    """The most turns of the policy in a conversation; more than one takes a reply (in Python)."""
    max_new_tokens: int = 128
    """Longest answer, in tokens."""
    temperature: float = 1.0
    """Of the sampling."""
    unfinished: Literal["score", "drop"] = "score"
    """Answers cut off at the longest length: scored as they are, or without a reward."""
    missing_eos: float = 0.0
    """Taken from the reward of an answer that was cut off."""
    per_token: float = 0.0
    """Taken from the reward for each token of an answer, against length for its own sake."""
    whiten: bool = False
    """Whiten the rewards of a step."""
    clip_reward: float = 0.0
    """Rewards end here on either side; 0 clips none."""
    lora_rank: int = 16
    """Rank of LoRA adapters, which are merged when the policy is saved; 0 trains all weights."""
    lora_alpha: int = 32
    """LoRA's scale: updates are multiplied by alpha / rank."""
    env_runners: int = 0
    """Ray actors that sample; 0 samples in this process."""
    learners: int = 0
    """Ray actors that learn, each on its share of the answers; 0 learns in this process."""
    look_every: int = 0
    """Steps between looks at held-out prompts, where there are some; 0 is a tenth of the run."""
    look_samples: int = 2
    """Answers to each held-out prompt at a look."""
    patience: int = 0
    """Stop after so many looks below the peak; 0 never stops. The policy at the peak is kept in any case."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 is a tenth of the run."""
    tokens_per_batch: int = 0
    """Padded tokens of a micro-batch; 0 is 16384 on a GPU and 1024 on a CPU."""
    seed: int = 0
    """Of the order of the prompts, of new adapters and of the sampling."""
    trust_remote_code: bool = False
    """Run code that comes with the policy; only for models you trust."""

    @property
    def rate(self) -> float:
        """The learning rate."""
        return self.learning_rate or (5e-5 if self.lora_rank else 1e-6)

    def __post_init__(self) -> None:
        faults = _below(self, 1, "samples", "prompts_per_step", "max_new_tokens", "passes", "turns", "look_samples")
        faults += [
            f"{_option(name)} must be above 0, got {getattr(self, name)}"
            for name in ("epochs", "temperature", "clip_gradient")
            if not getattr(self, name) > 0
        ]
        faults += _negative(self)
        compares = self.algorithm not in ("ppo", "reinforce++")
        if self.samples < 2 and compares:
            faults.append(f"--algorithm {self.algorithm} compares answers: --samples must be at least 2")
        if faults:
            raise ConfigError("; ".join(faults))
