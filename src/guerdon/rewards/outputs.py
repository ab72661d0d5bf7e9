"""Which of several outputs of a model is the reward."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from guerdon.errors import ConfigError, ContractError
from guerdon.rewards.contract import Aggregation, ScoreContract
from guerdon.rewards.process import AGGREGATIONS

HOW = (
    "--output NAME or NUMBER (--output {name}, --output {number}), or weights of their sum, one for each output "
    "(--output={weights}) or by name (--output={name}=1)"
)


def output_names(labels: Mapping[Any, str], count: int) -> tuple[str, ...]:
    """A distinct name for each output: the model's labels, or their numbers where it has none that fit."""
    names = tuple(str(labels.get(number, "")) for number in range(count))
    if not all(names) or len(set(names)) < count:
        names = tuple(f"output_{number}" for number in range(count))
    return ("score",) if count == 1 else names


def choose_output(contract: ScoreContract, output: str | None) -> ScoreContract:
    """The contract under which the reward is the output that `parse_output` reads, where one is given.

    The outputs of a process reward are the aggregations of its steps.

    Mean and deviation of training rewards are those of another reward then, and are forgotten.

    Raises:
        ConfigError: there is no such output.
    """
    if output is None:
        return contract
    if contract.aggregation and output in AGGREGATIONS:
        return dataclasses.replace(contract, aggregation=cast("Aggregation", output), mean=0.0, std=1.0)
    weights = parse_output(output, contract.attributes)
    if weights == contract.weights:
        return contract
    return dataclasses.replace(contract, weights=weights, mean=0.0, std=1.0)


def parse_output(output: str, names: Sequence[str]) -> tuple[float, ...]:
    """The weight of each output.

    Example:
        >>> parse_output("helpful", ["helpful", "brief"]), parse_output("brief=-0.5,helpful=1", ["helpful", "brief"])
        ((1.0, 0.0), (1.0, -0.5))

    Args:
        output: the name of one output, or its number, counted from 0; or weights, separated by commas: one for each
            output in their order, or NAME=WEIGHT for some.
        names: of all outputs.

    Raises:
        ConfigError: there is no such output, or the weights do not fit.
    """
    text = output.strip()
    if text in names:
        return tuple(float(name == text) for name in names)
    parts = [part.strip() for part in text.split(",")]
    try:
        if "=" in text:
            given = {name.strip(): float(value) for name, _, value in (part.rpartition("=") for part in parts)}
            weights = tuple(given.pop(name, 0.0) for name in names)
            fits = not given and len(parts) <= len(names)
        elif len(parts) == 1 and text.isdecimal():
            weights = tuple(float(number == int(text)) for number in range(len(names)))
            fits = int(text) < len(names)
        else:
            weights = tuple(float(part) for part in parts)
            fits = len(weights) == len(names)
    except ValueError:
        fits, weights = False, ()
    if fits and any(weights) and all(math.isfinite(weight) for weight in weights):
        return weights
    raise ConfigError(f"--output {output!r} is none of the model's outputs, {listed(names)}. {_fix(names)}")


def listed(names: Sequence[str]) -> str:
    """The outputs with their numbers."""
    return ", ".join(f"{number}: {name}" for number, name in enumerate(names))


def undecided(name: str, names: Sequence[str]) -> ContractError:
    """What to say of a model with several outputs of which nobody has said which is the reward."""
    return ContractError(
        f"{name} has {len(names)} outputs ({listed(names)}), and no guerdon.json says which of them is the reward. "
        f"{_fix(names)}. `guerdon doctor {name} --output ... --adopt` keeps the choice",
        about="several outputs",
    )


def _fix(names: Sequence[str]) -> str:
    last = len(names) - 1
    weights = ",".join("1" if number == last else "-1" if number == 0 else "0" for number in range(len(names)))
    return "Fix: " + HOW.format(name=names[last], number=last, weights=weights)
