"""The model that a LoRA adapter sits on: found from any working directory, and no other taken for it."""

from __future__ import annotations

import dataclasses
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon.errors import ContractError, ModelError
from guerdon.merged import adapter_config, base_place
from guerdon.models import OFFLINE_MODELS, model_folder, resolve, weights_digest
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.saved import read_card
from guerdon.types import BaseDtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class AdapterBase:
    """Which model it is."""

    name: str
    """An offline model, an absolute path, or a name on the hub; empty where there is no adapter."""
    revision: str = ""
    """The commit of a model on the hub."""
    sha256: str = ""
    """What `weights_digest` gave; empty for not known."""
    dtype: BaseDtype = "float32"
    """Precision of the base while the adapter learnt on it: it is read on weights that are rounded in the same way."""

    @classmethod
    def of(cls, contract: ScoreContract) -> AdapterBase:
        """What a contract says."""
        return cls(contract.base, contract.base_revision, contract.base_sha256, contract.base_dtype)

    def into(self, contract: ScoreContract) -> ScoreContract:
        """The contract with this base."""
        return dataclasses.replace(
            contract,
            base=self.name,
            base_revision=self.revision,
            base_sha256=self.sha256,
            base_dtype=self.dtype,
        )

    def prepare(self, model: PreTrainedModel) -> None:
        """Gives the loaded base the weights that the adapter learnt on."""
        if self.dtype == "float32":
            return
        from guerdon.modeling_guerdon import round_base  # imports Transformers
        from guerdon.nf4 import bitsandbytes

        if self.dtype == "nf4":
            bitsandbytes()
        round_base(model, self.dtype)

    def check(self, where: str) -> AdapterBase:
        """The base with its digest, now that its files are at hand; `where` is the folder of the adapter.

        Raises:
            ContractError: it is another model than the one that was recorded.
        """
        path = resolve(self.name)
        found = weights_digest(model_folder(path, self.revision or None))
        if self.sha256 and found != self.sha256:
            raise ContractError(
                f"{where} is a LoRA adapter on the model {self.name} with the digest {self.sha256[:16]}; "
                f"{path} holds another model, with the digest {found[:16]}, on which the scores would be others. "
                "Fix: put the model that it was trained on there",
                about="LoRA base",
            )
        return dataclasses.replace(self, sha256=found)


def record_base(contract: ScoreContract, name: str, dtype: BaseDtype) -> ScoreContract:
    """Says in the contract which model an adapter sits on: an offline one, a folder, or a loaded one of the hub."""
    path = resolve(name)
    folder, local = model_folder(path), os.path.isdir(path)
    return AdapterBase(
        name=name if name in OFFLINE_MODELS or not local else path,
        revision="" if local else folder.name,  # the hub's cache has a folder a commit
        sha256=weights_digest(folder),
        dtype=dtype,
    ).into(contract)


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
    trained_on = str(adapter_config(folder).get("base_model_name_or_path", ""))
    places = [os.path.normpath(os.path.join(os.path.realpath(folder), contract.base))]
    places += [trained_on] if os.path.isabs(trained_on) else []  # where it still lies if the adapter alone was moved
    there = [place for place in places if os.path.isdir(place)]
    if not there:
        raise ContractError(
            f"{folder} is a LoRA adapter, and the base model that it sits on was not found; looked for at "
            f'{" and ".join(dict.fromkeys(places))}. Fix: put the base there, or write its place into "base" in '
            f"{folder / 'guerdon.json'}, as a path relative to that folder that begins with ./ or ../",
            about="LoRA base",
        )
    for place in there:
        with suppress(ModelError):
            if weights_digest(Path(place)) == contract.base_sha256:
                return dataclasses.replace(contract, base=place)
    return dataclasses.replace(contract, base=there[0])


def base_of_adapter(folder: Path) -> AdapterBase:
    """The base that PEFT recorded for an adapter: as it was typed at training, so it is looked for near the adapter.

    Raises:
        ContractError: it is nowhere.
    """
    return AdapterBase(*base_place(folder))
