"""How a generative judge is trained: the same object in Python, on the command line and in the run folder."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults
from guerdon.types import VerdictKind


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictConfig:
    """A language model that learns to say which of two responses is better.

    Example:
        >>> VerdictConfig(policy="smollm2", consistency=2.0).warm_start
        0.5
    """

    policy: str = "smollm2"
    """Causal language model to start from: `smollm2`, a folder, or a hub name."""
    verdict: VerdictKind = "quote"
    """What the model answers. `quote`: it repeats the better response, and its verdict is the first token in which the
    two differ. `letter`: A or B."""
    warm_start: float = 0.5
    """Share of the steps that learn the right verdicts by likelihood (SFT), before those that maximise the expected
    reward; 1 is SFT alone. An untrained judge says the same letter whatever it reads, and earns nothing to learn
    from."""
    consistency: float = 1.0
    """What the right verdict in both orders earns, beside 1 for the right verdict in one (J1, arXiv:2505.10320)."""
    brier: float = 0.5
    """Weight of (confidence - correctness)^2, which is subtracted (RLCR, arXiv:2507.16806)."""
    epochs: float = 1.0
    """Number of passes over the comparisons."""
    batch_size: int = 16
    """Comparisons of an optimiser step, over all devices, each in both orders."""
    learning_rate: float = 0.0
    """Peak learning rate of AdamW; 0 takes 2e-5, or 5e-4 for LoRA."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, for weight matrices."""
    lora_r: int = 16
    """Rank of the LoRA adapters, which are merged when the judge is saved; 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of LoRA: updates are multiplied by lora_alpha / lora_r."""
    train_layers: int = 0
    """Train only the last so many layers, which takes less time; 0 trains all of them."""
    validation: float = 0.1
    """Share of the prompts (or groups) held out to choose the checkpoint by expected reward; 0 keeps the last."""
    early_stopping_patience: int = 0
    """Number of evaluations without a higher expected reward after which training stops; 0 never stops early."""
    eval_steps: int = 0
    """Number of steps between checkpoints, each with an evaluation; 0 takes a tenth of the run."""
    tokens_per_batch: int = 0
    """Padded tokens of a micro-batch: lower it when memory runs out; 0 takes 16384 on a GPU and 1024 on a CPU."""
    seed: int = 0
    """Random seed of the order, of new adapters and of the hold-out."""
    trust_remote_code: bool = False
    """Run code that comes with the policy; only for models you trust."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        positive = ("epochs", "batch_size", "lora_alpha")
        faults = option_faults(self, positive=positive, below={"warmup_ratio": 1.0, "validation": 1.0})
        if not self.warm_start <= 1:
            faults.append(f"--warm-start is a share of the steps, at most 1, got {self.warm_start}")
        if self.early_stopping_patience and not self.validation:
            faults.append("--early-stopping-patience needs a held-out share: set --validation above 0")
        if faults:
            raise ConfigError("; ".join(faults))
