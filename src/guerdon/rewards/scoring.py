"""The one way to ask a scorer: rewards, and for every response without one the reason."""

from __future__ import annotations

import logging
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from guerdon.errors import GuerdonError, ModelError, TextError
from guerdon.metrics import Calibration
from guerdon.types import Comparer, Prompt, Prompts, ReasonedScorer, References, Responses, Rewards, Scorer, prompt_text

logger = logging.getLogger(__name__)

GIVE_UP_AFTER = 8
"""A scorer that raises on so many single texts, and has rewarded none so far, is broken as a whole."""

TEXTS_PER_CALL, TEXTS_PER_CALL_ON_GPU = 256, 4096
"""Texts of one `score` call: enough for a scorer to batch texts of one length and of one prompt, few enough for a
progress bar to move."""


class ScorerFailedError(ModelError):
    """A scorer that raises on every response."""


class BaseScorer(ABC):
    """Gives `score` and `compare` to a scorer that says in `score_with_reasons` why a response has no reward."""

    __slots__ = ()

    calibration: Calibration | None = Calibration("temperature")
    """How a margin becomes P(a preferred): by the sigmoid, or as fitted and saved; None where `compare` goes its own
    way."""

    @abstractmethod
    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """Scores n responses; see `guerdon.types.ReasonedScorer`."""

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        """The rewards alone, float32, shape (n,), NaN where there is none; see `guerdon.types.Scorer`."""
        return self.score_with_reasons(prompts, responses, references=references).values

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """P(a preferred to b) by the calibration of R(a) - R(b), float32, shape (n,); NaN where one has no reward."""
        return compare_scores(self, self.calibration or Calibration("temperature"), prompts, a, b, references)


def compare_scores(
    scorer: Scorer,
    calibration: Calibration,
    prompts: Prompts,
    a: Responses,
    b: Responses,
    references: References = None,
) -> np.ndarray:
    """P(a[i] preferred to b[i]) from the rewards of both, float32, shape (n,). Raises ValueError for other lengths."""
    if len(a) != len(b):
        raise ValueError(f"as many a as b: got {len(a)} and {len(b)}")
    twice = None if references is None else [*references, *references]
    scores = score_texts(scorer, [*prompts, *prompts], [*a, *b], twice).values
    return calibration(scores[: len(a)] - scores[len(a) :]).astype(np.float32)


def score_texts(
    scorer: Scorer,
    prompts: Sequence[Prompt],
    responses: Sequence[str],
    references: References = None,
    *,
    on_progress: Callable[[int], None] = lambda texts: None,
) -> Rewards:
    """Asks a scorer about n responses.

    A text on which the scorer raises does not fail the others of its batch: it has no reward, and the error is the
    reason. So is a value that is not finite. Errors of the set-up (no sandbox, a broken model: any `GuerdonError` but
    `TextError`) are raised, because no text would fare better.

    Example:
        >>> score_texts(load_scorer("exact"), ["2 + 2?"], ["4"], references=["4"]).values.tolist()
        [1.0]

    Args:
        scorer: any scorer; it is called with some hundred responses at a time, those to one prompt together. One that
            rewards a response among the others to its prompt (`by_prompt`) sees all of these in one call.
        prompts: n prompts.
        responses: n responses.
        references: n references; a scorer sees None where no response has one.
        on_progress: called after each call of the scorer with the number of responses that it was asked about.

    Raises:
        ValueError: the lengths differ.
        ScorerFailedError: the scorer raises on every text from the first on.
        ModelError: the scorer does not give one number per response.
        GuerdonError: the scorer cannot be used as it is set up.
    """
    check_lengths(prompts, responses, references)
    count = len(responses)
    if references is not None and all(reference is None for reference in references):
        references = None
    order, size = list(range(count)), _texts_per_call()
    texts = [prompt_text(prompt) for prompt in prompts] if count > size else []
    if texts:  # one prompt's responses stay together and lengths are alike: scorers batch that well
        order.sort(key=lambda i: (len(texts[i]), texts[i], len(responses[i])))
    asking = _Asking(scorer, prompts, responses, references)
    whole, start = any(getattr(part, "by_prompt", False) for part in parts_of(scorer)), 0
    while start < count:
        end = min(start + size, count)
        while whole and end < count and texts[order[end]] == texts[order[end - 1]]:
            end += 1
        asking.score(order[start:end])
        on_progress(end - start)
        start = end
    return Rewards(asking.values, tuple(asking.reasons))


def _texts_per_call() -> int:
    torch = sys.modules.get("torch")  # what has not loaded it computes on no GPU
    return TEXTS_PER_CALL_ON_GPU if torch is not None and torch.cuda.is_available() else TEXTS_PER_CALL


def check_lengths(prompts: Prompts, responses: Responses, references: References) -> None:
    """Raises ValueError unless there are as many prompts, and references where there are some, as responses."""
    if not len(prompts) == len(responses) == len(responses if references is None else references):
        given = "" if references is None else f" and {len(references)} references"
        raise ValueError(f"one prompt per response: got {len(prompts)} prompts, {len(responses)} responses{given}")


