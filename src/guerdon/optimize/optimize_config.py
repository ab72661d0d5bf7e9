"""Options of best-of-n, step labels, weighted training and RL: the same in Python, on the command line, in folders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from guerdon.errors import ConfigError
from guerdon.optimize.rl.algorithms import ALGORITHMS, Algorithm
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
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None = None
    """Columns of other names: prompt=question,reference=reward_model.ground_truth, or a JSON file of them."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelConfig:
    """How steps are labelled by rollouts.

    Example:
        >>> LabelConfig(policy="smollm2", samples=16).checker
        'numeric'
    """

    policy: str = "smollm2"
    """Causal language model that goes on behind every step: `smollm2`, a folder, or a hub name."""
    checker: str = "numeric"
    """Scorer that says whether a solution is right, at 0.5 or more: numeric, exact, unit-tests, or any other."""
    samples: int = 8
    """Number of continuations behind every step."""
    hard: bool = False
    """Label a step 1 where any continuation is right, in place of the share of them."""
    max_new_tokens: int = 256
    """Largest length of a continuation, in tokens."""
    temperature: float = 0.7
    """Sampling temperature."""
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None = None
    """Columns of other names: prompt=question,reference=answer, or a JSON file of them."""
    trust_remote_code: bool = False
    """Run code that comes with the policy; only for models you trust."""
    seed: int = 0
    """Random seed of the sampling."""

    def __post_init__(self) -> None:
        if faults := option_faults(self, positive=("samples", "max_new_tokens", "temperature")):
            raise ConfigError("; ".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTrainingConfig:
    """What every training of a policy by a reward has."""

    policy: str = "smollm2"
    """Causal language model to start from: `smollm2`, a folder, or a hub name."""
    prompts_per_step: int = 16
    """Number of prompts of a sampling step, over all devices or runners."""
    epochs: float = 1.0
    """Number of passes over the prompts."""
    weight_decay: float = 0.0
    """Weight decay of AdamW."""
    lora_r: int = 16
    """Rank of the LoRA adapters, which are merged when the policy is saved; 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of LoRA: updates are multiplied by lora_alpha / lora_r."""
    max_new_tokens: int = 128
    """Largest length of a response, in tokens; in a conversation, of each turn."""
    temperature: float = 1.0
    """Sampling temperature."""
    save_steps: int = 0
    """Number of steps between checkpoints; 0 saves ten times in a run."""
    tokens_per_batch: int = 0
    """Padded tokens of a micro-batch: lower it when memory runs out; 0 takes 16384 on a GPU and 1024 on a CPU."""
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    map: str | None = None
    """Columns of other names: prompt=question,reference=reward_model.ground_truth, or a JSON file of them."""
    seed: int = 0
    """Random seed of the order of the prompts, of new adapters and of the sampling."""
    trust_remote_code: bool = False
    """Run code that comes with the policy or the reward model; only for models you trust."""

    def steps_for(self, prompts: int) -> int:
        """Sampling steps of a run over so many prompts."""
        return max(1, math.ceil(prompts * self.epochs / self.prompts_per_step))

    @staticmethod
    def every(asked: int, steps: int) -> int:
        """The steps between two checkpoints or evaluations: as asked, or a tenth of the run."""
        return asked or max(1, steps // 10)


_POSITIVE = ("prompts_per_step", "epochs", "lora_alpha", "max_new_tokens", "temperature", "num_generations")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedConfig(PolicyTrainingConfig):
    """A run of reward-weighted training.

    Example:
        >>> WeightedConfig(objective="raft", num_generations=8).prompts_per_step
        16
    """

    objective: Literal["reward", "rwr", "raft"] = "reward"
    """How responses are weighted. `reward`: L_MLE - lambda R, with the demonstrations of the data, where it has some;
    `rwr`: weights proportional to exp(R / beta); `raft`: only the best response to each prompt counts."""
    lam: float = 1.0
    """The lambda of objective `reward`: nats of log-likelihood that one unit of reward is worth."""
    beta: float = 1.0
    """The temperature of objective `rwr`, in units of the reward: the smaller, the more the best response counts."""
    num_generations: int = 4
    """Number of responses that are sampled for each prompt of a step."""
    learning_rate: float = 0.0
    """Peak learning rate of AdamW; 0 takes 1e-5, or 1e-4 for LoRA."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""

    def __post_init__(self) -> None:
        faults = option_faults(self, positive=(*_POSITIVE, "beta"), below={"warmup_ratio": 1.0})
        if self.num_generations < 2 and self.objective in ("reward", "raft"):
            faults.append(f"--objective {self.objective} compares responses: --num-generations must be at least 2")
        if faults:
            raise ConfigError("; ".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class RLConfig(PolicyTrainingConfig):
    """A run of RL fine-tuning.

    Example:
        >>> RLConfig(algorithm="rloo", num_generations=4).prompts_per_step
        16
    """

    algorithm: str = "grpo"
    """Algorithm: ppo, rloo, reinforce++, grpo, dr-grpo, dapo, gspo or cispo; the table is in docs/optimize.md."""
    num_generations: int = 8
    """Number of responses sampled for each prompt; all algorithms but ppo and reinforce++ compare them."""
    num_iterations: int = 1
    """Number of passes of the update over the responses of a sampling step (mu in the paper of GRPO, PPO's epochs)."""
    prompts_per_minibatch: int = 0
    """Number of prompts of an optimiser step; 0 takes all prompts of the sampling step."""
    learning_rate: float = 0.0
    """Learning rate of AdamW; 0 takes 1e-6, or 5e-5 for LoRA."""
    warmup_ratio: float = 0.05
    """Share of the steps over which the learning rate rises; it then stays."""
    max_grad_norm: float = 1.0
    """Gradient clipping: the largest norm of a gradient, to which a larger one is scaled down."""
    beta: float | None = None
    """Weight of the KL from the reference policy, which is the policy at the start; default: the algorithm's own."""
    kl_target: float = 0.0
    """Steer beta so that the KL stays near so many nats per response; 0 keeps beta as it is."""
    gamma: float = 1.0
    """Discount of each token in ppo and reinforce++; the other algorithms add the rewards of all turns up."""
    lam: float = 0.95
    """Lambda of ppo's generalised advantage estimation."""
    max_turns: int = 1
    """Largest number of turns of the policy; more than one needs an environment that answers (in Python)."""
    mask_truncated_completions: bool = False
    """Leave responses that reach max_new_tokens out of the update, and out of the mean of their group."""
    missing_eos_penalty: float = 0.0
    """Penalty that is subtracted from the reward of a response that reaches max_new_tokens."""
    token_penalty: float = 0.0
    """Penalty that is subtracted from the reward for each token of a response."""
    whiten_rewards: bool = False
    """Scale the rewards of a step to mean 0 and standard deviation 1."""
    reward_clip: float = 0.0
    """Largest absolute value of a response's reward; 0 clips nothing."""
    num_env_runners: int = 0
    """Number of Ray actors that sample; 0 samples in this process."""
    num_learners: int = 0
    """Number of Ray actors that learn, each on its share of the responses; 0 learns in this process."""
    eval_steps: int = 0
    """Number of steps between evaluations on the held-out prompts, where there are some; 0 takes a tenth of the run."""
    eval_num_generations: int = 2
    """Number of responses sampled for each held-out prompt in an evaluation."""
    early_stopping_patience: int = 0
    """Number of evaluations below the best one after which training stops; 0 never does. The best is kept anyway."""

    @property
    def row(self) -> Algorithm:
        """What the algorithm is made of."""
        return ALGORITHMS[self.algorithm]

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after the warm-up."""
        return self.learning_rate or (5e-5 if self.lora_r else 1e-6)

    def __post_init__(self) -> None:
        positive = ("num_iterations", "max_turns", "eval_num_generations", "max_grad_norm")
        faults = option_faults(self, positive=(*_POSITIVE, *positive))
        if self.algorithm not in ALGORITHMS:
            faults.append(f"there is no algorithm {self.algorithm!r}; known are {', '.join(ALGORITHMS)}")
        elif self.num_generations < 2 and self.algorithm not in ("ppo", "reinforce++"):
            faults.append(f"--algorithm {self.algorithm} compares responses: --num-generations must be at least 2")
        if faults:
            raise ConfigError("; ".join(faults))
