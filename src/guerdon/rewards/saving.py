"""A transformer's folder: plain Transformers reads it with the same scores, or refuses to.

A LoRA adapter finds the model that it sits on from any working directory, and takes no other for it.
"""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from guerdon import hf
from guerdon.errors import ContractError, ModelError
from guerdon.models import OFFLINE_MODELS, model_folder, resolve, weights_digest
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.infer import check_contract, last_token
from guerdon.rewards.model_card import model_card
from guerdon.rewards.reward_net import head_sha256, output_layer
from guerdon.rewards.saved import read_card, saving
from guerdon.rewards.training_data import PROMPTS_FILE, TrainingPrompts, write_training_prompts
from guerdon.types import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

CODE_FILE = "modeling_guerdon.py"


def fold_units(model: torch.nn.Module, contract: ScoreContract) -> ScoreContract:
    """Moves shift and scale from the contract into the head's weights, so that its logits are in the data's units.

    A sole attribute's weight goes there as well. The shift stays in the contract where the head has no bias, as on
    decoders; everything stays where the head is none that we know. The contract that comes back gives the same scores.
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
    weights = (1.0,) if alone else contract.weights
    return dataclasses.replace(contract, weights=weights, shift=tuple(shift), scale=(1.0,) * len(scale))


def needs_code(tokenizer: PreTrainedTokenizerBase, contract: ScoreContract) -> bool:
    """Whether plain Transformers would score otherwise than this contract, once its units are folded into the head."""
    if contract.base or contract.pooling == "mean" or any(contract.shift) or set(contract.scale) != {1.0}:
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
    """The model and the tokenizer that `write_reward` wrote, under the contract that `read_contract` gives.

    `backbone` is the base of an adapter with other adapters on it; where it is None, the base is loaded.

    Raises:
        ModelError: they cannot be loaded.
        ContractError: they do not belong together.
    """
    tokenizer = hf.load_tokenizer(str(folder), trust_remote_code)
    if backbone is not None:
        model = hf.load_adapter(backbone, folder, name=folder.name)
        model.set_adapter(folder.name)  # type: ignore[operator]
    elif contract.base:
        model = hf.load_adapter(_load_base(contract, str(folder), trust_remote_code), folder)
    else:
        model = hf.load_classifier(str(folder), None, trust_remote_code, new_head=False)
    check_contract(contract, model, tokenizer, str(folder))
    return model, tokenizer


# --- the base of an adapter


def record_base(contract: ScoreContract, name: str) -> ScoreContract:
    """Says in the contract which model an adapter sits on: an offline one, a folder, or a loaded one of the hub."""
    path = resolve(name)
    folder, local = model_folder(path), os.path.isdir(path)
    return dataclasses.replace(
        contract,
        base=name if name in OFFLINE_MODELS or not local else path,
        base_revision="" if local else folder.name,  # the hub's cache has a folder a commit
        base_sha256=weights_digest(folder),
    )


def portable_base(base: str, folder: str | Path) -> str:
    """A base as `guerdon.json` in this folder has it: a local path relative to the folder, with a dot in front."""
    if not os.path.isabs(base):
        return base
    relative = Path(os.path.relpath(os.path.realpath(base), os.path.realpath(folder))).as_posix()
    return relative if relative.startswith(".") else f"./{relative}"


def read_contract(folder: Path) -> ScoreContract:
    """The contract of a saved transformer, with the absolute path of its base where that is a local folder.

    Raises:
        ContractError: the contract is broken, or the base is nowhere.
    """
    contract = ScoreContract.from_dict(read_card(folder, "transformer")["contract"])
    if not contract.base.startswith("."):
        return contract
    places = [os.path.normpath(os.path.join(os.path.realpath(folder), contract.base)), *_place_of_training(folder)]
    there = [place for place in places if os.path.isdir(place)]
    if not there:
        raise ContractError(
            f"{folder} is a LoRA adapter, and the base model that it sits on was not found; looked for at "
            f'{" and ".join(dict.fromkeys(places))}. Fix: put the base there, or write its place into "base" in '
            f"{folder / 'guerdon.json'}, as a path relative to that folder that begins with ./ or ../"
        )
    for place in there:
        with suppress(ModelError):
            if weights_digest(Path(place)) == contract.base_sha256:
                return dataclasses.replace(contract, base=place)
    return dataclasses.replace(contract, base=there[0])


def _load_base(contract: ScoreContract, where: str, trust_remote_code: bool) -> PreTrainedModel:
    """Loads the base of the adapter in the folder `where`, and refuses another one."""
    path, revision = resolve(contract.base), contract.base_revision or None
    try:
        model = hf.load_classifier(path, contract.attributes, trust_remote_code, new_head=True, revision=revision)
    except ModelError as error:
        raise ModelError(f"{where} is a LoRA adapter on {contract.base}, which cannot be loaded: {error}") from error
    found = weights_digest(model_folder(path, revision))
    if contract.base_sha256 and found != contract.base_sha256:
        raise ContractError(
            f"{where} is a LoRA adapter on the model {contract.base} with the digest {contract.base_sha256[:16]}; "
            f"{path} holds another model, with the digest {found[:16]}, on which the scores would be others. "
            "Fix: put the model that it was trained on there"
        )
    return model


def _place_of_training(folder: Path) -> list[str]:
    """Where the base lay when the adapter was saved: where it still lies if the adapter alone was moved."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    place = str(config.get("base_model_name_or_path", ""))
    return [place] if os.path.isabs(place) else []
