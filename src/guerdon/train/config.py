"""What can be said about a training run: the same object in Python, on the command line, and in `guerdon.json`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from guerdon.errors import ConfigError
from guerdon.types import Overlong

Objective = Literal["auto", "bradley-terry", "regression", "both", "plackett-luce", "contrastive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainConfig:
    """A training run."""

    backbone: str = "minilm"
    """Language model or encoder to start from: `minilm`, `smollm2`, a folder in HF layout, or a hub name."""
    objective: Objective = "auto"
    """What the judgements are fitted with. `auto`: bradley-terry for comparisons, regression for ratings, plackett-luce
    for rankings, contrastive for references. `both`: regression and bradley-terry (from ratings: pairs of a prompt)."""
    epochs: float = 2.0
    """Passes over the judgements."""
    pairs_per_step: int = 32
    """Judgements (pairs, ratings, lists) of an optimiser step, over all devices; always the same number."""
    learning_rate: float = 0.0
    """Peak rate of AdamW; 0 takes 5e-5, or 2e-4 for LoRA."""
    warmup: float = 0.1
    """Share of the steps over which the rate rises; it then falls to 0 along a line."""
    weight_decay: float = 0.01
    """Of weight matrices; biases and norms have none."""
    layer_decay: float = 1.0
    """The rate of each layer is that of the layer above times this (below 1: lower layers move less)."""
    pooling: Literal["auto", "native", "mean", "last"] = "auto"
    """Where the score is read. `auto`: the last token of decoders, the mean of encoders."""
    max_length: int = 0
    """Tokens of a text; 0 takes what the model reads, at most 2048."""
    overlong: Overlong = "auto"
    """What happens to texts that are longer. cut: the prompt is cut from its left, then the response at its end, and
    both are counted. error: the text is refused. auto: as cut, but the data are refused when more than 5% of the
    responses would be cut."""
    dropout: bool = False
    """Keep the backbone's dropout. Off, as in most reward-model training: two passes over one text agree, and a step
    takes a quarter less time on a CPU."""
    lora_rank: int = 0
    """Rank of LoRA adapters; 0 trains all weights."""
    lora_alpha: int = 32
    """LoRA's scale: updates are multiplied by alpha / rank."""
    merge: bool = False
    """Save LoRA folded into the weights, so that the folder needs no base model."""
    soft_labels: bool = True
    """Use vote shares as the probability that chosen is preferred; otherwise the majority counts fully."""
    smoothing: float = 0.0
    """Label smoothing of pairs, in [0, 0.5)."""
    margin_scale: float = 0.0
    """Bradley-Terry margin = this times the data's margin column; 0 ignores it."""
    centring: float = 0.0
    """Weight of (r_chosen + r_rejected)^2, which keeps rewards near 0 (0.01 in arXiv:2312.09244)."""
    balance_length: bool = False
    """Weight pairs so that those whose longer and those whose shorter response won count the same in all."""
    length_covariate: bool = False
    """Let a trained coefficient on log length explain what it can of the pairs, and leave it out of the reward."""
    normalise_ratings: Literal["overall", "subset"] = "overall"
    """Standardise ratings over all rows, or within each subset where their scales differ."""
    regression_weight: float = 1.0
    """Weight of the regression loss beside the pairwise one (objective `both`)."""
    temperature: float = 1.0
    """Of the contrastive softmax."""
    in_batch_negatives: int = 0
    """Contrastive: how many references of other prompts of the same step each reference must beat as well."""
    policy: str = ""
    """Contrastive: a causal language model whose answers to the prompts serve as generated texts."""
    policy_negatives: int = 1
    """Answers per prompt that `policy` gives."""
    validation: float = 0.1
    """Share of the prompts (or groups) held out to choose the checkpoint; 0 trains on everything and keeps the last."""
    patience: int = 0
    """Stop after this many evaluations without a lower validation loss; 0 never stops early."""
    checkpoint_every: int = 0
    """Steps between checkpoints, each with an evaluation; 0 takes four an epoch."""
    tokens_per_batch: int = 0
    """Padded tokens computed at once: lower it when memory runs out, the result stays the same. 0 takes 16384 on
    a GPU, elsewhere 2048 for encoders and 1024 for decoders."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    trust_remote_code: bool = False
    """Run code that comes with the backbone; only for models you trust."""
    members: int = 1
    """Train this many models with different seeds and save them as an ensemble."""
    conservative: float = 0.0
    """Ensemble: the score is mean - this * standard deviation."""
    seed: int = 0
    """Of everything random: head, order, dropout, hold-out."""

    def __post_init__(self) -> None:
        faults = _faults(self)
        if faults:
            raise ConfigError("training options: " + "; ".join(faults))


def _faults(config: TrainConfig) -> list[str]:
    """Everything that is wrong, at once."""
    positive = ("epochs", "pairs_per_step", "layer_decay", "temperature", "members", "policy_negatives", "lora_alpha")
    faults = [
        f"{_flag(name)} must be above 0, got {getattr(config, name)}"
        for name in positive
        if not getattr(config, name) > 0
    ]
    for field in fields(config):
        value = getattr(config, field.name)
        if field.name not in positive and isinstance(value, (int, float)) and not value >= 0:
            faults.append(f"{_flag(field.name)} must be 0 or more, got {value}")
    for name, limit in (("smoothing", 0.5), ("validation", 1.0), ("warmup", 1.0)):
        if getattr(config, name) >= limit:
            faults.append(f"{_flag(name)} must be below {limit}, got {getattr(config, name)}")
    if config.members > 1 and config.merge:
        faults.append("--merge does not go with --members: the members of a LoRA ensemble share one base")
    if config.patience and not config.validation:
        faults.append("--patience needs a held-out share: set --validation above 0")
    return faults


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
