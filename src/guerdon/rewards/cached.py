"""A scorer that is asked about each text once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from guerdon.rewards.scoring import BaseScorer, score_texts
from guerdon.types import Prompt, Rewards, Scorer


class CachedScorer(BaseScorer):
    """Gives the rewards of another scorer, and keeps them: the same text has one reward, and costs once.

    The memory is as large as the texts that were scored: for jobs on one data set, not for servers.

    Example:
        >>> scorer = CachedScorer(load_scorer("my-reward"))
        >>> evaluation = evaluate_reward({"mine": scorer}, rows)
        >>> scorer.score([row.prompt for row in rows], [row.chosen for row in rows])  # nothing is computed anew
    """

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self._known: dict[tuple[Prompt, str, str | None], tuple[float, str]] = {}

    def score_with_reasons(
        self,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        *,
        references: Sequence[str | None] | None = None,
    ) -> Rewards:
        """Scores as `guerdon.types.ReasonedScorer.score_with_reasons`."""
        keys = list(zip(prompts, responses, references or [None] * len(responses), strict=True))
        new = list(dict.fromkeys(key for key in keys if key not in self._known))
        if new:
            found = score_texts(self.scorer, *map(list, zip(*new, strict=True)))
            for key, value, reason in zip(new, found.values.tolist(), found.reasons, strict=True):
                self._known.setdefault(key, (value, reason))  # another thread may have been faster
        values, reasons = zip(*(self._known[key] for key in keys), strict=True) if keys else ((), ())
        return Rewards(np.array(values, dtype=np.float32), tuple(reasons))
