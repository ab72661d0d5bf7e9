"""The network: an HF sequence classifier whose pooled position Guerdon finds itself."""

from __future__ import annotations

import hashlib
import inspect
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import MethodType
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.nn.utils.rnn import pad_sequence

from guerdon.collation import attention_mask as mask_of
from guerdon.errors import ConfigError, ModelError
from guerdon.hf import HEAD_NAMES, between, head_names, unwrap
from guerdon.packing import reads_shared_rows
from guerdon.rewards.contract import Pooling
from guerdon.rewards.process import aggregate
from guerdon.row_attention import NAME, Packed

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RewardNet(nn.Module):
    """Batches of tokens to logits, for encoders and decoders, padded or with shared prefixes.

    `model` is an `AutoModelForSequenceClassification`, or a PEFT model around one.
    """

    def __init__(self, model: nn.Module, pooling: Pooling, aggregation: str = "") -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling
        self.aggregation = aggregation
        self._reads_first = pooling == "native" and prepare_first_token(self.classifier)
        self._reads_last_column = pooling == "native" and reads_last_column(self.classifier)
        self.keep_head_in_float32()
        if pooling != "native":
            for module in between(self.classifier).values():  # our own pooling leaves them out
                module.requires_grad_(False)  # DDP would wait for their gradients for ever

    def keep_head_in_float32(self) -> None:
        """To be called when the weights were given another type: in bfloat16, close scores would tie."""
        if self.pooling == "native":
            _keep_logits_in_float32(self.classifier)
        else:
            _head(self.classifier).float()

    @property
    def classifier(self) -> PreTrainedModel:
        """The Transformers model itself, adapters in place."""
        return unwrap(self.model)

    @property
    def _no_split_modules(self) -> Any:
        """Which layers FSDP must keep whole; accelerate asks the outermost module."""
        return self.classifier._no_split_modules

    def recompute_activations(self) -> None:
        """Keeps activations of layers' ends only, and computes the rest again. Raises ConfigError if it cannot."""
        if not self.classifier.supports_gradient_checkpointing:
            raise ConfigError(f"{type(self.classifier).__name__} cannot recompute: drop --gradient-checkpointing")
        self.classifier.activation_checkpointing_enable()

    def forward(self, *, sequence: Tensor | None = None, **batch: Any) -> Tensor:
        """Scores every sequence of a `guerdon.collation.Batch`.

        Returns:
            Logits, float32, shape (n, attributes), in the order of the sequences.
        """
        logits = self.read(**batch)
        return logits if sequence is None else aggregate(logits, sequence, self.aggregation)

    def steps(self, *, sequence: Tensor, **batch: Any) -> Tensor:
        """The logit of each step of every sequence, float32, shape (n, most steps), padded with NaN."""
        own = self.read(**batch)[:, 0].split(sequence.bincount().tolist())
        return pad_sequence(own, batch_first=True, padding_value=math.nan)

    def read(
        self,
        input_ids: Tensor,
        row: Tensor,
        column: Tensor,
        attention_mask: Tensor | None = None,
        segments: Tensor | None = None,
        position_ids: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        past_key_values: Any = None,
        **pieces: Any,
    ) -> Tensor:
        """Logits at every place that is read, float32, shape (m, attributes), in the order of `row` and `column`.

        Where `past_key_values`, a Transformers cache, holds tokens that come before, `attention_mask` covers them too.
        `pieces` are those of a packed batch, see `guerdon.row_attention.Packed`.
        """
        given = {"position_ids": position_ids, "token_type_ids": token_type_ids, "past_key_values": past_key_values}
        if pieces and self.classifier.config._attn_implementation != NAME:
            raise RuntimeError("a packed batch is computed inside guerdon.row_attention.unmasked alone")
        given["packed"] = Packed(**pieces) if pieces else None
        extra: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if segments is not None:
            attention_mask = mask_of(segments)
        if self.pooling == "native":
            if self._reads_last_column and attention_mask is not None:
                attention_mask, input_ids, token_type_ids = _padded_in_front(attention_mask, input_ids, token_type_ids)
                extra = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
            with _only_first_token(self._reads_first and not self.training and not torch.is_grad_enabled()):
                logits = self.model(input_ids=input_ids, attention_mask=attention_mask, **extra).logits
            return cast("Tensor", logits[row].float())
        from guerdon.modeling_guerdon import apply_head, pooled

        at_places = self.pooling in ("last", "steps")  # rows may hold several sequences: where each ends is known
        if at_places and is_decoder(self.classifier):
            extra["use_cache"] = False  # encoders do not know the word
        backbone = _backbone(self.classifier)
        hidden = backbone(input_ids=input_ids, attention_mask=attention_mask, **extra).last_hidden_state
        states = hidden[row, column] if at_places else pooled(hidden, attention_mask, self.pooling)[row]
        with torch.autocast(states.device.type, enabled=False):  # bf16 here would tie close scores
            return apply_head(self.classifier, states.float())


