"""Reward models of other trainers as classifiers of Transformers.

Their heads have other names and other numbers of outputs than the configuration says, lie in files of their own, or
come with a PEFT adapter. What a head is, the weights say (see `guerdon.weight_files`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from guerdon import hf
from guerdon.errors import ContractError, ModelError
from guerdon.models import model_folder, resolve
from guerdon.rewards.adapter_base import AdapterBase, base_of_adapter
from guerdon.weight_files import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    StoredHead,
    no_head_error,
    pickled_weights,
    stored_head,
    tensors_of,
    weight_tensors,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WRAPPED = "pretrained_model."
"""What stands in front of every tensor where TRL's wrapper was saved as it is."""
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "tokenizer.model", "vocab.json")


@dataclass(frozen=True, slots=True)
class ForeignModel:
    """A classifier whose weights are all from files, and what it was made from."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    base: AdapterBase
    """What an adapter was merged into; without a name where there was none."""
    head: str
    """Name of the head's layer in the files; empty where it is known to Transformers alone."""


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds the adapter of another trainer; one that Guerdon saved has a configuration beside it."""
    return (folder / ADAPTER_CONFIG).is_file() and _config(folder).get("model_type") != "guerdon-reward"


def load_foreign(folder: Path, trust_remote_code: bool, base: AdapterBase | None = None) -> ForeignModel:
    """Loads the reward model in a folder, in float32; an adapter is merged into its base.

    Args:
        folder: in HF layout, or PEFT's.
        trust_remote_code: run code that comes with the model.
        base: what an adapter sits on, where a contract says so; else the adapter's own configuration does.

    Raises:
        ModelError: it cannot be loaded.
        ContractError: the head is missing, or the base of an adapter is another one.
    """
    if is_adapter(folder):
        return _load_adapter(folder, trust_remote_code, base if base and base.name else base_of_adapter(folder))
    head = stored_head(folder)
    if head is None and any("head" in file.name for file in pickled_weights(folder)):
        raise no_head_error(folder)
    if not weight_tensors(folder) and pickled_weights(folder):
        raise no_head_error(folder)
    model = _load_whole(str(folder), head, trust_remote_code)
    tokenizer = hf.load_tokenizer(str(folder), trust_remote_code)
    return ForeignModel(model, tokenizer, AdapterBase(""), head.layer if head else "")


def _load_whole(path: str, head: StoredHead | None, trust_remote_code: bool, **options: Any) -> PreTrainedModel:
    """A classifier from a folder that holds the backbone; its head from wherever it lies."""
    outputs = None if head is None else head.outputs
    brought = head is not None and not head.native
    folder = Path(path)
    if folder.is_dir() and any(name.startswith(_WRAPPED) for name in weight_tensors(folder)):
        options["key_mapping"] = {rf"^{_WRAPPED}": ""}
    model = hf.load_classifier(path, None, trust_remote_code, new_head=brought, outputs=outputs, **options)
    if head is not None:
        _set_head(model, head)
    return model


def _set_head(model: PreTrainedModel, head: StoredHead) -> None:
    """Gives a decoder the head of its file; to one that Transformers has loaded, only a bias that it left out."""
    layer = getattr(model, "score", None)
    if not isinstance(layer, nn.Linear):
        if head.native:
            return
        raise ModelError(
            f"{head.file} has a head {head.weight!r}, and {type(model).__name__} reads its score in another way: only "
            "decoders can take it. Fix: save it as the architecture's own sequence classifier"
        )
    weight, bias = head.load()
    if weight.shape != layer.weight.shape:
        raise ContractError(
            f"{head.file}: the head {head.weight!r} has the shape {tuple(weight.shape)}, and the model needs "
            f"{tuple(layer.weight.shape)}: they do not belong together",
            about="head",
        )
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias = nn.Parameter(bias)


# --- adapters


def _load_adapter(folder: Path, trust_remote_code: bool, base: AdapterBase) -> ForeignModel:
    """The base with the adapter merged into it."""
    from peft import PeftConfig, PeftModel

    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise no_head_error(folder)
    config = PeftConfig.from_pretrained(str(folder))
    if config.is_prompt_learning:
        raise ModelError(
            f"{folder} is an adapter of the kind {config.peft_type}, which adds tokens to the input and cannot be "
            "merged. Fix: merge or train with LoRA"
        )
    path, revision = resolve(base.name), base.revision or None
    head = stored_head(folder)
    try:
        model = _load_base(path, revision, head, trust_remote_code)
    except ContractError as error:
        raise ContractError(
            f"{folder} is an adapter without a head, on {base.name}, which has none either: {error}", about="head"
        ) from error
    except ModelError as error:
        raise ModelError(f"{folder} is an adapter on {base.name}, which cannot be loaded: {error}") from error
    base = base.check(str(folder))
    own = head is not None and head.native and head.file.name == ADAPTER_WEIGHTS
    config.task_type = "SEQ_CLS" if own else None  # PEFT then loads the head beside the adapter
    base.prepare(model)
    _fit_embeddings(model, folder)
    with hf.quiet():
        adapted = PeftModel.from_pretrained(model, str(folder), config=config)
        merged: Any = hf.merge(adapted)
    if head is not None and not own:
        _set_head(merged, head)
    where = folder if any((folder / name).is_file() for name in _TOKENIZER_FILES) else path
    tokenizer = hf.load_tokenizer(str(where), trust_remote_code)
    return ForeignModel(merged.eval(), tokenizer, base, head.layer if head else "")


def _load_base(path: str, revision: str | None, head: StoredHead | None, trust_remote_code: bool) -> PreTrainedModel:
    if head is not None:  # the adapter brings its own
        return hf.load_classifier(path, None, trust_remote_code, new_head=True, outputs=head.outputs, revision=revision)
    there = stored_head(Path(path) if Path(path).is_dir() else model_folder(path, revision))
    return _load_whole(path, there, trust_remote_code, revision=revision)


def _fit_embeddings(model: PreTrainedModel, folder: Path) -> None:
    """Makes room for tokens that were added in training, where the adapter brings their embeddings."""
    rows = [
        tensor.shape[0]
        for name, tensor in tensors_of(folder / ADAPTER_WEIGHTS).items()
        if "embed" in name and name.endswith(".weight") and "lora_" not in name and len(tensor.shape) == 2
    ]
    embeddings: Any = model.get_input_embeddings()
    if rows and rows[0] > len(embeddings.weight):
        model.resize_token_embeddings(rows[0], mean_resizing=False)


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
