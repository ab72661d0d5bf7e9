"""Faults are told all at once, by the flags that set them."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from guerdon.runs.options import flag, option_faults


@dataclass
class Options:
    epochs: float = 1.0
    lora_r: int = 0
    warmup_ratio: float = 0.1
    name: str = "x"
    on: bool = False
    beta: float | None = None


def faults(**values: object) -> list[str]:
    return option_faults(Options(**values), positive=("epochs",), below={"warmup_ratio": 1.0})  # type: ignore[arg-type]


def test_what_fits_has_no_fault() -> None:
    assert faults() == faults(warmup_ratio=0.0, lora_r=3, beta=2.0) == []


def test_every_fault_is_told() -> None:
    assert faults(epochs=0, lora_r=-1, warmup_ratio=1.0, beta=-0.5) == [
        "--epochs must be above 0, got 0",
        "--lora-r must be 0 or more, got -1",
        "--warmup-ratio must be below 1.0, got 1.0",
        "--beta must be 0 or more, got -0.5",
    ]


@pytest.mark.parametrize("name", ["epochs", "lora_r", "warmup_ratio", "beta"])
def test_nan_never_fits(name: str) -> None:
    (fault,) = faults(**{name: float("nan")})
    assert fault.startswith(flag(name))