def disable_dropout(module: nn.Module) -> None:
    """Switches dropout off for good, in layers and inside attention."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
        if isinstance(vars(part).get("attention_dropout"), float):
            vars(part)["attention_dropout"] = 0.0


def _head(model: PreTrainedModel) -> nn.Module:
    names = head_names(model)
    if not names:
        raise ModelError(
            f"{type(model).__name__} has no head that guerdon knows ({' or '.join(HEAD_NAMES)}): "
            "use --pooling native, or another backbone"
        )
    return cast("nn.Module", getattr(model, names[0]))


def _backbone(model: PreTrainedModel) -> nn.Module:
    return cast("nn.Module", getattr(model, model.base_model_prefix))


def _active(module: nn.Module) -> nn.Module:
    """The module itself, or the trained copy that PEFT keeps of it (`modules_to_save`)."""
    copies = getattr(module, "modules_to_save", None)
    if isinstance(copies, nn.ModuleDict):
        return copies[module.active_adapter]  # type: ignore[index]
    return module


def output_layer(model: PreTrainedModel) -> nn.Linear | None:
    """The layer that gives the logits and nothing after it; None where the head is none that we know."""
    heads = [_active(getattr(model, name)) for name in head_names(model)[:1]]
    layers = [part for head in heads for part in head.modules() if isinstance(part, nn.Linear)]
    return layers[-1] if layers else None


def _keep_logits_in_float32(model: PreTrainedModel) -> None:
    """Lets the layer that gives the logits compute in float32, whatever the layers below it and autocast do."""
    layer = output_layer(model)
    if layer is not None:
        layer.float()
        if _float32_logits not in layer._forward_hooks.values():
            layer.register_forward_pre_hook(lambda _, given: (given[0].float(),))
            layer.register_forward_hook(_float32_logits)


def _float32_logits(layer: nn.Module, given: tuple[Tensor], _: Tensor) -> Tensor:
    with torch.autocast(given[0].device.type, enabled=False):
        return linear(given[0], layer.weight, layer.bias)  # type: ignore[arg-type]


def head_sha256(model: PreTrainedModel) -> str:
    """Hex digest of the head's weights in float32, whatever adapter holds them."""
    digest = hashlib.sha256()
    for name in head_names(model):
        for key, value in sorted(_active(getattr(model, name)).state_dict().items()):
            digest.update(key.encode())
            digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def is_decoder(model: PreTrainedModel) -> bool:
    """Whether this is a causal model whose head reads the last token (`score` in Transformers)."""
    return isinstance(getattr(model, "score", None), nn.Module)


def shares_prefixes(model: PreTrainedModel) -> bool:
    """Whether the shared layout is exact for this model."""
    return is_decoder(model) and reads_shared_rows(_backbone(model), model.config)


def reads_last_column(model: PreTrainedModel) -> bool:
    """Whether the architecture reads its score in the last column of a batch, padding or not (XLNet)."""
    return hasattr(model, "sequence_summary") and getattr(model.config, "summary_type", "") == "last"


