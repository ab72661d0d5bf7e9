"""A reward model into a folder that plain Transformers reads with the same scores, or refuses to read."""

from __future__ import annotations

import copy
import dataclasses
import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from guerdon import hf
from guerdon.files import staged
from guerdon.rewards.base_model import portable_base
from guerdon.rewards.contract import FILE_NAME, ScoreContract, contract_dict, write_card
from guerdon.rewards.infer import last_token
from guerdon.rewards.model_card import CARD_FILE, model_card
from guerdon.rewards.reward_net import head_sha256, output_layer
from guerdon.rewards.training_data import PROMPTS_FILE, TrainingPrompts, write_training_prompts
from guerdon.types import Prompt

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CODE_FILE = "modeling_guerdon.py"


def fold_units(model: torch.nn.Module, contract: ScoreContract) -> ScoreContract:
    """Moves shift and scale from the contract into the head's weights, so that its logits are in the data's units.

    A sole attribute's weight goes there as well. The shift stays in the contract where the head has no bias, as on
    decoders; everything stays where the head is none that we know.

    Args:
        model: its head is changed.
        contract: the score contract of the model.

    Returns:
        The contract that gives the same scores with the changed head.
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
    """Writes weights, tokenizer, contract and model card; each file whole or not at all.

    Args:
        folder: created if need be.
        model: a sequence classifier, or a PEFT model around one; its units are folded.
        tokenizer: the tokenizer of the model.
        contract: the score contract of the model.
        training: the training configuration.
        training_prompts: the prompts that it was trained on.
        metrics: what was measured on held-out rows, by name.

    Raises:
        OutputError: the folder cannot be written.
    """
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
    with staged(folder) as stage:
        if code:
            _save_with_code(model, contract, stage)
        else:
            hf.save_model(model, stage)
        tokenizer.save_pretrained(stage)
        if prompts := TrainingPrompts.of(training_prompts):
            write_training_prompts(stage, prompts)
        card = model_card(contract, code=code, metrics=metrics)
        (stage / CARD_FILE).write_text(card, encoding="utf-8")
        write_card(stage, "transformer", {"contract": contract_dict(contract), "training": dict(training)})
        # Transformers would read an adapter that an earlier model left here on top of our weights.
        stale = [name for name in (*hf.WEIGHT_FILES, PROMPTS_FILE, CODE_FILE) if not (stage / name).exists()]
        for name in (FILE_NAME, *stale):
            (Path(folder) / name).unlink(missing_ok=True)


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
