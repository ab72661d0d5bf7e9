"""Loading and saving with Transformers and PEFT, with their quirks and their noise in one place."""

from __future__ import annotations

import contextlib
import copy
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from guerdon.errors import ContractError, ModelError
from guerdon.hub import hub_fault, one_line, require_model
from guerdon.types import BaseDtype, Dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # PEFT imports it, and it tells of kernels that it lacks

HEAD_NAMES = ("score", "classifier")
"""What Transformers calls the head: `score` on decoders, `classifier` on encoders."""

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "adapter_config.json", "adapter_model.safetensors")
"""Files by which Transformers knows what a folder holds."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences Transformers' load report (we check what was loaded), and its warning at a deprecated name in PEFT."""
    from transformers.utils import logging as hf_logging

    level = hf_logging.get_verbosity()
    bar = hf_logging.is_progress_bar_enabled()
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            yield
    finally:
        hf_logging.set_verbosity(level)
        if bar:
            hf_logging.enable_progress_bar()


def device_and_dtype(device: str | None, dtype: Dtype) -> tuple[torch.device, torch.dtype]:
    """Where to compute (None: a GPU where there is one), and in what type: `auto` is bfloat16 there, else float32."""
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    if dtype == "auto":
        dtype = "bfloat16" if name.startswith("cuda") else "float32"
    return torch.device(name), getattr(torch, dtype)


@dataclass(frozen=True, slots=True)
class Lora:
    """Low-rank adapters on every linear layer (Hu et al. 2021, arXiv:2106.09685)."""

    rank: int = 16
    alpha: int = 32
    base_dtype: BaseDtype = "float32"
    """Precision of the weights that are not trained. `nf4` has the linear layers in 4 bits (see `guerdon.nf4`), and
    what else is not trained rounded to bfloat16."""


def load_classifier(
    path: str,
    attributes: Sequence[str] | None,
    trust_remote_code: bool,
    *,
    new_head: bool,
    outputs: int | None = None,
    revision: str | None = None,
    key_mapping: dict[str, str] | None = None,
) -> PreTrainedModel:
    """Loads a sequence classifier in float32; one that Guerdon saved with modelling code without running that code.

    Args:
        path: folder or hub name.
        attributes: names of the head's outputs; None takes what the checkpoint has.
        trust_remote_code: run code that comes with the model.
        new_head: the checkpoint is a backbone, whose head is made new. Otherwise every weight must be there.
        outputs: how many outputs the head has, where it is the weights that know, and not the configuration.
        revision: commit of a model on the hub.
        key_mapping: pattern in the names of tensors -> what stands there instead.

    Raises:
        ModelError: not found, or not a model that Transformers can classify with.
        ContractError: weights are missing and `new_head` is False.
    """
    from transformers import AutoModelForSequenceClassification

    labels: dict[str, Any] = {} if outputs is None else {"num_labels": outputs}
    if attributes is not None:
        named = dict(enumerate(attributes))
        labels = {"num_labels": len(named), "id2label": named, "label2id": {name: i for i, name in named.items()}}
    options: dict[str, Any] = {
        "dtype": torch.float32,
        "use_safetensors": True,  # a model is never unpickled
        "output_loading_info": True,
        "trust_remote_code": trust_remote_code,
        "ignore_mismatched_sizes": True,  # a head for other labels is replaced; all else is checked below
        "revision": revision,
        "key_mapping": key_mapping,
    }
    try:
        _at_hand(path)
        with quiet():
            wrapper = _guerdon_config(path, revision)
            if wrapper is None:
                model, info = AutoModelForSequenceClassification.from_pretrained(path, **options, **labels)
            else:
                from guerdon.modeling_guerdon import GuerdonReward

                wrapper.classifier.update(labels)
                wrapped, info = GuerdonReward.from_pretrained(path, config=wrapper, **options)
                model = wrapped.reward
    except Exception as error:
        raise _cannot_load(path, f"cannot load {path!r} as a sequence classifier", error) from error
    mismatched = [key[0] if isinstance(key, tuple) else key for key in info["mismatched_keys"]]
    missing = sorted({*info["missing_keys"], *mismatched})
    expected = (*(f"{name}." for name in HEAD_NAMES), "pre_classifier.", "head.", "pooler.")
    if not new_head and missing:
        raise ContractError(
            f"{path} is not a whole reward model: {len(missing)} weight(s) are missing or of the wrong shape "
            f"({', '.join(missing[:4])}); scores would come from random numbers. Fix: train it first (guerdon train)",
            about="head",
        )
    if new_head and (lost := [name for name in missing if not any(part in name for part in expected)]):
        raise ModelError(f"{path} lacks {len(lost)} weight(s) of the backbone itself ({', '.join(lost[:4])})")
    config = model.config.get_text_config()
    if config.pad_token_id is None:
        eos = config.eos_token_id
        config.pad_token_id = eos[0] if isinstance(eos, list) else eos
    return cast("PreTrainedModel", model)


