"""The options of reward-model training: the same object in Python, on the command line, and in `guerdon.json`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guerdon.errors import ConfigError
from guerdon.rewards.contract import Aggregation
from guerdon.runs.options import option_faults
from guerdon.types import BaseDtype, Overlong

Objective = Literal[
    "auto", "bradley-terry", "agreement", "regression", "both", "plackett-luce", "contrastive", "process"
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A training run.

    Example:
        >>> TrainConfig(backbone="smollm2", lora_r=16, epochs=1).batch_size
        32
    """

    backbone: str = "minilm"
    """Language model or encoder to start from: `minilm`, `smollm2`, a folder in HF layout, or a hub name."""
    objective: Objective = "auto"
    """Loss that the judgements are fitted with. `auto`: bradley-terry for comparisons, regression for ratings,
    plackett-luce for rankings, contrastive for references, process (a score behind every step) for solutions with
    judged steps. `both`: regression and bradley-terry (from ratings: the pairs of a prompt). `agreement`: the expected
    return of a policy that earns the share of people who agree with its choice (docs/judges.md)."""
    agreement_entropy: float = 0.1
    """Agreement: weight of the policy's entropy; rewards differ by (2 p - 1) / agreement_entropy where a share p of
    people prefers one."""
    epochs: float = 2.0
    """Number of passes over the judgements."""
    batch_size: int = 32
    """Judgements (pairs, ratings or lists) of an optimiser step, over all devices; always the same number."""
    learning_rate: float = 0.0
    """Peak learning rate of AdamW; 0 takes 5e-5, or 2e-4 for LoRA."""
    warmup_ratio: float = 0.1
    """Share of the steps over which the learning rate rises; it then falls linearly to 0."""
    weight_decay: float = 0.01
    """Weight decay of AdamW, for weight matrices; biases and norms have none."""
    pooling: Literal["auto", "native", "mean", "last"] = "auto"
    """Where the score is read from. `auto`: the last token of decoders, the `native` classifier of encoders; of a
    process reward, a mark behind every step."""
    aggregation: Aggregation = "min"
    """Process: how the scores of steps become one. Any of them can be had later with --output, whatever stands here:
    min, product, mean, last, geometric-mean, max, mean-of-logits, mean-of-odds."""
    max_length: int = 0
    """Largest number of tokens of a text; 0 takes what the model reads, at most 2048."""
    keep_reasoning: bool = False
    """Let the model read whole responses where its chat template leaves out a part, such as the reasoning in <think>;
    the score contract keeps the choice."""
    overlong: Overlong = "auto"
    """What happens to texts that are longer. cut: the prompt is cut from its left, then the response at its end, and
    both are counted. error: the text is refused. auto: as cut, but the data are refused when more than 5% of the
    responses would be cut."""
    disable_dropout: bool = True
    """Switch the backbone's dropout off, as most reward-model training does: two passes over one text agree, and a step
    takes a quarter less time on a CPU."""
    lora_r: int = 0
    """Rank of the LoRA adapters; 0 trains all weights."""
    lora_alpha: int = 32
    """Scale of LoRA: updates are multiplied by lora_alpha / lora_r."""
    base_dtype: BaseDtype = "float32"
    """LoRA: precision of the weights that are not trained. bfloat16 halves them; nf4 has those of the linear layers in
    4 bits (QLoRA), which needs the package bitsandbytes, here and wherever the adapters are loaded."""
    merge_lora: bool = False
    """Save LoRA folded into the weights, in float32, so that the folder needs no base model."""
    soft_labels: bool = True
    """Use vote shares as the probability that chosen is preferred; otherwise the majority counts fully."""
    label_smoothing: float = 0.0
    """Label smoothing of pairs, in [0, 0.5)."""
    margin_scale: float = 0.0
    """Factor of the data's margin column in the Bradley-Terry loss (Llama 2); 0 ignores the column."""
    center_rewards_coefficient: float = 0.0
    """Weight of (r_chosen + r_rejected)^2, which keeps rewards near 0 (0.01 in arXiv:2312.09244)."""
    balance_length: bool = False
    """Weight pairs so that those that the longer response won and those that the shorter won count the same in all."""
    augment: tuple[str, ...] = ()
    """Perturbations of preferred responses that are added as comparisons: padding, repetition, flattery ... make the
    changed response the rejected one, "blank lines around", "one line" ... a tie (all of them: docs/repair.md)."""
    augment_share: float = 0.3
    """Share of the comparisons to which such a one is added."""
    contrastive_temperature: float = 1.0
    """Temperature of the contrastive softmax."""
    in_batch_negatives: int = 0
    """Contrastive: number of references of other prompts of the same step that each reference must beat as well."""
    negatives_policy: str = ""
    """Contrastive: a causal language model whose responses to the prompts serve as generated texts."""
    policy_negatives: int = 1
    """Number of responses per prompt that `negatives_policy` gives."""
    validation: float = 0.1
    """Share of the prompts (or groups) held out to choose the checkpoint; 0 trains on everything and keeps the last."""
    early_stopping_patience: int = 0
    """Number of evaluations without a lower validation loss after which training stops; 0 never stops early."""
    eval_steps: int = 0
    """Number of steps between checkpoints, each with an evaluation; 0 takes four an epoch."""
    tokens_per_batch: int = 0
    """Padded tokens computed at once; the result stays the same. 0 measures on one GPU what fits into its memory and is
    fast, takes 16384 on each of several, and elsewhere 2048 for encoders and 1024 for decoders. Where memory runs out
    on one GPU, the step is begun again with half of them."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    trust_remote_code: bool = False
    """Run code that comes with the backbone; only for models you trust."""
    ensemble_size: int = 1
    """Number of models to train with different seeds; several are saved as an ensemble."""
    ensemble_k: float = 0.0
    """Score of an ensemble: mean - ensemble_k * standard deviation over its members."""
    seed: int = 0
    """Random seed of the head, the order, dropout and the hold-out."""

    def __post_init__(self) -> None:
        if faults := _faults(self):
            raise ConfigError("training options: " + "; ".join(faults))


def _faults(config: TrainConfig) -> list[str]:
    """Everything that is wrong, at once."""
    faults = option_faults(
        config,
        positive=(
            "epochs", "batch_size", "contrastive_temperature", "ensemble_size", "policy_negatives", "lora_alpha",
        ),
        below={"label_smoothing": 0.5, "validation": 1.0, "warmup_ratio": 1.0},
    )  # fmt: skip
    from guerdon.train.augmentation import augmentation_faults  # words and phrases are read for no other run

    faults += augmentation_faults(config.augment) if config.augment else []
    if config.augment and not 0 < config.augment_share <= 1:
        faults.append(f"--augment-share must be above 0 and at most 1, got {config.augment_share}")
    if config.ensemble_size > 1 and config.merge_lora:
        faults.append("--merge-lora does not go with --ensemble-size: the members of a LoRA ensemble share one base")
    if config.base_dtype != "float32" and not config.lora_r:
        faults.append(f"--base-dtype {config.base_dtype} is of weights that are not trained: set --lora-r, to 16 maybe")
    if config.early_stopping_patience and not config.validation:
        faults.append("--early-stopping-patience needs a held-out share: set --validation above 0")
    if config.objective == "agreement" and config.label_smoothing:
        faults.append("--label-smoothing is of bradley-terry; what keeps --objective agreement unsure is its entropy")
    return faults
