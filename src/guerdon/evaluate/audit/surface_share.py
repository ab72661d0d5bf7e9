"""How much of a reward surface measures explain: ridge regression of margins on differences, out of fold."""

from __future__ import annotations

import numpy as np

from guerdon.data.split import group_folds
from guerdon.evaluate.audit.audit_results import SurfaceShare
from guerdon.evaluate.audit.natural_pairs import NaturalPairs
from guerdon.metrics import Floats, Interval, Ints, clustered_bootstrap
from guerdon.rewards.surface import NAMES, SurfaceFeatures

_FOLDS = 5
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
"""Of standardised measures; chosen by leaving one pair of the training part out."""
_FEWEST = 50
_STRONGEST = 6
_LENGTH = [NAMES.index("log characters")]


def surface_share(pairs: NaturalPairs, margins: Floats) -> SurfaceShare | None:
    """Explains margins, shape (m,), by what the two responses differ in; None for few pairs.

    Folds are whole prompts (or groups), so that no measure can stand for a prompt.
    """
    there = np.flatnonzero(~np.isnan(margins))
    if len(there) < _FEWEST or len(np.unique(pairs.clusters[there])) < _FOLDS or not margins[there].any():
        return None
    known, own = pairs.take(there), margins[there] / np.sqrt(np.square(margins[there]).mean())
    read = SurfaceFeatures().compute
    prompts, better, worse = known.columns()
    differences = read(prompts, better).values - read(prompts, worse).values
    spread = np.sqrt(np.square(differences).mean(axis=0))
    differences = differences / np.where(spread > 1e-12, spread, 1.0)
    folds = group_folds([str(code) for code in known.clusters], _FOLDS)
    effects = _ridge(differences, own)
    order = np.argsort(-np.abs(effects), kind="stable")[:_STRONGEST]
    return SurfaceShare(
        n=len(own),
        every=_explained(own, _out_of_fold(differences, own, folds), known.clusters),
        length=_explained(own, _out_of_fold(differences[:, _LENGTH], own, folds), known.clusters),
        strongest=tuple((NAMES[place], float(effects[place])) for place in order),
    )


def _out_of_fold(x: Floats, y: Floats, folds: Ints) -> Floats:
    predictions = np.zeros(len(y))
    for fold in np.unique(folds):
        predictions[folds == fold] = x[folds == fold] @ _ridge(x[folds != fold], y[folds != fold])
    return predictions


def _ridge(x: Floats, y: Floats) -> Floats:
    """Weights without an intercept: which of two responses stands first must not matter."""
    from sklearn.linear_model import RidgeCV

    return np.asarray(RidgeCV(_PENALTIES, fit_intercept=False).fit(x, y).coef_)


def _explained(own: Floats, predictions: Floats, clusters: Ints) -> Interval:
    left, whole = np.square(own - predictions), np.square(own)
    codes = np.unique(clusters, return_inverse=True)[1]
    return clustered_bootstrap(lambda weights: 1 - (weights @ left) / (weights @ whole), codes)
