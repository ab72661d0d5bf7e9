"""What lies in a folder of weights, read from the headers of its safetensors files: tensors, and the head among them.

Trainers call the layer that gives the score by different names, and keep it in the model's own file, in a file of its
own, or in that of an adapter. Nothing is loaded here, and nothing is ever unpickled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guerdon.errors import ContractError, ModelError

ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of a PEFT adapter."""

NATIVE_HEADS = ("score", "classifier", "classifier.out_proj", "classification_head.out_proj", "logits_proj")
"""Output layers of Transformers' sequence classifiers."""
FOREIGN_HEADS = ("v_head.summary", "v_head", "value_head", "value_head.summary", "reward_head", "rm_head")
"""Output layers of other trainers: TRL, LLaMA-Factory and ms-swift `v_head.summary`, OpenRLHF `value_head`."""

_PREFIX = r"(?:(?:base_model\.model|base_model|pretrained_model|module|model)\.)*"
_SAVED_COPY = r"(?:\.modules_to_save)?(?:\.default)?"
_HEADS = {
    name: re.compile(_PREFIX + re.escape(name) + _SAVED_COPY + r"\.weight") for name in (*NATIVE_HEADS, *FOREIGN_HEADS)
}
_FEW = 4
"""A file of so few tensors holds a head alone."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor in a file."""

    file: Path
    shape: tuple[int, ...]
    dtype: str
    """As safetensors writes it: `F32`, `BF16` ..."""
    start: int
    """First byte of the tensor in the file."""
    stop: int


@dataclass(frozen=True, slots=True)
class StoredHead:
    """The layer that gives the score, where a trainer has put it."""

    layer: str
    """One of `NATIVE_HEADS` or `FOREIGN_HEADS`; empty for a tensor that is alone in its file."""
    file: Path
    weight: str
    """Name of the tensor of shape (outputs, width)."""
    bias: str
    """Name of the tensor of shape (outputs,); empty where there is none."""
    outputs: int

    @property
    def native(self) -> bool:
        """Whether Transformers finds it by itself."""
        return self.layer in NATIVE_HEADS

    def load(self) -> tuple[Any, Any]:
        """Weight and bias as float32 tensors; None for no bias."""
        from safetensors import safe_open

        with safe_open(self.file, framework="pt") as file:
            return file.get_tensor(self.weight).float(), file.get_tensor(self.bias).float() if self.bias else None


def tensors_of(file: Path) -> dict[str, StoredTensor]:
    """The tensors of a safetensors file, by name.

    Raises:
        ModelError: it is none.
    """
    try:
        with file.open("rb") as stream:
            size = int.from_bytes(stream.read(8), "little")
            header = json.loads(stream.read(size))
        header.pop("__metadata__", None)
        return {
            name: StoredTensor(
                file, tuple(one["shape"]), one["dtype"], *(8 + size + place for place in one["data_offsets"])
            )
            for name, one in header.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError) as error:
        raise ModelError(f"{file} cannot be read as safetensors: {error}") from error


def weight_tensors(folder: Path) -> dict[str, StoredTensor]:
    """The tensors of a model's own safetensors files, one or several; empty where it has none."""
    whole, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if whole.is_file():
        return tensors_of(whole)
    files = folder.glob("model-*.safetensors")
    if index.is_file():
        try:
            files = (
                folder / name for name in set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise ModelError(f"{index} cannot be read: {error}") from error
    return {name: tensor for file in sorted(files) for name, tensor in tensors_of(file).items()}


def stored_head(folder: Path) -> StoredHead | None:
    """The head that a folder holds, of a model or of an adapter; None where there is none by a name that is known.

    A head of another trainer goes before one of Transformers: the latter is then left over from the backbone.
    """
    found = [_among(weight_tensors(folder))]
    if (folder / ADAPTER_WEIGHTS).is_file():
        found.append(_among(tensors_of(folder / ADAPTER_WEIGHTS)))
    own = {"model", "adapter_model", "consolidated"}
    for file in sorted(folder.glob("*.safetensors")):
        if file.name.split(".")[0].split("-")[0] not in own:
            found.append(_alone(tensors_of(file)))
    heads = [head for head in found if head is not None]
    foreign = (head for head in heads if head.layer in FOREIGN_HEADS)
    return next(foreign, heads[0] if heads else None)


def pickled_weights(folder: Path) -> list[Path]:
    """Weights in PyTorch's own format, which is a program that is run when it is read."""
    every = [*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]
    return sorted(file for file in every if "head" in file.name or "model" in file.name)


def no_head_error(folder: Path) -> ContractError:
    """What to say of a folder without a head."""
    pickled = [file.name for file in pickled_weights(folder)]
    if pickled:
        return ContractError(
            f"{folder} has {', '.join(pickled[:3])}, which is pickled: reading it could run any code, so that it is "
            'not read here. Fix: if you trust its origin, convert it once, in that folder: python -c "import torch; '
            f"from safetensors.torch import save_file; w = torch.load('{pickled[0]}', weights_only=True); "
            f"save_file({{k: v.contiguous() for k, v in w.items()}}, '{_converted(pickled[0])}')\"",
            about="head",
        )
    return ContractError(
        f"{folder} has no head: none of its tensors is called {', '.join((*NATIVE_HEADS[:2], *FOREIGN_HEADS[:3]))} or "
        "the like, so that scores would come from random numbers. Fix: save it together with its head (with PEFT, "
        'modules_to_save=["score"]), or train it (guerdon train)',
        about="head",
    )


def _converted(name: str) -> str:
    stem = name.rpartition(".")[0]
    return {"pytorch_model": "model", "adapter_model": "adapter_model"}.get(stem, stem) + ".safetensors"


def _among(tensors: Mapping[str, StoredTensor]) -> StoredHead | None:
    for layer in (*FOREIGN_HEADS, *NATIVE_HEADS):
        for name, tensor in tensors.items():
            if len(tensor.shape) == 2 and _HEADS[layer].fullmatch(name):
                return _head(layer, name, tensor, tensors)
    return None


def _alone(tensors: Mapping[str, StoredTensor]) -> StoredHead | None:
    """The head in a file of its own, whatever its tensors are called."""
    if (known := _among(tensors)) is not None:
        return known
    matrices = [name for name, tensor in tensors.items() if len(tensor.shape) == 2]
    if len(tensors) > _FEW or len(matrices) != 1:
        return None
    return _head("", matrices[0], tensors[matrices[0]], tensors)


def _head(layer: str, weight: str, tensor: StoredTensor, beside: Iterable[str]) -> StoredHead:
    bias = weight.removesuffix("weight") + "bias"
    return StoredHead(layer, tensor.file, weight, bias if bias in set(beside) else "", tensor.shape[0])
