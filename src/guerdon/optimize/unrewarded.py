"""When a run has nothing to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from guerdon.errors import ModelError

UNREWARDED_STEPS = 3
"""A run stops after so many steps without any reward."""


class Unrewarded:
    """Counts steps in a row without any reward."""

    def __init__(self) -> None:
        self._steps = 0

    def note(self, rewards: ArrayLike) -> None:
        """Notes the rewards of a step, NaN for none.

        Raises:
            ModelError: this was the third step without one.
        """
        self._steps = 0 if np.isfinite(np.asarray(rewards)).any() else self._steps + 1
        if self._steps == UNREWARDED_STEPS:
            raise ModelError(
                f"no answer of {UNREWARDED_STEPS} steps in a row has a reward. Fix: look at what the reward says of "
                "some answers (guerdon score); the last checkpoint is kept"
            )
