"""The one way to ask a scorer: rewards, and for every response without one the reason."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from guerdon.errors import GuerdonError, ModelError, TextError
from guerdon.types import Prompt, ReasonedScorer, Rewards, Scorer

logger = logging.getLogger(__name__)

GIVE_UP_AFTER = 8
"""A scorer that raises on so many single texts, and has rewarded none of the batch, is broken as a whole."""


def score_texts(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    responses: Sequence[str],
    references: Sequence[str | None] | None = None,
) -> Rewards:
    """Asks a scorer about n responses.

    A text on which the scorer raises does not fail the others of its batch: it has no reward, and the error is the
    reason. So is a value that is not finite. Errors of the set-up (no sandbox, a broken model: any `GuerdonError` but
    `TextError`) are raised, because no text would fare better.

    Example:
        >>> score_texts(load_scorer("exact"), ["2 + 2?"], ["4"], references=["4"]).values.tolist()
        [1.0]

    Args:
        scorer: any scorer.
        prompts: n prompts.
        responses: n responses.
        references: n references; a scorer sees None where no response has one.

    Raises:
        ValueError: the lengths differ.
        ModelError: the scorer does not give one number per response, or raises on every text.
        GuerdonError: the scorer cannot be used as it is set up.
    """
    if not len(prompts) == len(responses) == len(responses if references is None else references):
        given = "" if references is None else f" and {len(references)} references"
        raise ValueError(f"one prompt per response: got {len(prompts)} prompts, {len(responses)} responses{given}")
    if not len(responses):
        return Rewards(np.zeros(0, dtype=np.float32), ())
    if references is not None and all(reference is None for reference in references):
        references = None
    return _Batch(scorer, prompts, responses, references).rewards()


def scorer_name(scorer: object) -> str:
    """What a message calls a scorer: its name where it has one, else its class."""
    name = getattr(scorer, "name", None) or getattr(scorer, "__name__", None)
    return name if isinstance(name, str) else type(scorer).__name__


def no_reward_summary(rewards: Rewards) -> str:
    """How many responses have no reward and the most frequent reason, in one sentence; empty where all have one."""
    missing = [reason for reason in rewards.reasons if reason]
    if not missing:
        return ""
    common = max(dict.fromkeys(missing), key=missing.count)
    return f"{len(missing):,} of {len(rewards):,} responses have no reward; {missing.count(common):,} of them: {common}"


class _Batch:
    """One batch, cut in halves around the texts on which the scorer raises."""

    def __init__(
        self,
        scorer: Scorer,
        prompts: Sequence[Prompt],
        responses: Sequence[str],
        references: Sequence[str | None] | None,
    ) -> None:
        self.scorer, self.prompts, self.responses, self.references = scorer, prompts, responses, references
        self.values = np.full(len(responses), np.nan, dtype=np.float32)
        self.reasons = [""] * len(responses)
        self.failures = 0

    def rewards(self) -> Rewards:
        self._score(range(len(self.responses)))
        return Rewards(self.values, tuple(self.reasons))

    def _score(self, places: Sequence[int]) -> None:
        try:
            found = self._ask(places)
        except TextError as error:
            self.reasons[places[error.index]] = error.fault
            rest = [place for place in places if place != places[error.index]]
            if rest:
                self._score(rest)
            return
        except GuerdonError:
            raise
        except Exception as error:
            self._split(places, error)
            return
        self._check_shape(found, len(places))
        for place, value, reason in zip(places, found.values, found.reasons, strict=True):
            self.values[place] = value if np.isfinite(value) else np.nan
            self.reasons[place] = "" if np.isfinite(value) else reason or f"the scorer gave {value}"

    def _split(self, places: Sequence[int], error: Exception) -> None:
        """Halves a batch that failed, so that a bad text costs few further calls."""
        if len(places) > 1:
            half = len(places) // 2
            self._score(places[:half])
            self._score(places[half:])
            return
        self.reasons[places[0]] = f"{type(error).__name__}: {error}"
        self.failures += 1
        everyone = len(self.responses) == self.failures > 1
        if (self.failures >= GIVE_UP_AFTER or everyone) and np.isnan(self.values).all():
            raise ModelError(
                f"{scorer_name(self.scorer)} raises on every response: {type(error).__name__}: {error}"
            ) from error
        logger.debug("a response has no reward", exc_info=error)

    def _ask(self, places: Sequence[int]) -> Rewards:
        prompts = [self.prompts[place] for place in places]
        responses = [self.responses[place] for place in places]
        references = None if self.references is None else [self.references[place] for place in places]
        if isinstance(self.scorer, ReasonedScorer):
            return self.scorer.score_with_reasons(prompts, responses, references=references)
        values = self.scorer.score(prompts, responses, references=references)
        try:
            array = np.asarray(values, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise ModelError(
                f"{scorer_name(self.scorer)}.score must give numbers, shape ({len(places)},): {error}"
            ) from error
        return Rewards(array, ("",) * len(places))

    def _check_shape(self, found: Rewards, count: int) -> None:
        if found.values.shape != (count,) or len(found.reasons) != count:
            raise ModelError(
                f"{scorer_name(self.scorer)}.score must give one reward per response, shape ({count},); it gave shape "
                f"{found.values.shape}"
            )
