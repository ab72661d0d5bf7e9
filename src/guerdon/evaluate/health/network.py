"""How a trained model goes from tokens to a score: padding, pooled position, precision, scale, plain Transformers."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from guerdon import hf
from guerdon.collation import Tokens, collate_padded
from guerdon.evaluate.health.patient import (
    SMALL,
    CheckRow,
    Finding,
    ModelPatient,
    compared,
    failed,
    passed,
    skipped,
)
from guerdon.hub import one_line
from guerdon.rewards.foreign import is_adapter
from guerdon.rewards.reward_net import is_decoder, output_layer, reads_eos, takes_positions
from guerdon.weight_files import stored_head

_MOST_FLIPPED = 0.1
"""Share of all pairs of texts that another precision may order otherwise."""


def padding_side(patient: ModelPatient) -> Finding:
    """Padded on the left, and on the right."""
    if patient.contract.pooling == "native":
        return skipped("The architecture reads its score in its own way: texts are always padded on the right.")
    right, left = (_logits(patient, patient.few, left=left) for left in (False, True))
    return compared("Padded on the left and on the right", right, left, patient.tolerance)


def pooled_position(patient: ModelPatient) -> Finding:
    """Whether the score is read at the end of a text, whoever reads it."""
    contract, tokens = patient.contract, patient.tokens
    if contract.pooling == "mean":
        return skipped("It is read from the mean of all tokens.")
    if contract.pooling == "steps":
        return _steps_marked(patient)
    if not is_decoder(patient.reward.net.classifier):
        return _marked(patient)
    hit = sum(one.ids[-1] == contract.pad_token_id for one in tokens)
    if hit:
        return failed(
            f"{hit} of {len(tokens)} texts end with the padding token {patient.token(contract.pad_token_id)}: "
            "Transformers, which reads the last token that is no padding, takes it for padding, and reads another one "
            "than Guerdon, which knows where each text ends."
        )
    changed = [Tokens((*one.ids[:-1], _another(one.ids)), one.types) for one in patient.few]
    if np.allclose(_logits(patient, patient.few), _logits(patient, changed), rtol=0.0, atol=1e-7):
        return failed("Scores do not change with the token that they are read from, the last one of each text.")
    ends = {one.ids[-1] for one in tokens}
    which = patient.token(ends.pop()) if len(ends) == 1 else "which differs from text to text"
    return passed(f"Scores are read at the last token of each text, {which}, wherever it stands.")


def _steps_marked(patient: ModelPatient) -> Finding:
    """A process reward is read at a mark behind every step."""
    mark = patient.contract.step_mark
    number = patient.reward.tokenizer.convert_tokens_to_ids(mark)
    places = [[one.ids[end] == number for end in one.ends or ()] for one in patient.tokens]
    if missing := sum(not all(own) for own in places):
        return failed(f"{missing} of {len(places)} texts have no {mark!r} where a step ends.")
    return passed(f"Scores are read at {mark!r} behind each of {sum(map(len, places))} steps of {len(places)} texts.")


def _marked(patient: ModelPatient) -> Finding:
    """Encoders read their score at a token of their own, at the beginning or at the end."""
    tokenizer = patient.reward.tokenizer
    first = None if reads_eos(patient.reward.net.classifier) else tokenizer.cls_token_id
    marker = tokenizer.eos_token_id if first is None else first
    if marker is None:
        return skipped("It reads its score in its own way, and has no token for that.")
    without = sum(marker not in (one.ids[0], one.ids[-1]) for one in patient.tokens)
    if without:
        return failed(
            f"{without} of {len(patient.tokens)} texts have no {patient.token(marker)}, from which the score is read, "
            "at either end."
        )
    return passed(f"Scores are read at {patient.token(marker)}, which every text has.")


def _another(ids: Sequence[int]) -> int:
    return next(token for token in ids if token != ids[-1]) if len(set(ids)) > 1 else ids[-1] + 1


def precision(patient: ModelPatient) -> Finding:
    """bfloat16 beside float32."""
    if patient.size > SMALL:
        return skipped(f"Its weights take {patient.size / 2**30:.1f} GiB: no copy in another precision is made.")
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        net = copy.deepcopy(patient.reward.net).to(dtype=dtype)
        net.keep_head_in_float32()
        found[dtype] = _logits(patient, patient.few, net=net)
    full, half = found[torch.float32], found[torch.bfloat16]
    if not np.isfinite(half).all():
        return failed(f"In bfloat16, {int((~np.isfinite(half)).sum())} of {len(half)} texts have no finite score.")
    first, second = np.triu_indices(len(full), 1)
    apart = full[first] != full[second]
    if not apart.any():
        return skipped("All texts have the same score.")
    other = np.sign(full[first] - full[second]) != np.sign(half[first] - half[second])
    share, difference = float(other[apart].mean()), float(np.abs(full - half).max())
    said = f"bfloat16 orders {share:.1%} of the pairs otherwise than float32"
    if share > _MOST_FLIPPED:
        return failed(f"{said}; scores differ by up to {difference:.2g}.", difference)
    return passed(f"{said}; scores differ by up to {difference:.2g}.", difference)


def score_scale(patient: ModelPatient) -> Finding:
    """Whether scores are what the head gives, of states that nobody has normalised."""
    declared = _declared_activation(patient.folder)
    if declared:
        return failed(
            f"The folder says that its scores go through {declared}: sentence-transformers gives those, and Guerdon "
            "the raw ones. Both order texts alike; their numbers are not the same."
        )
    layer = output_layer(patient.reward.net.classifier)
    if layer is None:
        return skipped("Its head is none that is known.")
    given: list[Tensor] = []
    made: list[Tensor] = []

    def note(_: nn.Module, states: tuple[Tensor], logits: Tensor) -> None:
        given.append(states[0].detach().float())
        made.append(logits.detach().float())

    handle = layer.register_forward_hook(note)
    try:
        logits = np.concatenate([_raw(patient, [one]) for one in patient.few])
    finally:
        handle.remove()
    norms = torch.cat([states.reshape(-1, states.shape[-1]).norm(dim=1) for states in given])
    if len(norms) > 1 and bool(((norms - 1).abs() < 1e-3).all()):
        return failed(
            "The states that the head reads are all of length 1 (L2-normalised pooling): scores cannot be further "
            "apart than the head's weights are long, and are of another scale than where they are not normalised."
        )
    heads = np.concatenate([one.reshape(-1, one.shape[-1]).cpu().numpy() for one in made])
    if heads.shape == logits.shape and not np.allclose(heads, logits, atol=1e-4):
        squashed = np.allclose(1 / (1 + np.exp(-heads)), logits, atol=1e-4)
        how = "the sigmoid of" if squashed else "others than"
        return failed(f"Scores are {how} what the head gives: they are not raw.")
    scores = patient.in_units(logits)
    return passed(f"Scores are what the head gives, raw: {scores.min():.3g} to {scores.max():.3g} in the sample.")


def _declared_activation(folder: Path | None) -> str:
    """What sentence-transformers would do behind or in front of the head."""
    if folder is None or not folder.is_dir():
        return ""
    config = _json(folder / "config.json")
    own = config.get("sentence_transformers")
    names = [config.get("sbert_ce_default_activation_function")]
    names += [own.get("activation_fn")] if isinstance(own, dict) else []
    modules = _json(folder / "modules.json")
    names += [one.get("type") for one in modules if isinstance(one, dict)] if isinstance(modules, list) else []
    known = [str(name).rpartition(".")[2] for name in names if name]
    return next((name for name in known if name in ("Sigmoid", "Softmax", "Tanh", "Normalize")), "")


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


# --- plain Transformers


def plain_transformers(patient: ModelPatient) -> Finding:
    """What Transformers gives for the same tokens, without Guerdon."""
    from transformers import AutoConfig

    folder, contract = patient.folder, patient.contract
    if folder is None or not folder.is_dir():
        return skipped("It was not loaded from a folder.")
    if contract.pooling == "steps":
        return skipped("Transformers has no reward of steps: the folder's code refuses to score.")
    if is_adapter(folder) or contract.base:
        return skipped("It is an adapter, which PEFT puts on its base.")
    head = stored_head(folder)
    if head is not None and not head.native:
        return skipped(
            f"Transformers alone does not know its head {head.weight!r}, and would make a random one in its place. "
            "TransformerReward.load(FOLDER).save(OTHER) writes it as Transformers has it."
        )
    labels = AutoConfig.from_pretrained(folder, trust_remote_code=patient.trust_remote_code).num_labels if head else 0
    if head is not None and head.outputs != labels:
        return failed(
            f"config.json says that the head has {labels} outputs, as where num_labels is missing, and its weights "
            f"have {head.outputs}: Transformers alone does not load it."
        )
    try:
        model = patient.reward.net.classifier if patient.size > SMALL else _load_plain(folder, patient)
        batched = _plain(patient, model, patient.few)
        alone = np.concatenate([_plain(patient, model, [one]) for one in patient.few])
    except Exception as error:  # it is another's code and another's folder
        return failed(f"Transformers alone cannot score with it: {type(error).__name__}: {one_line(error)}.")
    ours = patient.scores_of(patient.few)
    found = [
        compared("One by one, by Transformers alone", ours, alone, patient.tolerance),
        compared("In one batch, by Transformers alone", ours, batched, patient.tolerance),
    ]
    return next((one for one in found if one.verdict == "fail"), found[1])


def _load_plain(folder: Path, patient: ModelPatient) -> Any:
    """The model as plain Transformers loads it; of a folder that carries Guerdon's code, by the same code."""
    from transformers import AutoModelForSequenceClassification

    from guerdon.modeling_guerdon import GuerdonReward, GuerdonRewardConfig

    options: dict[str, Any] = {"use_safetensors": True, "dtype": torch.float32}
    with hf.quiet():
        if _json(folder / "config.json").get("model_type") == "guerdon-reward":
            config = GuerdonRewardConfig.from_pretrained(folder)
            model = GuerdonReward.from_pretrained(folder, config=config, **options)
        else:
            options["trust_remote_code"] = patient.trust_remote_code
            model = AutoModelForSequenceClassification.from_pretrained(folder, **options)
    return model.to(patient.reward.device).eval()


