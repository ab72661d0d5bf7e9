"""How a reward is repaired."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from guerdon.errors import ConfigError

RepairMode: TypeAlias = Literal["people", "none"]
RepairMethod: TypeAlias = Literal["covariate", "local"]


@dataclass(frozen=True, kw_only=True)
class RepairConfig:
    """What is taken from a reward, and how it is estimated.

    Example:
        >>> RepairConfig(mode="none").method
        'covariate'
    """

    mode: RepairMode = "people"
    """people: take away what the reward has beyond people, so that it picks the longer response as often as they do.
    none: make it flat in length; where people do prefer longer responses, that costs accuracy."""
    method: RepairMethod = "covariate"
    """covariate: a straight line over log length, by least squares on the margins of pairs. local: a curve over log
    length, by local regression of the rewards (arXiv:2409.17407)."""
    formats: bool = False
    """Correct the format as well: line breaks, list items, code blocks, marks. With covariate only."""
    folds: int = 5
    """Parts of the prompts (or groups): what is measured on one is a correction that was fitted on the others. What is
    handed over is fitted on all."""
    flip_pairs: int = 100
    """Pairs whose responses are changed without changing their meaning, to see how often the order flips; 0: none."""
    seed: int = 0
    """Random seed of the division of the rows, of the changes and of the bootstrap."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        faults = []
        for option, allowed in (("mode", get_args(RepairMode)), ("method", get_args(RepairMethod))):
            if getattr(self, option) not in allowed:
                faults.append(f"--{option} must be one of {', '.join(allowed)}; got {getattr(self, option)!r}")
        if self.folds < 2:
            faults.append(f"--folds must be 2 or more, got {self.folds}")
        if self.formats and self.method != "covariate":
            faults.append("--formats goes with --method covariate alone")
        if self.flip_pairs < 0:
            faults.append(f"--flip-pairs must be 0 or more, got {self.flip_pairs}")
        if faults:
            raise ConfigError("; ".join(faults))
