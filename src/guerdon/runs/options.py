"""What is wrong with the numbers of a configuration, told by the flags that set them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def flag(name: str) -> str:
    """The command line's name of an option."""
    return "--" + name.replace("_", "-")


def option_faults(
    config: DataclassInstance, *, positive: Sequence[str] = (), below: Mapping[str, float] | None = None
) -> list[str]:
    """Everything that is wrong with the numbers of a configuration, at once. NaN never fits.

    Options in `positive` must be above 0, all others 0 or more; those in `below` must be below their limit as well.
    """
    faults = []
    for field in fields(config):
        name, value = field.name, getattr(config, field.name)
        if not isinstance(value, int | float):
            continue
        if name in positive and not value > 0:
            faults.append(f"{flag(name)} must be above 0, got {value}")
        elif not value >= 0:
            faults.append(f"{flag(name)} must be 0 or more, got {value}")
        elif below and name in below and not value < below[name]:
            faults.append(f"{flag(name)} must be below {below[name]}, got {value}")
    return faults