def _plain(patient: ModelPatient, model: Any, tokens: Sequence[Tokens]) -> np.ndarray:
    """The scores of a batch that the tokenizer pads in its own way."""
    rows = [{"input_ids": list(one.ids), "attention_mask": [1] * len(one)} for one in tokens]
    for row, one in zip(rows, tokens, strict=True):
        if one.types is not None:
            row["token_type_ids"] = list(one.types)
    batch: dict[str, Tensor] = {name: torch.tensor([values]) for name, values in rows[0].items()}
    if len(tokens) > 1:
        batch = dict(patient.reward.tokenizer.pad(rows, return_tensors="pt"))
    with torch.inference_mode():
        logits = model(**{name: tensor.to(patient.reward.device) for name, tensor in batch.items()}).logits
    contract = patient.contract
    folded = model.__class__.__name__ == "GuerdonReward"  # its shift and scale are in its own configuration
    values = logits.float().cpu().numpy().astype(np.float64)
    return np.asarray(values @ np.array(contract.weights)) if folded else patient.in_units(values)


def _logits(patient: ModelPatient, tokens: Sequence[Tokens], *, left: bool = False, net: Any = None) -> np.ndarray:
    """The scores of all texts in one padded batch, shape (n,)."""
    return patient.in_units(_raw(patient, tokens, left=left, net=net))


