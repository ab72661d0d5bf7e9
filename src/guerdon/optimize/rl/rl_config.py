"""The options of an RL run: the same object in Python, on the command line, and in the run folder."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults


@dataclass(frozen=True, slots=True, kw_only=True)
class RLConfig:
    """A run of RL fine-tuning.

    Example:
        >>> RLConfig(algorithm="rloo", num_generations=4).prompts_per_step
        16
    """

    policy: str = "smollm2"
    """Causal language model to start from: `smollm2`, a folder, or a hub name."""
    algorithm: str = "grpo"
    """Row of the table in docs/optimize.md: ppo, rloo, reinforce++, grpo, dr-grpo, dapo, gspo or cispo."""
    num_generations: int = 8
    """Responses sampled for each prompt; all algorithms but ppo and reinforce++ compare them with each other."""
    prompts_per_step: int = 16
    """Prompts of a sampling step, over all runners."""
    epochs: float = 1.0
    """Passes over the prompts."""
    num_iterations: int = 1
    """Passes of the update over the responses of a sampling step (mu in the paper of GRPO, PPO's epochs)."""
    prompts_per_minibatch: int = 0
    """Prompts of an optimiser step; 0 takes all prompts of the sampling step."""
    learning_rate: float = 0.0
    """Learning rate of AdamW; 0 takes 1e-6, or 5e-5 for LoRA."""
    warmup_ratio: float = 0.05
    """Share of the steps over which the learning rate rises; it then stays."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm where theirs is larger."""
    beta: float | None = None
    """Weight of the KL from the reference policy, which is the policy at the start; default: the algorithm's own."""
    kl_target: float = 0.0
    """Steer beta so that the KL stays near so many nats per response; 0 keeps beta as it is."""
    gamma: float = 1.0
    """Discount of each token in ppo and reinforce++; the other algorithms add the rewards of all turns up."""
    lam: float = 0.95
    """Lambda of ppo's generalised advantage estimation."""
    max_turns: int = 1
    """Most turns of the policy in a conversation; more than one needs an environment that answers (in Python)."""
    max_new_tokens: int = 128
    """Length limit of a turn, in tokens."""
    temperature: float = 1.0
    """Temperature of the sampling."""
    mask_truncated_completions: bool = False
    """Leave responses that reach max_new_tokens out of the update, and out of the mean of their group."""
    missing_eos_penalty: float = 0.0
    """Subtracted from the reward of a response that reaches max_new_tokens."""
    token_penalty: float = 0.0
    """Subtracted from the reward for each token of a response."""
    whiten_rewards: bool = False
    """Scale the rewards of a step to mean 0 and standard deviation 1."""
    reward_clip: float = 0.0
    """Largest absolute value of a response's reward; 0 clips nothing."""
    lora_r: int = 16
    """Rank of LoRA adapters, which are merged when the policy is saved; 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of LoRA: updates are multiplied by alpha / r."""
    num_env_runners: int = 0
    """Ray actors that sample; 0 samples in this process."""
    num_learners: int = 0
    """Ray actors that learn, each on its share of the responses; 0 learns in this process."""
    eval_steps: int = 0
    """Steps between evaluations on the held-out prompts, where there are some; 0 takes a tenth of the run."""
    eval_num_generations: int = 2
    """Responses sampled for each held-out prompt in an evaluation."""
    early_stopping_patience: int = 0
    """Stop after so many evaluations below the best one; 0 never stops. The best policy is kept in any case."""
    save_steps: int = 0
    """Steps between checkpoints; 0 takes a tenth of the run."""
    tokens_per_batch: int = 0
    """Padded tokens of a micro-batch; 0 takes 16384 on a GPU and 1024 on a CPU."""
    seed: int = 0
    """Seed of the order of the prompts, of new adapters and of the sampling."""
    trust_remote_code: bool = False
    """Run code that comes with the policy or the reward model; only for models you trust."""

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warm-up."""
        return self.learning_rate or (5e-5 if self.lora_r else 1e-6)

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        faults = option_faults(
            self,
            positive=(
                "num_generations", "prompts_per_step", "max_new_tokens", "num_iterations", "max_turns",
                "eval_num_generations", "epochs", "temperature", "max_grad_norm",
            ),
        )  # fmt: skip
        if self.num_generations < 2 and self.algorithm not in ("ppo", "reinforce++"):
            faults.append(f"--algorithm {self.algorithm} compares responses: --num-generations must be at least 2")
        if faults:
            raise ConfigError("; ".join(faults))
