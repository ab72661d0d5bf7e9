"""When a run has nothing to learn from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from guerdon.errors import ModelError

MISSING_REWARD_STEPS = 3
"""A run stops after so many steps without any reward."""


class MissingRewardGuard:
    """Counts steps in a row without any reward."""

    def __init__(self) -> None:
        self._steps = 0

    def note(self, values: ArrayLike, reasons: Sequence[str] = ()) -> None:
        """Notes the rewards of a step.

        Args:
            values: the rewards, NaN for none.
            reasons: why there is none, parallel to `values`; empty texts where there is one.

        Raises:
            ModelError: this was the third step without one.
        """
        self._steps = 0 if np.isfinite(np.asarray(values)).any() else self._steps + 1
        if self._steps == MISSING_REWARD_STEPS:
            given = [reason for reason in reasons if reason]
            why = f" ({max(dict.fromkeys(given), key=given.count)})" if given else ""
            raise ModelError(
                f"no response of {MISSING_REWARD_STEPS} steps in a row has a reward{why}. Fix: look at what the reward "
                "says of some responses (guerdon score); the last checkpoint is kept"
            )