def reads_eos(model: PreTrainedModel) -> bool:
    """Whether the architecture reads its score at EOS, and nothing without one (T5, BART and their like)."""
    return bool(model.config.is_encoder_decoder)


def _padded_in_front(mask: Tensor, *others: Tensor | None) -> list[Any]:
    """Rows of a batch, shape (n, length) each, with their padding moved from the end to the front."""
    length = mask.shape[1]
    column = torch.arange(length, device=mask.device) - (length - mask.sum(dim=1, keepdim=True))
    return [None if one is None else one.gather(1, column % length) for one in (mask, *others)]


def takes_positions(model: PreTrainedModel) -> bool:
    """Whether the model should be told positions, so that padding on the left moves none.

    RoBERTa's kind counts them by itself, past the padding; some models have none.
    """
    told = all("position_ids" in inspect.signature(module.forward).parameters for module in (model, _backbone(model)))
    embeddings = _position_embeddings(model)
    return told and (is_decoder(model) or (embeddings is not None and embeddings.padding_idx is None))


def _position_embeddings(model: PreTrainedModel) -> nn.Embedding | None:
    """The learnt absolute positions of an encoder, where it has them."""
    found = getattr(getattr(_backbone(model), "embeddings", None), "position_embeddings", None)
    return found if isinstance(found, nn.Embedding) else None


def window(model: PreTrainedModel, tokenizer_limit: int) -> int:
    """The most tokens the model reads."""
    config = model.config.get_text_config()
    positions = getattr(config, "max_position_embeddings", None) or tokenizer_limit
    if positions < 0:  # as XLNet says that it has no limit
        positions = tokenizer_limit
    embeddings = _position_embeddings(model)
    if embeddings is not None and embeddings.padding_idx is not None:
        positions -= embeddings.padding_idx + 1  # RoBERTa counts positions from padding_idx + 1
    return int(min(positions, tokenizer_limit))


# --- encoders whose score reads the first token alone
#
# The last layer need not compute the other tokens, of which only keys and values are read: ten twelfths of one layer.
# That is 14% of MiniLM and 7% of BERT.

FIRST_TOKEN_FAMILIES = ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra")
"""Classifiers of Transformers that share BERT's layer and read position 0."""

_first_token = threading.local()


def prepare_first_token(model: PreTrainedModel) -> bool:
    """Teaches the last layer to compute the first token alone inside `_only_first_token`; False where it is left."""
    family = type(model).__name__.removesuffix("ForSequenceClassification")
    ours = type(model).__module__.startswith("transformers.models.") and family in FIRST_TOKEN_FAMILIES
    if not ours or model.config.is_decoder or model.config._attn_implementation not in ("sdpa", "eager"):
        return False
    layer = cast("Any", _backbone(model)).encoder.layer[-1]
    layer.forward = MethodType(_layer_forward, layer)  # a method, so that a copy computes with its own weights
    return True


@contextmanager
def _only_first_token(wanted: bool) -> Iterator[None]:
    """In this thread, prepared layers return the state of the first token alone: shape (batch, 1, hidden)."""
    _first_token.alone = wanted
    try:
        yield
    finally:
        _first_token.alone = False


def _layer_forward(layer: nn.Module, hidden: Tensor, attention_mask: Tensor | None, *rest: Any, **extra: Any) -> Tensor:
    if not getattr(_first_token, "alone", False):
        return cast("Tensor", type(layer).forward(layer, hidden, attention_mask, *rest, **extra))
    parts = cast("Any", layer)
    attention = parts.attention.self

    def heads(states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], -1, attention.attention_head_size).transpose(1, 2)

    first = hidden[:, :1]
    read = scaled_dot_product_attention(
        heads(attention.query(first)),
        heads(attention.key(hidden)),
        heads(attention.value(hidden)),
        attn_mask=None if attention_mask is None else attention_mask[:, :, :1],
        scale=attention.scaling,
    )
    attended = parts.attention.output(read.transpose(1, 2).flatten(2), first)
    return cast("Tensor", parts.feed_forward_chunk(attended))
