"""A Guerdon reward model for plain Transformers, where no architecture of its own scores as Guerdon does.

Guerdon writes this file beside the weights of such a model; `from_pretrained(folder, trust_remote_code=True)` runs it.
It stands by itself: it needs torch and Transformers (and PEFT for an adapter, bitsandbytes for one that was trained on
4 bits), not Guerdon.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

HEAD_NAMES = ("score", "classifier")
"""What Transformers calls the head: `score` on decoders, `classifier` on encoders."""

NF4: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "compress_statistics": True}
"""How bitsandbytes rounds weights to 4 bits."""


class GuerdonRewardConfig(PreTrainedConfig):
    """The configuration of a sequence classifier, and how Guerdon reads a score off it."""

    model_type = "guerdon-reward"
    sub_configs: ClassVar[dict[str, Any]] = {"classifier": AutoConfig}
    _auto_class = "AutoConfig"

    def __init__(
        self,
        classifier: dict[str, Any] | PreTrainedConfig | None = None,
        pooling: str = "native",
        shift: tuple[float, ...] = (),
        scale: tuple[float, ...] = (),
        adapter_base: str = "",
        adapter_base_dtype: str = "",
        **options: Any,
    ) -> None:
        """Takes the parts of `config.json`.

        Args:
            classifier: the configuration of the sequence classifier.
            pooling: `native`, the classifier's own path; `mean` of all tokens; the `last`
                token; or `steps`, which Guerdon alone reads.
            shift: output = shift + scale * logit, one a label; empty for 0.
            scale: empty for 1.
            adapter_base: where the folder holds a LoRA adapter, the model it sits on: a name on the hub, or a path
                relative to the folder that begins with a dot.
            adapter_base_dtype: in what the adapter was trained on the base: `bfloat16`, `nf4`; empty for float32.
            **options: of every configuration.
        """
        if isinstance(classifier, dict):
            classifier = AutoConfig.for_model(**classifier)
        self.classifier: Any = classifier
        self.pooling = pooling
        self.shift = list(shift)
        self.scale = list(scale)
        self.adapter_base = adapter_base
        self.adapter_base_dtype = adapter_base_dtype
        super().__init__(**options)


class GuerdonReward(PreTrainedModel):
    """A sequence classifier whose logits are read as Guerdon reads them."""

    config_class = GuerdonRewardConfig
    base_model_prefix = "reward"
    _auto_class = "AutoModelForSequenceClassification"
    _supports_sdpa = True

    def __init__(self, config: GuerdonRewardConfig, reward: PreTrainedModel | None = None) -> None:
        """Wraps a classifier; makes one of random weights, to be loaded into, where none is given."""
        super().__init__(config)
        self.reward = reward or AutoModelForSequenceClassification.from_config(config.classifier)
        if reward is None:
            self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def from_pretrained(cls, folder: Any, *args: Any, **options: Any) -> Any:  # type: ignore[override]
        """Loads the model; of a folder with a LoRA adapter, the base that it sits on too."""
        config = options.get("config")
        if config is None or not config.adapter_base:
            return super().from_pretrained(folder, *args, **options)
        try:  # Transformers asks for every package that is imported outside of such a block
            from peft import PeftModel
        except ImportError as error:
            raise ImportError("this folder holds a LoRA adapter: pip install peft") from error
        base, local = config.adapter_base, config.adapter_base.startswith(".")
        base = os.path.normpath(os.path.join(folder, base)) if local else base
        chosen = {name: options[name] for name in ("dtype", "torch_dtype", "device_map") if name in options}
        classifier = AutoModelForSequenceClassification.from_pretrained(
            base,
            config=config.classifier,
            ignore_mismatched_sizes=True,  # the adapter brings its own head
            key_mapping={rf"^{cls.base_model_prefix}\.": ""},  # of a base that Guerdon saved with this code
            **chosen,
        )
        if config.adapter_base_dtype:
            round_base(classifier, config.adapter_base_dtype)
        adapted = PeftModel.from_pretrained(classifier, folder).merge_and_unload()
        wrapped: nn.Module = cls(config, adapted)
        return wrapped.eval()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        return_dict: bool | None = None,
        **inputs: Any,
    ) -> Any:
        """The outputs of n texts as `logits`, shape (n, labels)."""
        if attention_mask is None and input_ids is not None:
            attention_mask = torch.ones_like(input_ids)
        inputs |= {"input_ids": input_ids, "attention_mask": attention_mask}
        if self.config.pooling == "steps":
            raise NotImplementedError("this reward scores every step of a response: load it with guerdon.load_scorer")
        if self.config.pooling == "native":
            logits = self.reward(**inputs).logits
        else:
            hidden = getattr(self.reward, self.reward.base_model_prefix)(**inputs).last_hidden_state
            logits = apply_head(self.reward, pooled(hidden, attention_mask, self.config.pooling))
        if self.config.scale:
            logits = logits * torch.tensor(self.config.scale, dtype=logits.dtype, device=logits.device)
        if self.config.shift:
            logits = logits + torch.tensor(self.config.shift, dtype=logits.dtype, device=logits.device)
        return SequenceClassifierOutput(logits=logits) if return_dict is not False else (logits,)


def backbone_linears(model: Any) -> Iterator[tuple[nn.Module, str]]:
    """The linear layers between embeddings and head: the module that each is part of, and its name there."""
    backbone = getattr(model, model.base_model_prefix)
    for path, parent in backbone.named_modules():
        if "pooler" not in path:
            yield from ((parent, name) for name, layer in parent.named_children() if isinstance(layer, nn.Linear))


def rounding_device() -> str:
    """Where weights are rounded to 4 bits: a GPU takes seconds for a model that takes a CPU minutes."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def round_base(model: nn.Module, dtype: str) -> None:
    """Gives a base the values that its weights had while an adapter learnt on them: `bfloat16`, or `nf4` in 4 bits.

    Of `nf4` these are the linear layers; what else there is was in bfloat16. The weights keep their own type.
    """
    linears = [getattr(parent, name) for parent, name in backbone_linears(model)] if dtype == "nf4" else []
    if linears:
        try:
            from bitsandbytes.functional import dequantize_4bit, quantize_4bit
        except ImportError as error:
            raise ImportError("this adapter was trained on a base in 4 bits: pip install bitsandbytes") from error
    for layer in linears:
        rounded = dequantize_4bit(*quantize_4bit(layer.weight.data.float().to(rounding_device()), **NF4))
        layer.weight.data = rounded.to(layer.weight)
    done = {id(layer.weight) for layer in linears}
    for weight in model.parameters():
        if id(weight) not in done:
            weight.data = weight.data.to(torch.bfloat16).to(weight.dtype)


def pooled(hidden: Tensor, attention_mask: Any, pooling: str) -> Tensor:
    """What the head reads of rows padded on either side, shape (n, hidden): their mean or their last token."""
    if pooling == "last":
        columns = torch.arange(hidden.shape[1], device=hidden.device)
        last = (columns * attention_mask).argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weight = attention_mask.to(hidden.dtype).unsqueeze(2)
    mean: Tensor = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
    return mean


def apply_head(model: nn.Module, states: Tensor) -> Tensor:
    """Logits (n, labels) from pooled states (n, hidden)."""
    head = next(getattr(model, name) for name in HEAD_NAMES if isinstance(getattr(model, name, None), nn.Module))
    dropout = getattr(model, "dropout", None)
    if isinstance(dropout, nn.Dropout):
        states = dropout(states)
    # RoBERTa-like heads are small networks that take the whole sequence and read its first position. PEFT keeps the
    # head that it trains beside the original one.
    takes_sequence = not isinstance(getattr(head, "original_module", head), nn.Linear)
    logits: Tensor = head(states.unsqueeze(1) if takes_sequence else states)
    return logits
