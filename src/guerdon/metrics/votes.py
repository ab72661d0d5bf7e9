"""How far people agree with each other, which is how far a reward can be expected to agree with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from guerdon.metrics.formulas import Floats


def against_the_others(votes: ArrayLike, verdicts: ArrayLike) -> tuple[Floats, Floats]:
    """One person against the majority of the others, and a system against the same majorities.

    Each person of a pair is left out in turn. Where the others are even, or a vote was for neither, it counts one half.

    Args:
        votes: votes for the first response, for the second, and for neither, shape (n, 3); two votes or more in a row.
        verdicts: of s systems: above 0 for the first response, below 0 for the second, 0 for a tie; shape (n, s).

    Returns:
        The agreement of a person, shape (n,), and of each system, shape (n, s), in [0, 1].
    """
    counts, systems = np.asarray(votes, dtype=np.float64), np.asarray(verdicts, dtype=np.float64)
    total = counts.sum(axis=1)
    if counts.shape[1:] != (3,) or np.any(total < 2):
        raise ValueError(f"votes must have shape (n, 3) and two or more in each row, got shape {counts.shape}")
    ahead = counts[:, 0] - counts[:, 1]
    person, system = np.zeros(len(counts)), np.zeros(systems.shape)
    for kind, own in enumerate((1.0, -1.0, 0.0)):  # what the one left out said
        others = np.sign(ahead - own)
        share = counts[:, kind] / total
        person += share * (1 + own * others) / 2
        system += share[:, None] * (1 + np.sign(systems) * others[:, None]) / 2
    return person, system
