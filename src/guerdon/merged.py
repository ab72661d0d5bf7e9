"""A PEFT adapter as a model of its own: merged into its base, once, in the cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from guerdon.errors import ContractError, ModelError
from guerdon.files import staged
from guerdon.hub import has_file, hub_fault, one_line
from guerdon.models import OFFLINE_MODELS, cache_folder, lasting_name, local_folder, resolve, weights_digest
from guerdon.weight_files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, stored_head

logger = logging.getLogger(__name__)

_CLASSES = {
    "SEQ_2_SEQ_LM": "AutoModelForSeq2SeqLM",
    "SEQ_CLS": "AutoModelForSequenceClassification",
    "FEATURE_EXTRACTION": "AutoModel",
}
_WHOLE = ("model.safetensors", "model.safetensors.index.json")


def whole_model(name: str, trust_remote_code: bool = False) -> str:
    """What `resolve` gives; for a PEFT adapter, in a folder or on the hub, the model that it makes of its base.

    The merged model is kept in the cache, under a digest of adapter and base, and a line of the log says so.

    Raises:
        ModelError: there is no such model, or the adapter cannot be merged.
    """
    path = resolve(name)
    if not os.path.isdir(path) and not has_file(path, ADAPTER_CONFIG):
        return path
    folder = local_folder(name)
    if not all((folder / one).is_file() for one in (ADAPTER_CONFIG, ADAPTER_WEIGHTS)):
        return path
    if any((folder / one).is_file() for one in _WHOLE):
        return path
    base, revision = base_place(folder)
    where = resolve(base)
    of_base = weights_digest(Path(where)) if os.path.isdir(where) else f"{where}@{revision}"
    digest = hashlib.sha256(f"{weights_digest(folder)} {of_base}".encode()).hexdigest()[:16]
    target = cache_folder() / "merged" / digest
    if not any((target / one).is_file() for one in _WHOLE):
        _merge(folder, where, revision, target, trust_remote_code)
    logger.warning("%s is an adapter on %s: they are read as one model, merged in %s", name, base, target)
    return str(target)


def _merge(folder: Path, base: str, revision: str, target: Path, trust_remote_code: bool) -> None:
    import transformers
    from peft import PeftModel
    from transformers import AutoTokenizer

    from guerdon.hf import quiet
    from guerdon.modeling_guerdon import round_base

    kind = getattr(transformers, _CLASSES.get(str(adapter_config(folder).get("task_type")), "AutoModelForCausalLM"))
    options: dict[str, Any] = {"revision": revision or None, "trust_remote_code": trust_remote_code}
    own = (folder / "tokenizer_config.json").is_file()
    head = stored_head(folder) if kind is transformers.AutoModelForSequenceClassification else None
    labels: dict[str, Any] = {"num_labels": head.outputs, "ignore_mismatched_sizes": True} if head else {}
    try:
        with quiet():
            tokenizer: Any = AutoTokenizer.from_pretrained(folder, **options | {"revision": None}) if own else None
            tokenizer = tokenizer or AutoTokenizer.from_pretrained(base, **options)
            model = kind.from_pretrained(base, use_safetensors=True, dtype="auto", **labels, **options)
            if own and len(tokenizer) > model.get_input_embeddings().num_embeddings:
                model.resize_token_embeddings(len(tokenizer))  # the adapter brings the rows of new tokens
            if rounded := _read(folder / "config.json").get("adapter_base_dtype"):  # a reward of Guerdon's
                round_base(model, rounded)
            adapted: Any = PeftModel.from_pretrained(model, str(folder))
            if not hasattr(adapted.base_model, "merge_and_unload"):
                raise ModelError("an adapter of this kind cannot be merged (LoRA and its like can)")
            whole = adapted.merge_and_unload()
            with staged(target) as stage:
                whole.save_pretrained(stage)
                tokenizer.save_pretrained(stage)
    except Exception as error:
        fault = hub_fault(base, error) or one_line(error)
        raise ModelError(f"{folder} is an adapter on {base}, and they cannot be merged: {fault}") from error


def adapter_config(folder: Path) -> dict[str, Any]:
    """PEFT's configuration of an adapter; empty where there is none that can be read."""
    return _read(folder / ADAPTER_CONFIG)


def _read(path: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    return {}


def base_place(folder: Path) -> tuple[str, str]:
    """The base that PEFT recorded for an adapter, with its revision: looked for near the adapter, as it was typed.

    Raises:
        ContractError: it is nowhere.
    """
    config = adapter_config(folder)
    name = str(config.get("base_model_name_or_path") or "")
    if name in OFFLINE_MODELS:
        return name, ""
    for place in _places(name, folder):
        if place.is_dir():
            return str(place.resolve()), ""
    try:
        return lasting_name(name), str(config.get("revision") or "")
    except ModelError as error:
        looked = ", ".join(dict.fromkeys(str(place) for place in _places(name, folder)))
        raise ContractError(
            f"{folder} is an adapter on the model {name!r}, which was not found; looked for at {looked or 'no place'}. "
            f'Fix: put the model there, or write its place into "base_model_name_or_path" in {folder / ADAPTER_CONFIG}',
            about="LoRA base",
        ) from error


def _places(name: str, folder: Path) -> Iterator[Path]:
    """Where a base may lie: from the adapter's folder, from here, and beside the adapter under its own name."""
    if name:
        expanded = os.path.expanduser(name)
        yield from (folder.resolve() / expanded, Path(expanded), folder.resolve().parent / Path(expanded).name)