def _raw(patient: ModelPatient, tokens: Sequence[Tokens], *, left: bool = False, net: Any = None) -> np.ndarray:
    """The logits of texts in one padded batch, shape (n, outputs)."""
    own = patient.reward.net
    batch = collate_padded(
        tokens, pad_id=patient.contract.pad_token_id, positions=takes_positions(own.classifier), left=left
    )
    with torch.inference_mode(), patient.reward.in_force():
        logits = (net or own)(**{name: tensor.to(patient.reward.device) for name, tensor in batch.items()})
    values: np.ndarray = logits.float().cpu().numpy()
    return values


NETWORK_ROWS = (
    CheckRow(
        "padding side",
        "texts padded on the left, and on the right",
        "The model reads padding: it must heed attention_mask and take position_ids",
        padding_side,
    ),
    CheckRow(
        "pooled position",
        "the token from which the score is read, for Guerdon and for Transformers",
        "Give tokenizer and config.json a padding token that ends no text (pad_token, pad_token_id), and save them",
        pooled_position,
        elsewhere=True,
    ),
    CheckRow(
        "dtype",
        "the order of the texts in bfloat16 and in float32",
        "Load it with --dtype float32; states of very different size lose their small parts in bfloat16",
        precision,
    ),
    CheckRow(
        "score scale",
        "raw scores: no sigmoid behind the head, no L2-normalised states in front of it",
        "Take raw scores everywhere (CrossEncoder: activation_fn=torch.nn.Identity()), and do not normalise states",
        score_scale,
        elsewhere=True,
    ),
    CheckRow(
        "plain Transformers",
        "the scores that Transformers alone gives, one by one and in batches",
        'Write what it lacks into config.json ("num_labels", "pad_token_id"), or save it by Guerdon: '
        "TransformerReward.load(FOLDER).save(OTHER)",
        plain_transformers,
        elsewhere=True,
    ),
)
