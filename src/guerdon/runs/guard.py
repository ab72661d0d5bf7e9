"""When a run has nothing to learn from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from guerdon.errors import ModelError

logger = logging.getLogger(__name__)

MISSING_REWARD_STEPS = 3
"""A run stops after so many steps without any reward."""


class MissingRewardGuard:
    """Counts steps in a row without any reward, and logs each step's most frequent reason for a missing one, once."""

    def __init__(self) -> None:
        self._steps = 0
        self._logged: set[str] = set()

    def note(self, values: ArrayLike, reasons: Sequence[str] = ()) -> None:
        """Notes the rewards of a step, NaN for none, and why; a ModelError where this was the third without any."""
        found = np.isfinite(np.asarray(values))
        self._steps = 0 if found.any() else self._steps + 1
        common = Counter(reason for reason in reasons if reason).most_common(1)
        why = common[0][0] if common else ""
        if why and why not in self._logged:
            self._logged.add(why)
            missing = found.size - int(found.sum())
            logger.warning(
                "%d of %d responses of a step have no reward; the most frequent reason: %s", missing, found.size, why
            )
        if self._steps == MISSING_REWARD_STEPS:
            raise ModelError(
                f"no response of {MISSING_REWARD_STEPS} steps in a row has a reward{f' ({why})' if why else ''}. Fix: "
                "look at what the reward says of some responses (guerdon score); the last checkpoint is kept"
            )
