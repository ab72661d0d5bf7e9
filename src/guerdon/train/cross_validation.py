"""Rewards on fixed features, cross-validated by group, and their blend, fitted on scores that no member learnt from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from guerdon.metrics import Floats, Ints
from guerdon.rewards.blend import Blend, fit_blend_weights
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import Features, fit_judged, prepared
from guerdon.rewards.scoring import score_texts
from guerdon.types import Scorer

FOLDS = 5
"""Outer folds: every observation is measured once, by fits that never saw its group."""
INNER_FOLDS = 4
"""Folds inside a training part, for penalties, weights and choice."""
BLEND = "blend"
CLEARLY = 2.0
"""Standard errors by which a single member must lead the blend to take it all: of several, one leads by chance."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """A kind of reward as numbers of the n judged responses, ready to be fitted."""

    name: str
    values: Any
    """Shape (n, features), dense or sparse; shape (n, 1) holds the rewards of a scorer that is not fitted."""
    penalties: tuple[float, ...]
    """L2 penalties to choose from; empty for a scorer that is not fitted."""
    build: Callable[[Floats, float], Scorer]
    """Weights and intercept -> the scorer."""
    reads_prompt: bool = True
    """Whether it depends on the prompt. Who does not learns nothing from a response to another prompt, but that a good
    one is bad."""

    @classmethod
    def fixed(cls, name: str, scorer: Scorer, judged: JudgedResponses) -> Member:
        """A scorer that is taken as it is. A response without a reward counts as the mean."""
        values = score_texts(scorer, judged.prompts, judged.responses).values.astype(np.float64)
        known = values[np.isfinite(values)]
        filled = np.where(np.isfinite(values), values, known.mean() if len(known) else 0.0)
        return cls(name, filled[:, None], (), lambda weights, intercept: scorer)

    @classmethod
    def linear(cls, features: Features, judged: JudgedResponses, name: str = "") -> Member:
        """A reward that is linear in these features."""
        ready = prepared(features, judged)
        return cls(name or features.kind, ready.values, features.penalties, ready.reward, features.reads_prompt)

    def scores(self, judged: JudgedResponses, where: Ints, penalty: float) -> Floats:
        """Rewards of all n responses, shape (n,), by a fit on the observations in `where`."""
        if not self.penalties:
            return np.asarray(self.values[:, 0])
        weights, intercept = self.fit(judged, where, penalty)
        return np.asarray(self.values @ weights, dtype=np.float64) + intercept

    def fit(self, judged: JudgedResponses, where: Ints, penalty: float) -> tuple[Floats, float]:
        """Weights, shape (features,), and intercept, by the observations in `where` that it can learn from."""
        return fit_judged(
            self.values, judged, penalty, where if self.reads_prompt else where[~judged.mismatched[where]]
        )

    def out_of_fold(self, judged: JudgedResponses, where: Ints, folds: Ints) -> tuple[Floats, float]:
        """Margins of the observations in `where`, each by a fit on the other folds, at the penalty that does best.

        Args:
            judged: all observations.
            where: those that may be seen, shape (k,).
            folds: the fold of each of these, shape (k,).

        Returns:
            Margins, shape (k,), and the penalty with the lowest mean loss of these margins.
        """
        if not self.penalties:
            return judged.margins(self.scores(judged, where, 0.0))[where], 0.0
        tried = [(self._margins(judged, where, folds, penalty), penalty) for penalty in self.penalties]
        return min(tried, key=lambda one: mean_loss(judged, one[0], where))

    def _margins(self, judged: JudgedResponses, where: Ints, folds: Ints, penalty: float) -> Floats:
        margins = np.zeros(len(where))
        for fold in np.unique(folds):
            scores = self.scores(judged, where[folds != fold], penalty)
            margins[folds == fold] = judged.margins(scores)[where[folds == fold]]
        return margins


@dataclass(frozen=True, slots=True, eq=False)
class BlendFit:
    """What was learnt from one training part."""

    penalties: tuple[float, ...]
    """The penalty of each member."""
    deviations: Floats
    """The standard deviation of each member's margins, shape (members,)."""
    weights: Floats
    """Of the standardised members, shape (members,): all of one where a single member did best."""
    intercept: float
    agreement: Mapping[str, float]
    """Name of each member, and `blend` -> agreement with the training part, out of fold."""
    best: str
    """What did best: the blend, or the member that is at least as good by itself."""
    where: Ints
    """The observations that were seen, shape (k,)."""
    margins: Floats
    """Their margins by what did best, out of fold, shape (k,)."""


