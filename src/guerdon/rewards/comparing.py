"""A `Comparer` put to use: pairs that fail alone, both orders of a pair, and a reward among candidates."""

from __future__ import annotations

import itertools
import logging
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from guerdon.errors import GuerdonError, ModelError, TextError
from guerdon.metrics import Calibration, Floats
from guerdon.rewards.scoring import BaseScorer, check_lengths, scorer_name
from guerdon.types import Comparer, Prompt, Prompts, ReasonedComparer, References, Responses, Rewards, prompt_text

logger = logging.getLogger(__name__)

RAISED = "raised"
"""How the reason of a pair begins on which a comparer raised."""
MOST_OPPONENTS = 16
"""With more candidates each is compared with so many of the others, drawn by chance, and not with all."""
SURE = 0.01
"""Among candidates, P counts as at least so far from 0 and from 1, so that its logit is finite: at most 4.6."""

_CHUNK = 256
Request = tuple[Prompt, str, str | None]
"""Prompt, response, reference."""


def compare_pairs(comparer: Comparer, pairs: Sequence[tuple[Request, Request]]) -> tuple[Floats, list[str]]:
    """P(the first of each pair is preferred), and the reason where there is none; a pair that fails fails alone.

    Raises:
        ModelError: the comparer does not give one number per pair.
        GuerdonError: the comparer cannot be used as it is set up.
    """
    prompts, a, b = [one[0] for one, _ in pairs], [one[1] for one, _ in pairs], [other[1] for _, other in pairs]
    references = [one[2] for one, _ in pairs]
    given = references if any(reference is not None for reference in references) else None
    why: Sequence[str] = ()
    try:
        if isinstance(comparer, ReasonedComparer):
            rewards = comparer.compare_with_reasons(prompts, a, b, references=given)
            found, why = rewards.values.astype(np.float64), rewards.reasons
        else:
            found = np.asarray(comparer.compare(prompts, a, b, references=given), dtype=np.float64)
    except Exception as error:  # it is the user's code
        if isinstance(error, GuerdonError) and not isinstance(error, TextError):
            raise
        if len(pairs) == 1:
            return np.array([np.nan]), [f"{RAISED} {type(error).__name__}: {error}"]
        half = len(pairs) // 2
        (left, why), (right, other) = compare_pairs(comparer, pairs[:half]), compare_pairs(comparer, pairs[half:])
        return np.concatenate([left, right]), [*why, *other]
    if found.shape != (len(pairs),):
        raise ModelError(
            f"{scorer_name(comparer)}.compare must give one probability per pair, shape ({len(pairs)},); it gave shape "
            f"{found.shape}"
        )
    good = (found >= 0) & (found <= 1)
    told = why or [""] * len(pairs)
    reasons = ["" if g else w or f"the comparer gave {f}" for g, w, f in zip(good, told, found, strict=True)]
    return np.where(good, found, np.nan), reasons


class BaseComparer(ABC):
    """Gives `compare` to a comparer that says in `compare_with_reasons` why a pair has no verdict."""

    @abstractmethod
    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """Compares n pairs; see `guerdon.types.ReasonedComparer`."""

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """P(a preferred) of n pairs, shape (n,), NaN where there is no verdict."""
        return self.compare_with_reasons(prompts, a, b, references=references).values


class BothOrders(BaseComparer):
    """A comparer that is shown every pair in both orders: a liking for a place would hide what else it likes.

    It counts how often the winner stays the same, and says so at the end of a verb.
    """

    def __init__(self, comparer: Comparer) -> None:
        self.one_order = comparer
        """The comparer itself."""
        self.name = scorer_name(comparer)
        self.training_prompts = getattr(comparer, "training_prompts", None)
        self.folder = getattr(comparer, "folder", None)
        """Where the comparer was loaded from, where it was from a folder."""
        self.pairs, self.same, self.first = 0, 0, 0.0
        """Pairs with a verdict in both orders, those with the same winner, and verdicts for the first place."""

    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """As `compare`; without a verdict in one of the orders there is none, and the reason is that order's."""
        check_lengths(prompts, a, references)
        each = references or [None] * len(a)
        pairs = [((p, x, r), (p, y, r)) for p, x, y, r in zip(prompts, a, b, each, strict=True)]
        found, why = compare_pairs(self.one_order, [*pairs, *(pair[::-1] for pair in pairs)])
        first, second = found[: len(pairs)], found[len(pairs) :]
        known = ~np.isnan(first * second)
        self.pairs += int(known.sum())
        self.same += int((np.sign(first - 0.5) == np.sign(0.5 - second))[known].sum())
        self.first += float(np.sum([(np.sign(one[known] - 0.5) + 1) / 2 for one in (first, second)]))
        reasons = tuple(x or y for x, y in zip(why[: len(pairs)], why[len(pairs) :], strict=True))
        return Rewards(self.joined(first, second).astype(np.float32), reasons)

    def joined(self, first: Floats, second: Floats) -> Floats:
        """P(a preferred) by what was said with a shown first, and P(b preferred) by what was said with b first."""
        return np.asarray((first + 1 - second) / 2)

    def report_totals(self) -> None:
        """Logs what the order did to the verdicts, and what else the comparer has to say."""
        if self.pairs:
            logger.warning(
                "%s: of %d pairs asked in both orders, %.1f%% keep their winner; the first place wins %.1f%% of the "
                "verdicts",
                self.name, self.pairs, 100 * self.same / self.pairs, 50 * self.first / self.pairs,
            )  # fmt: skip
        if callable(report := getattr(self.one_order, "report_totals", None)):
            report()


