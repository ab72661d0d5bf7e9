"""What lies in the folder of a trained model: its head, its outputs, the base of an adapter."""

from __future__ import annotations

import numpy as np

from guerdon.evaluate.health.patient import CheckRow, Finding, ModelPatient, failed, passed, skipped, warned
from guerdon.rewards.outputs import listed
from guerdon.rewards.reward_net import output_layer
from guerdon.rewards.saved import FILE_NAME
from guerdon.weight_files import stored_head


def head(patient: ModelPatient) -> Finding:
    """Whether the head is the trained one."""
    layer = output_layer(patient.reward.net.classifier)
    weights = None if layer is None else layer.weight.detach().float().cpu().numpy()
    if weights is not None and not np.isfinite(weights).all():
        return failed("The head's weights are not all finite numbers.")
    if weights is not None and not weights.any():
        return failed("The head's weights are all 0: every text gets the same score.")
    folder, recorded = patient.folder, patient.contract.head_sha256
    if folder is not None and (folder / FILE_NAME).is_file():
        if recorded:
            return passed("The head's weights are those that were saved (SHA-256).")
        return warned(
            "The contract has no digest of the head: another head would not be noticed.",
            "Save the model by Guerdon again, or take guerdon.json away and adopt it again (--adopt)",
        )
    found = stored_head(folder) if folder is not None and folder.is_dir() else None
    where = f", {found.weight} of {found.file.name}" if found else ""
    return passed(f"The head was read from the weights{where}: none of its numbers is random.")


def outputs(patient: ModelPatient) -> Finding:
    """Whether it is known which of several outputs is the reward."""
    contract = patient.contract
    if len(contract.attributes) == 1:
        return skipped("It has one output.")
    parts = [f"{weight:g} {name}" for weight, name in zip(contract.weights, contract.attributes, strict=True) if weight]
    return passed(f"Of the outputs {listed(contract.attributes)}, the reward is {' + '.join(parts)}.")


def base(patient: ModelPatient) -> Finding:
    """Whether an adapter sits on the model that it was trained on."""
    contract = patient.contract
    if not contract.base:
        return skipped("It is no adapter.")
    if not patient.decided:
        return warned(
            f"It is an adapter on {contract.base}, which the folder knows by its name alone: on another model of that "
            "name scores would be others, unnoticed.",
            "guerdon doctor MODEL --adopt records the digest of the base",
        )
    return passed(
        f"It is an adapter on {contract.base}, whose digest is the recorded one ({contract.base_sha256[:16]})."
    )


KEEPING_ROWS = (
    CheckRow(
        "head",
        "the head is in the files, and the one that was trained",
        "Save the model together with its head (with PEFT: modules_to_save), or take it from where it was trained",
        head,
    ),
    CheckRow(
        "several outputs",
        "which of several outputs is the reward",
        "Say which with --output; --adopt keeps the choice",
        outputs,
    ),
    CheckRow(
        "LoRA base",
        "the model that an adapter sits on is the one that it was trained on",
        "Put the base where the message says; guerdon doctor MODEL --adopt records its digest",
        base,
    ),
)
