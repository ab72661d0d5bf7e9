"""The score contract that a model calls for, and whether a model keeps the one it has."""

from __future__ import annotations

import dataclasses
import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from guerdon.errors import ConfigError, ContractError, OutputError
from guerdon.files import atomic_write
from guerdon.hf import head_names, unwrap
from guerdon.models import cache_folder, model_folder, resolve, weights_digest
from guerdon.rewards.contract import Aggregation, Pooling, ScoreContract, StepUnit, text_sha256
from guerdon.rewards.encode import Encoder
from guerdon.rewards.outputs import output_names, undecided
from guerdon.rewards.reward_net import head_sha256, is_decoder, reads_eos, window
from guerdon.weight_files import FOREIGN_HEADS

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from guerdon.rewards.foreign import ForeignModel

logger = logging.getLogger(__name__)

DEFAULT_MAX_LENGTH = 2048
"""Tokens, where the model could read more: memory for a training step stays within an ordinary GPU."""

ENCODER_POOLING: Pooling = "native"
"""Where a new encoder reward model reads its score: what plain Transformers reads, so that both give one score.

Mean pooling was no better where it was measured (docs/measured.md)."""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
"""What decides how text becomes tokens."""


def frozen_digest(name: str) -> str:
    """Digest of configuration, weights and tokenizer of a model that stays as it is. Raises ModelError."""
    return weights_digest(model_folder(resolve(name)), others=TOKENIZER_FILES)


def infer_contract(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    *,
    pooling: Pooling | None = None,
    max_length: int | None = None,
    step_unit: StepUnit | Literal[""] = "",
    aggregation: Aggregation | Literal[""] = "",
) -> ScoreContract:
    """The contract that a backbone calls for; with pooling `steps`, that of a process reward.

    Raises:
        ConfigError: `pooling` or `max_length` does not fit the model.
    """
    decoder = is_decoder(model)
    limit = window(model, tokenizer.model_max_length)
    wanted = pooling or ("last" if decoder else ENCODER_POOLING if head_names(model) else "native")
    faults = []
    marks = (tokenizer.eos_token,) if decoder else (tokenizer.mask_token, tokenizer.sep_token, tokenizer.eos_token)
    mark = next((token for token in marks if token), "")
    if wanted == "steps" and not mark:
        faults.append("the tokenizer has no special token that could mark the end of a step")
    if decoder and wanted not in ("last", "steps"):
        faults.append(
            f"pooling {wanted!r} does not fit a decoder: only its last token has read the whole text; use last"
        )
    if not decoder and wanted != "native" and not head_names(model):
        faults.append(f"pooling {wanted!r} does not fit {type(model).__name__}; use native")
    if max_length is not None and not 4 <= max_length <= limit:
        faults.append(f"max_length must be between 4 and {limit}, what the model reads; got {max_length}")
    at_eos = reads_eos(model)
    if at_eos and model.config.eos_token_id != tokenizer.eos_token_id:
        faults.append(
            f"{type(model).__name__} reads its score at EOS, which is {tokenizer.eos_token!r} "
            f"({tokenizer.eos_token_id}) for the tokenizer and {model.config.eos_token_id} for the model"
        )
    if faults:
        raise ConfigError("; ".join(faults))
    chat = decoder and bool(tokenizer.chat_template)
    lacks_eos = at_eos and tokenizer("a", "b")["input_ids"][-1] != tokenizer.eos_token_id
    return ScoreContract(
        architecture=type(model).__name__,
        rendering="chat" if chat else "plain" if decoder else "pair",
        pooling=wanted,
        max_length=max_length or min(limit, DEFAULT_MAX_LENGTH),
        ends_with_eos=lacks_eos or (decoder and not chat and tokenizer.eos_token_id is not None and wanted != "steps"),
        pad_token_id=_padding_token(model, tokenizer),
        chat_template_sha256=text_sha256(str(tokenizer.chat_template)) if chat else "",
        step_unit=step_unit,
        step_mark=mark if wanted == "steps" else "",
        aggregation=aggregation,
    )


