"""The options of `guerdon audit`: the same object in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults


@dataclass(frozen=True, kw_only=True)
class AuditConfig:
    """How much is asked of a reward.

    Example:
        >>> AuditConfig(time=20).rows
        1000
    """

    time: float = 5.0
    """Minutes for everything. After the natural responses are scored, so many matched pairs are drawn for each change
    as there is time for, but at least 30; the table says how many."""
    rows: int = 1000
    """The most pairs of natural responses that the reward is asked about, and the most matched pairs of one change."""
    seed: int = 0
    """Random seed of what is drawn, and of the changes."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        if faults := option_faults(self, positive=("time", "rows")):
            raise ConfigError("; ".join(faults))