def fit_blend(members: Sequence[Member], judged: JudgedResponses, where: Ints, seed: int = 0) -> BlendFit:
    """Fits penalties, weights and the choice between blend and single members, all out of fold.

    The weights are those of `fit_blend_weights`. A single member takes it all where its margins agree with the
    judgements better than the blend's, whose weights are fitted on the other folds, by more than two standard errors
    over groups, or with every one of them. One of several members is ahead by less by chance, and their sum is then the
    better guess.

    Args:
        members: two or more.
        judged: all observations.
        where: those that may be seen.
        seed: seed of the folds.
    """
    folds = judged.folds(INNER_FOLDS, seed, where)
    found = [member.out_of_fold(judged, where, folds) for member in members]
    deviations = np.array([margins.std() or 1.0 for margins, _ in found])
    standard = np.stack([margins for margins, _ in found], axis=1) / deviations
    everywhere = np.zeros((len(judged), len(members)))
    everywhere[where] = standard
    weights, intercept = fit_blend_weights(everywhere, judged, where)
    blended = np.zeros(len(where))
    for fold in np.unique(folds):
        part, offset = fit_blend_weights(everywhere, judged, where[folds != fold])
        blended[folds == fold] = standard[folds == fold] @ part + offset
    agreement = {member.name: judged.agreement(standard[:, place], where) for place, member in enumerate(members)} | {
        BLEND: judged.agreement(blended, where)
    }
    single = max(range(len(members)), key=lambda place: agreement[members[place].name])
    gain, error = judged.advantage(standard[:, single], blended, where)
    ahead = gain > CLEARLY * error or agreement[members[single].name] == 1.0
    best = members[single].name if ahead or not weights.any() else BLEND
    if best != BLEND:
        alone = np.zeros_like(everywhere)
        alone[:, single] = everywhere[:, single]
        only, intercept = fit_blend_weights(alone, judged, where)
        weights = np.where(np.arange(len(members)) == single, max(only[single], 1e-3), 0.0)
        blended = standard @ weights + intercept
    return BlendFit(
        tuple(penalty for _, penalty in found), deviations, weights, intercept, agreement, best, where, blended
    )


def cross_validate(
    members: Sequence[Member],
    judged: JudgedResponses,
    *,
    folds: int = FOLDS,
    seed: int = 0,
    deal: int | None = None,
    hidden: Any = None,
    on_fold: Callable[[int, int], None] = lambda done, of: None,
) -> tuple[dict[str, Floats], list[BlendFit]]:
    """Measures members and what `fit_blend` hands over, by nested cross-validation: choice and weights included.

    Args:
        members: two or more.
        judged: what is learnt from, and measured on.
        folds: outer folds.
        seed: seed of all folds inside the training parts, and of the outer ones.
        deal: seed of the outer folds alone, so that other seeds are measured on the same test sets; None takes `seed`.
        hidden: observations, bool of shape (m,), from which no weights are learnt: a member has learnt from them.
        on_fold: called after each outer fold with how many are done, and of how many.

    Returns:
        Name of each member, and `blend` for what is handed over -> margins, shape (m,), each by fits that never saw
        its group; and the fit of each fold.
    """
    fold_of = judged.folds(folds, seed if deal is None else deal)
    margins = {name: np.zeros(len(judged)) for name in (*(member.name for member in members), BLEND)}
    fits = []
    for done, fold in enumerate(np.unique(fold_of), start=1):
        seen, unseen = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        fit, found = measure_unseen(members, judged, seen, unseen, seed=seed + 1, hidden=hidden)
        for name, values in found.items():
            margins[name][unseen] = values
        fits.append(fit)
        on_fold(done, len(np.unique(fold_of)))
    return margins, fits


def measure_unseen(
    members: Sequence[Member], judged: JudgedResponses, seen: Ints, unseen: Ints, *, seed: int = 0, hidden: Any = None
) -> tuple[BlendFit, dict[str, Floats]]:
    """Fits members and blend on the observations in `seen`, shape (k,), and measures them on those in `unseen`.

    Returns:
        What was learnt, and the name of each member, and `blend` -> margins of the unseen, shape (u,).
    """
    fit = fit_blend(members, judged, seen if hidden is None else seen[~hidden[seen]], seed)
    margins, total = {}, np.full(len(unseen), fit.intercept)
    for place, member in enumerate(members):
        own = judged.margins(member.scores(judged, seen, fit.penalties[place]))[unseen] / fit.deviations[place]
        margins[member.name] = own
        total += fit.weights[place] * own
    return fit, margins | {BLEND: total}


def build_blend(members: Sequence[Member], judged: JudgedResponses, fit: BlendFit) -> Blend:
    """The reward that is handed over: members that have a weight, fitted on all observations."""
    every = np.arange(len(judged))
    used = [place for place in range(len(members)) if fit.weights[place]]
    scorers, means, columns = {}, [], []
    for place in used:
        member = members[place]
        weights, intercept = np.zeros(0), 0.0
        if member.penalties:
            weights, intercept = member.fit(judged, every, fit.penalties[place])
        scores = member.scores(judged, every, fit.penalties[place])
        scorers[member.name] = member.build(weights, intercept)
        means.append(scores.mean())
        columns.append((scores - scores.mean()) / fit.deviations[place] * fit.weights[place])
    shift, scale = judged.units(np.sum(columns, axis=0), fit.margins, fit.where)
    return Blend(scorers, fit.weights[used], means=means, deviations=fit.deviations[used], shift=shift, scale=scale)


def mean_loss(judged: JudgedResponses, margins: Floats, where: Ints) -> float:
    """The mean loss of margins of the observations in `where`."""
    import torch

    return float(judged.loss(torch.from_numpy(margins), where).mean())