def _padding_token(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """The tokenizer's, or the next best, where the model has an embedding of it."""
    embeddings: Any = model.get_input_embeddings()
    known = (tokenizer.pad_token_id, model.config.get_text_config().pad_token_id, tokenizer.eos_token_id)
    return next((i for i in known if isinstance(i, int) and 0 <= i < len(embeddings.weight)), 0)


def check_contract(
    contract: ScoreContract, model: PreTrainedModel | torch.nn.Module, tokenizer: PreTrainedTokenizerBase, where: str
) -> None:
    """Checks that a contract, weights and tokenizer belong together.

    Raises:
        ContractError: with every fault found.
    """
    classifier = unwrap(model)
    faults, about = [], "contract"
    if type(classifier).__name__ != contract.architecture:
        faults.append(f"architecture is {type(classifier).__name__}, the contract says {contract.architecture}")
    if classifier.config.num_labels != len(contract.attributes):
        faults.append(f"the head has {classifier.config.num_labels} outputs, the contract {len(contract.attributes)}")
    if contract.head_sha256 and head_sha256(classifier) != contract.head_sha256:
        faults.append("the head's weights are not those that were trained (missing, re-initialised or replaced)")
        about = "head"
    if contract.rendering == "chat" and text_sha256(str(tokenizer.chat_template)) != contract.chat_template_sha256:
        faults.append("the tokenizer's chat template is not the one the model was trained with")
        about = "template"
    if contract.max_length > window(classifier, tokenizer.model_max_length):
        faults.append(f"max_length {contract.max_length} is more than the model reads")
        about = "truncation"
    if faults:
        raise ContractError(f"{where} does not keep its score contract: " + "; ".join(faults), about=about)


def last_token(tokenizer: PreTrainedTokenizerBase, contract: ScoreContract) -> int | None:
    """The token that ends every text of a decoder, the same for all; None where a text ends with its own words."""
    ends = {Encoder(tokenizer, contract, "auto").encode(["a"], [text]).tokens[0].ids[-1] for text in ("b", "c")}
    return ends.pop() if len(ends) == 1 else None


def choose_padding(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, contract: ScoreContract, *, may_grow: bool
) -> ScoreContract:
    """Gives a decoder, its tokenizer and its contract a padding token that ends no text.

    Transformers reads a decoder's score at the last token that is not padding: where texts end with the padding token
    itself (`pad == eos`) it reads another one than Guerdon, and the saved model would score otherwise there. Where no
    special token fits and it `may_grow`, one is added, for which the embeddings may have to grow.
    """
    ending = last_token(tokenizer, contract)
    added = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    every = sorted(added.union(tokenizer.all_special_ids))
    own = [tokenizer.pad_token_id, *(i for i in every if "pad" in str(tokenizer.convert_ids_to_tokens(i)).lower())]
    others = [tokenizer.unk_token_id, *(i for i in every if i != tokenizer.bos_token_id), tokenizer.bos_token_id]
    fitting = [i for i in (*own, *others) if i not in (None, tokenizer.eos_token_id, ending)]
    if fitting:
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(fitting[0])
    elif may_grow:
        tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
        embeddings: Any = model.get_input_embeddings()
        if len(tokenizer) > len(embeddings.weight):
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    else:
        return contract
    tokenizer.padding_side = contract.padding_side
    for config in (model.config, model.config.get_text_config()):
        config.pad_token_id = tokenizer.pad_token_id
    return dataclasses.replace(contract, pad_token_id=int(str(tokenizer.pad_token_id)))


def adopted_contract(found: ForeignModel, folder: Path, name: str, *, decided: bool) -> ScoreContract:
    """The contract of a model of other origin, inferred once and kept in the cache, never beside the weights.

    It is kept by a digest of configuration, tokenizer and weights: a model that is trained again gets a new one.

    Args:
        found: the model.
        folder: where it lies.
        name: what the user calls it.
        decided: of several outputs, somebody says which is the reward.

    Raises:
        ContractError: which of several outputs is the reward is not known.
    """
    model, tokenizer = found.model, found.tokenizer
    attributes = output_names(model.config.id2label or {}, int(model.config.num_labels or 1))
    if len(attributes) > 1 and not decided:
        raise undecided(name, attributes)
    pooling: Pooling = "last" if is_decoder(model) else "native"
    contract = _with_outputs(infer_contract(model, tokenizer, pooling=pooling), attributes, model.config)
    contract = found.base.into(dataclasses.replace(contract, backbone=name, head_sha256=head_sha256(model)))
    digest = weights_digest(folder, others=TOKENIZER_FILES) + contract.base_sha256[:16]
    place = cache_folder() / "contracts" / f"{digest}.json"
    with suppress(OSError, ValueError, ContractError):  # none, or one of another version of guerdon
        kept = ScoreContract.from_dict(json.loads(place.read_text(encoding="utf-8")))
        if kept.head_sha256 == contract.head_sha256 and kept.base == contract.base:
            return kept
    try:
        with atomic_write(place) as file:
            json.dump(dataclasses.asdict(contract), file, indent=2, ensure_ascii=False)
    except OutputError as error:  # a read-only cache is no reason not to score
        logger.info("could not keep the inferred contract of %s: %s", name, error)
    said = f"; an adapter on {contract.base}, merged" if contract.base else ""
    said += f"; its head is called {found.head}" if found.head in FOREIGN_HEADS else ""
    logger.warning(
        "%s has no score contract; inferred: %s rendering, %s pooling, max_length %d, EOS %s%s. "
        "`guerdon doctor %s --adopt` writes it beside the weights",
        name, contract.rendering, contract.pooling, contract.max_length, contract.ends_with_eos, said, name,
    )  # fmt: skip
    return contract


def _with_outputs(contract: ScoreContract, attributes: tuple[str, ...], config: Any) -> ScoreContract:
    """The contract of a head of several outputs, and in OpenRLHF's units where its configuration has some."""
    count = len(attributes)
    mean, std = getattr(config, "mean", None), getattr(config, "std", None)
    scale, shift, units = 1.0, 0.0, (0.0, 1.0)
    if count == 1 and isinstance(mean, int | float) and isinstance(std, int | float) and std > 0:
        if getattr(config, "normalize_reward", False):
            scale, shift = 1 / std, -mean / std  # (reward - mean) / std
        else:
            units = float(mean), float(std)
    return dataclasses.replace(
        contract,
        attributes=attributes,
        weights=(1 / count,) * count,
        shift=(shift,) * count,
        scale=(scale,) * count,
        mean=units[0],
        std=units[1],
    )