def parts_of(scorer: object) -> Iterator[Any]:
    """A scorer, and all that it is made of: the members of a blend, what a wrapper holds, features."""
    yield scorer
    for name in ("members", "scorers", "scorer", "comparer", "features"):
        held = getattr(scorer, name, None)
        parts = held.values() if isinstance(held, Mapping) else held if isinstance(held, list | tuple) else [held]
        for part in parts:
            if isinstance(part, Scorer | Comparer) or (name == "features" and part is not None):
                yield from parts_of(part)


_names: dict[int, tuple[object, str]] = {}
"""By `id`: objects that the user named as `module:object`, with what they were called."""


def remember_name(scorer: object, name: str) -> None:
    """Lets messages call an object of the user's by this name."""
    _names[id(scorer)] = scorer, name


def scorer_name(scorer: object) -> str:
    """What a message calls a scorer: what the user called it, its name where it has one (or is one), else its class."""
    if id(scorer) in _names:
        return _names[id(scorer)][1]
    name = scorer if isinstance(scorer, str) else getattr(scorer, "name", None) or getattr(scorer, "__name__", None)
    return name if isinstance(name, str) else type(scorer).__name__


def no_reward_summary(rewards: Rewards) -> str:
    """How many responses have no reward and the most frequent reason, in one sentence; empty where all have one."""
    missing = Counter(reason for reason in rewards.reasons if reason)
    if not missing:
        return ""
    ((reason, count),) = missing.most_common(1)
    return f"{missing.total():,} of {len(rewards):,} responses have no reward; {count:,} of them: {reason}"


def no_rewards(count: int, reason: str) -> Rewards:
    """The rewards of `count` responses that have none, all for one reason."""
    return Rewards(np.full(count, np.nan, dtype=np.float32), (reason,) * count)


def joined(parts: Iterable[Rewards]) -> Rewards:
    """The rewards of several lists of responses as those of one."""
    several = list(parts)
    values = np.concatenate([part.values for part in several]) if several else np.zeros(0, dtype=np.float32)
    return Rewards(values, tuple(reason for part in several for reason in part.reasons))


class _Asking:
    """Calls of a scorer, cut in halves around the texts on which it raises, and what they gave."""

    def __init__(self, scorer: Scorer, prompts: Prompts, responses: Responses, references: References) -> None:
        self.scorer, self.prompts, self.responses, self.references = scorer, prompts, responses, references
        self.values = np.full(len(responses), np.nan, dtype=np.float32)
        self.reasons = [""] * len(responses)
        self.failures = 0

    def score(self, places: Sequence[int]) -> None:
        """Asks about the texts at these places."""
        while places:
            try:
                found = self._ask(places)
            except TextError as error:
                bad = places[error.index]
                self.reasons[bad] = error.fault
                places = [place for place in places if place != bad]
                continue
            except GuerdonError:
                raise
            except (Exception, SystemExit) as error:
                self._split(places, error)
                return
            for place, value, reason in zip(places, found.values, found.reasons, strict=True):
                self.values[place] = value if np.isfinite(value) else np.nan
                self.reasons[place] = "" if np.isfinite(value) else reason or f"the scorer gave {value}"
            return

    def _split(self, places: Sequence[int], error: BaseException) -> None:
        """Halves a batch that failed, so that a bad text costs few further calls."""
        if len(places) > 1:
            half = len(places) // 2
            self.score(places[:half])
            self.score(places[half:])
            return
        self.reasons[places[0]] = f"{type(error).__name__}: {error}"
        self.failures += 1
        everyone = len(self.responses) == self.failures > 1
        if (self.failures >= GIVE_UP_AFTER or everyone) and np.isnan(self.values).all():
            raise ScorerFailedError(
                f"{scorer_name(self.scorer)} raises on every response: {type(error).__name__}: {error}"
            ) from error
        logger.debug("a response has no reward", exc_info=error)

    def _ask(self, places: Sequence[int]) -> Rewards:
        prompts = [self.prompts[place] for place in places]
        responses = [self.responses[place] for place in places]
        references = None if self.references is None else [self.references[place] for place in places]
        name = scorer_name(self.scorer) + ("" if getattr(type(self.scorer), "is_function", False) else ".score")
        values: Any
        if isinstance(self.scorer, ReasonedScorer):
            found = self.scorer.score_with_reasons(prompts, responses, references=references)
            values, reasons = found.values, tuple(found.reasons)
        else:
            values, reasons = self.scorer.score(prompts, responses, references=references), ("",) * len(places)
        array = _numbers(values, name, len(places))
        if array.shape != (len(places),):
            raise ModelError(
                f"{name} must give one reward per response, shape ({len(places)},); it gave shape {array.shape}"
            )
        if len(reasons) != len(places):
            raise ModelError(
                f"{name}_with_reasons must give one reason per response, {len(places)}; it gave {len(reasons)}"
            )
        return Rewards(array, reasons)


def _numbers(values: Any, name: str, count: int) -> np.ndarray:
    """Values of any numeric kind as float32; a tensor may be on a GPU, and None in a list is no reward."""
    given = values.detach().float().cpu() if hasattr(values, "detach") else values
    try:
        array = np.asarray(given)
        if array.dtype.kind not in "biufO":
            raise TypeError(f"it gave {array.dtype.name} values, {str(given)[:60]}")
        if array.dtype.kind == "O" and any(isinstance(one, str) for one in array.ravel()):
            raise TypeError("some of its values are texts")
        return np.asarray(given, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} must give numbers, shape ({count},): {error}") from error
