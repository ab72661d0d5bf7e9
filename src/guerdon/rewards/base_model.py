"""The model that a LoRA adapter sits on: found from any working directory, and no other passes for it."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon import hf
from guerdon.errors import ContractError, ModelError
from guerdon.models import OFFLINE_MODELS, model_folder, resolve, weights_digest
from guerdon.rewards.contract import ScoreContract, read_card

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def record_base(contract: ScoreContract, name: str) -> ScoreContract:
    """Says in the contract which model an adapter sits on.

    Args:
        contract: the score contract of the reward model.
        name: an offline model, a folder, or the name of a model on the hub that was loaded.
    """
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
    card = read_card(folder)
    if card["kind"] != "transformer":
        raise ContractError(f"{folder} is of kind {card['kind']!r}; load it with guerdon.load_scorer")
    contract = ScoreContract.from_dict(card["contract"])
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
    right = [place for place in there if _matches(place, contract)]
    return dataclasses.replace(contract, base=(right or there)[0])


def load_base(contract: ScoreContract, where: str, trust_remote_code: bool) -> PreTrainedModel:
    """Loads the base of an adapter.

    Args:
        contract: as `read_contract` gives it.
        where: the adapter, for messages.
        trust_remote_code: run code that comes with the base.

    Raises:
        ModelError: it cannot be loaded.
        ContractError: it is another model than the one that the adapter was trained on.
    """
    path, revision = resolve(contract.base), contract.base_revision or None
    try:
        model = hf.load_classifier(
            path, contract.attributes, "float32", trust_remote_code, new_head=True, revision=revision
        )
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


def _matches(place: str, contract: ScoreContract) -> bool:
    try:
        return weights_digest(Path(place)) == contract.base_sha256
    except ModelError:
        return False


def _place_of_training(folder: Path) -> list[str]:
    """Where the base lay when the adapter was saved: where it still lies if the adapter alone was moved."""
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    place = str(config.get("base_model_name_or_path", ""))
    return [place] if os.path.isabs(place) else []
