"""A transformer's folder: plain Transformers reads it with the same scores, or refuses to."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from guerdon import hf
from guerdon.errors import ModelError
from guerdon.models import resolve
from guerdon.rewards.adapter_base import AdapterBase, portable_base
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.foreign import is_adapter, load_foreign
from guerdon.rewards.infer import check_contract, last_token
from guerdon.rewards.model_card import model_card
from guerdon.rewards.reward_net import head_sha256, is_decoder, output_layer
from guerdon.rewards.saved import saving
from guerdon.rewards.training_data import PROMPTS_FILE, TrainingPrompts, write_training_prompts
from guerdon.types import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CODE_FILE = "modeling_guerdon.py"


def fold_units(model: torch.nn.Module, contract: ScoreContract) -> ScoreContract:
    """Moves shift and scale from the contract into the head's weights, so that its logits are in the data's units.

    A sole attribute's weight goes there as well. The shift stays in the contract where the architecture has no bias, as
    on decoders; everything stays where the head is none that we know. The contract that comes back gives the same
    scores.
    """
    layer = output_layer(hf.unwrap(model))
    if layer is None:
        return contract
    alone = len(contract.attributes) == 1
    weight = contract.weights[0] if alone else 1.0
    scale = [weight * one for one in contract.scale]
    shift = [weight * one for one in contract.shift]
    with torch.no_grad():
        factor = torch.tensor(scale, dtype=torch.float64, device=layer.weight.device)
        layer.weight.copy_(layer.weight.double() * factor[:, None])
        if layer.bias is not None:
            layer.bias.copy_(layer.bias.double() * factor + torch.tensor(shift, dtype=torch.float64).to(factor.device))
            shift = [0.0] * len(shift)
            if is_decoder(hf.unwrap(model)):  # another trainer's: the architecture itself has no room for it
                shift = layer.bias.tolist()
                layer.register_parameter("bias", None)
    weights = (1.0,) if alone else contract.weights
    return dataclasses.replace(contract, weights=weights, shift=tuple(shift), scale=(1.0,) * len(scale))


def needs_code(tokenizer: PreTrainedTokenizerBase, contract: ScoreContract) -> bool:
    """Whether plain Transformers would score otherwise than this contract, once its units are folded into the head."""
    if contract.base or contract.pooling in ("mean", "steps") or any(contract.shift) or set(contract.scale) != {1.0}:
        return True
    if contract.pooling == "native":
        return False
    return contract.pad_token_id in (tokenizer.eos_token_id, last_token(tokenizer, contract))


def write_reward(
    folder: str | Path,
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    contract: ScoreContract,
    *,
    training: Mapping[str, Any],
    training_prompts: Iterable[Prompt],
    metrics: Mapping[str, float],
) -> None:
    """Writes a model whose units are folded; for the rest see `guerdon.rewards.transformer.TransformerReward.save`."""
    code = needs_code(tokenizer, contract)
    classifier = hf.unwrap(model)
    contract = dataclasses.replace(
        contract,
        base=portable_base(contract.base, folder),
        head_sha256=head_sha256(classifier),
        versions={name: importlib.metadata.version(name) for name in ("torch", "transformers", "peft", "tokenizers")},
    )
    for config in (classifier.config, classifier.config.get_text_config()):
        config.pad_token_id = contract.pad_token_id
        config.problem_type = "regression"  # the pipeline of Transformers would squash scores otherwise
    content = {"contract": dataclasses.asdict(contract), "training": dict(training)}
    card = model_card(contract, code=code, metrics=metrics)
    # Transformers would read an adapter that an earlier model left here on top of our weights.
    clears = (*hf.WEIGHT_FILES, PROMPTS_FILE, CODE_FILE)
    with saving(folder, "transformer", content, card, clears=clears) as stage:
        if code:
            _save_with_code(model, contract, stage)
        else:
            hf.save_model(model, stage)
        tokenizer.save_pretrained(stage)
        if prompts := TrainingPrompts.of(training_prompts):
            write_training_prompts(stage, prompts)


def _save_with_code(model: torch.nn.Module, contract: ScoreContract, folder: Path) -> None:
    """Writes a model whose configuration Transformers does not know, so that it asks before it runs our code."""
    from guerdon.modeling_guerdon import GuerdonReward, GuerdonRewardConfig

    classifier = hf.unwrap(model)
    config = copy.deepcopy(classifier.config)  # a wrapper changes what it is given
    config.architectures = [type(classifier).__name__]
    wrapper = GuerdonRewardConfig(
        classifier=config,
        pooling=contract.pooling,
        shift=contract.shift if any(contract.shift) else (),
        scale=contract.scale if set(contract.scale) != {1.0} else (),
        adapter_base=contract.base,
        adapter_base_dtype="" if contract.base_dtype == "float32" else contract.base_dtype,
        num_labels=len(contract.attributes),
        id2label=config.id2label,
        label2id=config.label2id,
        pad_token_id=contract.pad_token_id,
        problem_type=config.problem_type,
    )
    if not contract.base:
        hf.save_model(GuerdonReward(wrapper, classifier), folder)
        return
    hf.save_model(model, folder)
    wrapper.architectures = ["GuerdonReward"]
    wrapper.auto_map = {"AutoModelForSequenceClassification": f"{Path(CODE_FILE).stem}.GuerdonReward"}
    wrapper.save_pretrained(folder)


def load_parts(
    folder: Path, contract: ScoreContract, backbone: torch.nn.Module | None, trust_remote_code: bool
) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """The model and the tokenizer in a folder, under the contract that `read_contract` gives.

    `backbone` is the base of an adapter with other adapters on it; where it is None, the base is loaded.

    Raises:
        ModelError: they cannot be loaded.
        ContractError: they do not belong together.
    """
    model: torch.nn.Module
    base = AdapterBase.of(contract)
    if is_adapter(folder) or not contract.base:
        found = load_foreign(folder, trust_remote_code, base)
        model, tokenizer = found.model, found.tokenizer
    else:
        tokenizer = hf.load_tokenizer(str(folder), trust_remote_code)
        if backbone is not None:
            model = hf.load_adapter(backbone, folder, name=folder.name)
            model.set_adapter(folder.name)  # type: ignore[operator]
        else:
            model = hf.load_adapter(_load_base(contract, str(folder), trust_remote_code), folder)
    check_contract(contract, model, tokenizer, str(folder))
    return model, tokenizer


def _load_base(contract: ScoreContract, where: str, trust_remote_code: bool) -> PreTrainedModel:
    """Loads the base of the adapter in the folder `where`, and refuses another one."""
    base = AdapterBase.of(contract)
    try:
        model = hf.load_classifier(
            resolve(base.name), contract.attributes, trust_remote_code, new_head=True, revision=base.revision or None
        )
    except ModelError as error:
        raise ModelError(f"{where} is a LoRA adapter on {base.name}, which cannot be loaded: {error}") from error
    base.check(where)
    base.prepare(model)
    return model