def _guerdon_config(path: str, revision: str | None) -> Any:
    """The configuration of a model that Guerdon saved with modelling code; None for any other."""
    from transformers import PreTrainedConfig

    values, _ = PreTrainedConfig.get_config_dict(path, revision=revision)
    if values.get("model_type") != "guerdon-reward":
        return None
    from guerdon.modeling_guerdon import GuerdonRewardConfig

    return GuerdonRewardConfig.from_dict(values)


def load_tokenizer(path: str, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """Loads a tokenizer. Raises ModelError."""
    from transformers import AutoTokenizer

    try:
        _at_hand(path)
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    except Exception as error:
        raise _cannot_load(path, f"cannot load the tokenizer of {path!r}", error) from error
    if not tokenizer.is_fast:
        raise ModelError(f"the tokenizer of {path!r} gives no offsets (not a fast tokenizer); convert it first")
    return cast("PreTrainedTokenizerBase", tokenizer)


def load_backbone(path: str, trust_remote_code: bool) -> PreTrainedModel:
    """Loads what gives hidden states, in float32 and without a head. Raises ModelError."""
    from transformers import AutoModel

    try:
        _at_hand(path)
        with quiet():
            model, info = AutoModel.from_pretrained(
                path,
                use_safetensors=True,
                dtype=torch.float32,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
            )
    except Exception as error:
        raise _cannot_load(path, f"cannot load the encoder {path!r}", error) from error
    if lost := sorted(name for name in info["missing_keys"] if not name.startswith("pooler.")):
        raise ModelError(f"{path} lacks {len(lost)} weight(s) of the encoder ({', '.join(lost[:4])})")
    return cast("PreTrainedModel", model)


def load_language_model(
    path: str, dtype: torch.dtype, trust_remote_code: bool
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Loads a causal or sequence-to-sequence language model and its tokenizer. Raises ModelError."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer

    trust: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    try:
        _at_hand(path)
        with quiet():
            config = AutoConfig.from_pretrained(path, **trust)
            kind: Any = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
            tokenizer = AutoTokenizer.from_pretrained(path, **trust)
            model = kind.from_pretrained(path, use_safetensors=True, dtype=dtype, **trust)
    except Exception as error:
        raise _cannot_load(path, f"cannot load the policy {path!r}", error) from error
    return model, cast("PreTrainedTokenizerBase", tokenizer)


def add_lora(model: PreTrainedModel, lora: Lora, task: str = "SEQ_CLS", *, whole_path: bool = False) -> torch.nn.Module:
    """Wraps a model so that adapters on its linear layers, and its whole head where it is a classifier, are trained.

    `task` is PEFT's name of what the model does (`SEQ_CLS`, `CAUSAL_LM`, `SEQ_2_SEQ_LM`). `whole_path` trains and saves
    whatever lies between backbone and head as well: a backbone may lack those weights, which are then random, and other
    ones wherever the base is loaded again.
    """
    from peft import LoraConfig, get_peft_model
    from peft.utils import ModulesToSaveWrapper

    narrow = lora.base_dtype == "bfloat16" or (lora.base_dtype == "nf4" and torch.cuda.is_available())
    frozen = torch.bfloat16 if narrow else torch.float32
    if lora.base_dtype == "nf4":
        from guerdon.nf4 import quantize

        quantize(model, frozen)
    config = LoraConfig(
        task_type=task,
        r=lora.rank,
        lora_alpha=lora.alpha,
        target_modules="all-linear",
        modules_to_save=[*head_names(model), *(between(model) if whole_path else ())] or None,
    )
    with quiet():
        adapted = get_peft_model(model, config)
    if lora.base_dtype != "float32":
        for parameter in adapted.parameters():
            if not parameter.requires_grad and parameter.dtype == torch.float32:
                parameter.data = parameter.data.to(torch.bfloat16).to(frozen)
        for module in adapted.modules():
            if isinstance(module, ModulesToSaveWrapper):  # trained in float32, behind layers that may not be
                module.register_forward_pre_hook(_to_own_dtype)
    return adapted


def _to_own_dtype(module: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """The inputs of a module that is trained beside adapters, in the type of its weights."""
    trained = next(module.modules_to_save.parameters())  # type: ignore[union-attr]
    return tuple(one.to(trained.dtype) if torch.is_tensor(one) and one.is_floating_point() else one for one in inputs)


def load_adapter(base: torch.nn.Module, folder: Path, name: str = "default") -> torch.nn.Module:
    """Puts a saved adapter on its base; on a model that carries adapters already, beside them.

    Raises:
        ContractError: the adapter's file lacks the head, which PEFT would leave re-initialised.
    """
    from peft import PeftModel
    from safetensors import safe_open

    path = folder / "adapter_model.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            keys = list(file.keys())
    except Exception as error:
        raise ContractError(f"{path} cannot be read: {one_line(error)}") from error
    if not any(f".{head}." in key for key in keys for head in HEAD_NAMES):
        raise ContractError(
            f"{path} has no head weights ({' or '.join(HEAD_NAMES)}): the adapter was saved without them",
            about="head",
        )
    with quiet():
        if isinstance(base, PeftModel):
            base.load_adapter(str(folder), adapter_name=name)
            return base
        return PeftModel.from_pretrained(cast("PreTrainedModel", base), str(folder), adapter_name=name)


def unwrap(model: torch.nn.Module) -> PreTrainedModel:
    """The Transformers model itself, adapters in place: what PEFT wraps, or the model where nothing wraps it."""
    get_base_model = getattr(model, "get_base_model", None)
    return cast("PreTrainedModel", get_base_model() if get_base_model else model)


def merge(model: torch.nn.Module) -> torch.nn.Module:
    """Folds LoRA into the weights, head included, and gives the model without adapters; as it is where it has none."""
    fold = getattr(model, "merge_and_unload", None)
    return cast("torch.nn.Module", fold()) if fold else model


def merged(model: torch.nn.Module) -> torch.nn.Module:
    """The same in a copy in float32 on the CPU, whatever the base was; the model itself stays as it is."""
    from guerdon.nf4 import dequantize

    whole = copy.deepcopy(model).to("cpu")  # a GPU may not have the room for it
    dequantize(whole)
    return merge(whole.float())


def trained_weights(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """What training changes, as weights of the model without adapters, whose names they have: LoRA is folded in.

    The tensors are on the model's device and without gradient; the model stays as it is.
    """
    from peft.tuners.lora import LoraLayer

    inner = unwrap(model)
    adapted: dict[str, Any] = {name: part for name, part in inner.named_modules() if isinstance(part, LoraLayer)}
    with torch.no_grad():
        for name, module in adapted.items():
            changes = (module.get_delta_weight(adapter) for adapter in module.active_adapters)
            yield f"{name}.weight", sum(changes, start=module.get_base_layer().weight.detach())
    for name, parameter in inner.named_parameters():
        if parameter.requires_grad and not any(name.startswith(f"{prefix}.") for prefix in adapted):
            yield name, parameter.detach()


def save_model(model: torch.nn.Module, folder: Path) -> None:
    """Writes weights and config in HF layout, or PEFT's for the adapter in force."""
    peft: Any = sys.modules.get("peft")  # importing it takes seconds, and where nothing did there is no adapter

    with quiet():
        if peft is None or not isinstance(model, peft.PeftModel):
            model.save_pretrained(folder)  # type: ignore[operator]
            return
        name = model.active_adapter
        model.save_pretrained(str(folder), selected_adapters=[name], save_embedding_layers=False)
        if name != "default":  # PEFT puts it into a folder of that name
            for file in (folder / name).iterdir():
                file.replace(folder / file.name)
            (folder / name).rmdir()


def _at_hand(path: str) -> None:
    """Raises ModelError at once for a hub model that cannot be had."""
    if not Path(path).is_dir():
        require_model(path)


def _cannot_load(path: str, what: str, error: Exception) -> ModelError:
    if (Path(path) / "run" / "run.json").is_file() and not (Path(path) / "config.json").is_file():
        return ModelError(
            f"{what}: it holds a run that has not finished. Fix: give the command that began it again, with --resume"
        )
    if "trust_remote_code" in str(error):
        return ModelError(
            f"{what}: it comes with code of its own, which would be run. Fix: if you "
            "trust its authors, --trust-remote-code"
        )
    return ModelError(f"{what}: {hub_fault(path, error) or one_line(error)}")


def head_names(model: PreTrainedModel) -> list[str]:
    """Names of the head's submodules on this model; empty if it has none that we know."""
    return [name for name in HEAD_NAMES if isinstance(getattr(model, name, None), torch.nn.Module)]


def between(model: PreTrainedModel) -> dict[str, torch.nn.Module]:
    """The modules with weights between backbone and head, by name: poolers, dense layers."""
    used = {model.base_model_prefix, *head_names(model)}
    children = {name: part for name, part in model.named_children() if name not in used}
    pooler = getattr(getattr(model, model.base_model_prefix), "pooler", None)
    if pooler is not None:
        children["pooler"] = pooler
    return {name: part for name, part in children.items() if any(True for _ in part.parameters())}
