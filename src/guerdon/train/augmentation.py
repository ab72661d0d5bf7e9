"""Counterfactual comparisons: a response against itself with one thing changed, of which people's choice is known."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from guerdon.data.preferences import TIE
from guerdon.errors import ConfigError
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.types import AnyRow, Comparison

_KNOWN = {name: one for name, one in PERTURBATIONS.items() if one.liked in ("no", "same")}


def augmentation_faults(names: Sequence[str]) -> list[str]:
    """What is wrong with the names of perturbations; empty where nothing is."""
    if unknown := [name for name in names if name not in _KNOWN]:
        return [
            f"--augment names {', '.join(map(repr, unknown))}, of which it is not known what people would choose; "
            f"known are {', '.join(map(repr, _KNOWN))}"
        ]
    return []


def with_counterfactuals(rows: Sequence[AnyRow], names: Sequence[str], share: float, seed: int) -> list[AnyRow]:
    """Adds comparisons of a drawn share of the preferred responses with changed ones (Srivastava et al. 2024, RRM).

    A change that people would not prefer (padding, flattery ...) makes the changed response the rejected one; one that
    keeps the meaning makes a tie. Such a comparison stays in the group and subset of its row.

    Args:
        rows: training rows; only comparisons are added to.
        names: perturbations, taken in turn where they apply.
        share: of the comparisons, in (0, 1].
        seed: of what is drawn, and of the changes.

    Raises:
        ConfigError: no response could be changed.
    """
    if not names:
        return list(rows)
    draw = random.Random(seed)
    added: list[AnyRow] = []
    for row in rows:
        if not isinstance(row, Comparison) or row.preference == TIE or draw.random() >= share:
            continue
        order = draw.sample(list(names), len(names))
        for change in (_KNOWN[name] for name in order):
            matched = change.apply(row.prompt, row.chosen, seed=seed)
            if matched is not None:
                preference = TIE if change.liked == "same" else 1.0
                added.append(
                    replace(
                        row, chosen=matched.control, rejected=matched.changed, preference=preference, margin=None, id=""
                    )
                )
                break
    if not added:
        raise ConfigError(f"--augment {' '.join(names)} applies to none of the {len(rows):,} training rows")
    return [*rows, *added]
