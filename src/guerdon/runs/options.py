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

    Args:
        config: the configuration; of its fields those that hold numbers are looked at.
        positive: options that must be above 0; all others may be 0 and must not be negative.
        below: options that must be below a limit as well.
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
