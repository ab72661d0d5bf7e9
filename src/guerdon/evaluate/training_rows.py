"""Rows that a system was trained on: what is measured on them says nothing about other prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from guerdon.rewards.training_data import TrainingPrompts, read_training_prompts
from guerdon.types import AnyRow


def saved_folder(system: object) -> Path | None:
    """The folder that a system, or the scorer that it wraps, was loaded from; None where it knows none."""
    while system is not None:
        if isinstance(folder := getattr(system, "folder", None), Path):
            return folder
        system = getattr(system, "scorer", None)
    return None


def seen_shares(systems: Mapping[str, object], rows: Sequence[AnyRow]) -> dict[str, float]:
    """For each system that was trained on some of the prompts, the share of the rows that have such a prompt.

    Raises:
        ContractError: a model's record of its training prompts cannot be read.
    """
    shares = {}
    for name, system in systems.items():
        if (trained := _training_prompts(system)) is not None:
            known = [seen for seen in trained.seen(row.prompt for row in rows) if seen is not None]
            if any(known):
                shares[name] = float(np.mean(known))
    return shares


def _training_prompts(system: object) -> TrainingPrompts | None:
    """What a system says of its training prompts, or the folder that it was loaded from."""
    if isinstance(own := getattr(system, "training_prompts", None), TrainingPrompts):
        return own
    folder = saved_folder(system)
    return None if folder is None else read_training_prompts(folder)


def seen_note(name: str, share: float) -> str:
    """What a reader must know of a system that was trained on some of the prompts."""
    return (
        f"{name} was TRAINED on the prompts of {share:.1%} of these rows: its values here do not tell what it does on "
        "other prompts. Measure it on prompts that it was not trained on (guerdon data split)."
    )