class AmongCandidates(BaseScorer):
    """A `Comparer` as the scorer of a prompt's candidates: its mean win rate against the others.

        R(i) = mean over j != i of P(i preferred to j)

    With `logit`, for sums with other rewards, R(i) = (1 / n) sum_j logit P(i preferred to j) instead: the rewards whose
    differences come nearest to the logits, and of two candidates differ by exactly logit P. Every pair is asked in both
    orders. The reward of a text depends on the candidates that it stands among; alone, it has none.

    Example:
        >>> score_texts(AmongCandidates(judge), ["How long?"] * 2, ["Eight minutes.", "It depends."]).values.tolist()
        [0.75, 0.25]
    """

    by_prompt = True
    """For `score_texts`: the responses to a prompt must be asked about together."""
    calibration: Calibration | None = None

    def __init__(self, comparer: Comparer, *, logit: bool = False, name: str = "") -> None:
        """Takes the comparer, and by what name it can be loaded again."""
        self.comparer = comparer if isinstance(comparer, BothOrders) else BothOrders(comparer)
        self.logit, self.name = logit, name or self.comparer.name
        self.training_prompts = self.comparer.training_prompts

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """P(a preferred to b), as the comparer says."""
        return self.comparer.compare(prompts, a, b, references=references)

    def score_with_reasons(self, prompts: Prompts, responses: Responses, *, references: References = None) -> Rewards:
        """The rewards of n responses, each among those to the same prompt."""
        check_lengths(prompts, responses, references)
        groups: dict[tuple[str, str | None], list[int]] = {}
        each = references or [None] * len(responses)
        for place, (prompt, reference) in enumerate(zip(prompts, each, strict=True)):
            groups.setdefault((prompt_text(prompt), reference), []).append(place)
        pairs = [pair for group in groups.values() for pair in _opponents(group)]
        values, reasons = self._preferences([(prompts[i], responses[i], responses[j], each[i]) for i, j in pairs])
        if self.logit:
            sure = np.clip(values, SURE, 1 - SURE)
            values = np.log(sure) - np.log1p(-sure)
        turned = -values if self.logit else 1 - values
        sums, counts = np.zeros(len(responses)), np.full(len(responses), 1.0 if self.logit else 0.0)
        whys: list[Counter[str]] = [Counter() for _ in responses]
        for (i, j), value, back, reason in zip(pairs, values, turned, reasons, strict=True):
            for place, own in ((i, value), (j, back)):
                if reason:
                    whys[place][reason] += 1
                else:
                    sums[place] += own
                    counts[place] += 1
        least = 1 if self.logit else 0
        known = counts > least
        alone = "a comparer gives a response no reward without another one to the same prompt"
        told = [next(iter(why.most_common(1)), (alone, 0))[0] for why in whys]
        rewards = np.where(known, sums / np.maximum(counts, 1), np.nan)
        return Rewards(rewards.astype(np.float32), tuple("" if k else t for k, t in zip(known, told, strict=True)))

    def _preferences(self, asked: Sequence[tuple[Prompt, str, str, str | None]]) -> tuple[Floats, list[str]]:
        """P(the first response is preferred) of each pair; equal texts are tied, and equal pairs are asked once."""
        places: dict[tuple[Prompt, str, str, str | None], int] = {}
        for one in asked:
            if one[1] != one[2]:
                places.setdefault(one, len(places))
        new = [((prompt, a, reference), (prompt, b, reference)) for prompt, a, b, reference in places]
        parts = [compare_pairs(self.comparer, new[start : start + _CHUNK]) for start in range(0, len(new), _CHUNK)]
        found = [value for values, _ in parts for value in values.tolist()]
        reasons = [reason for _, why in parts for reason in why]
        where = [places.get(one) for one in asked]
        values = np.array([0.5 if place is None else found[place] for place in where], dtype=np.float64)
        return values, ["" if place is None else reasons[place] for place in where]


def _opponents(group: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Every pair of a group; of a large one, each with its neighbours in a ring that is drawn by chance."""
    if len(group) <= MOST_OPPONENTS + 1:
        yield from itertools.combinations(group, 2)
        return
    ring = np.random.default_rng(0).permutation(group).tolist()
    for step in range(1, MOST_OPPONENTS // 2 + 1):
        yield from zip(ring, ring[step:] + ring[:step], strict=True)
