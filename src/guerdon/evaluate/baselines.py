"""What a reward model must beat: the length of the response, either way, and the words in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from guerdon.ahead import beside
from guerdon.errors import DataError
from guerdon.evaluate.systems import saved_folder
from guerdon.metrics import Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import LinearReward, fit_judged, prepared
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.terms import BASELINE_FOLDER, TermFeatures
from guerdon.types import AnyRow, Prompts, References, Responses, Scorer, prompt_text

logger = logging.getLogger(__name__)

FOLDS = 5


def default_baselines(
    rows: Sequence[AnyRow], systems: Mapping[str, object] = MappingProxyType({}), *, seed: int = 0
) -> dict[str, Scorer]:
    """The baselines that stand beside every system.

    Args:
        rows: the data of the evaluation.
        systems: name -> what is measured. The TF-IDF reward that training left in the `baseline/` of a saved model has
            learned from what the model has learned from, which is the fair comparison. Where no system has one, TF-IDF
            is fitted on the rows themselves, so that no row is scored by a fit that has seen its group; its name says
            so.
        seed: random seed of the folds.

    Returns:
        Name -> scorer, in the order of the table. TF-IDF is absent where there are no rows, or too few to fit it.

    Raises:
        ModelError: a model's baseline cannot be read.
    """
    baselines: dict[str, Scorer] = {"longest wins": LengthReward(1), "shortest wins": LengthReward(-1)}
    folders = {name: folder / BASELINE_FOLDER for name, system in systems.items() if (folder := saved_folder(system))}
    saved = {name: folder for name, folder in folders.items() if folder.is_dir()}
    for name, folder in saved.items():
        of = "same training data" if len(saved) == 1 else f"training data of {name}"
        baselines[f"TF-IDF ({of})"] = LinearReward.load(folder)
    if not saved and rows:
        try:
            baselines[f"TF-IDF ({FOLDS}-fold on this data)"] = CrossFittedTfidf(rows, folds=FOLDS, seed=seed)
        except DataError as error:
            logger.warning("No TF-IDF baseline: %s", error)
    return baselines


class CrossFittedTfidf:
    """TF-IDF fitted and applied on one data set: each response gets its reward from a fit that never saw its group.

    Vocabulary and document frequencies, which know nothing of the judgements, come from all the rows; the weights come
    from the other folds. Whole groups go into one fold; where all rows are one group, single judgements do. It knows
    only the responses of these rows.
    """

    def __init__(self, rows: Sequence[AnyRow], *, folds: int = 5, seed: int = 0) -> None:
        """Fits one set of weights per fold, beside the work of a GPU; without one, when it is first asked.

        Raises:
            DataError: there are too few rows, or what is left without some fold orders nothing.
        """
        judged = JudgedResponses.of(rows, "ratings")
        if len(judged) < 2:
            raise DataError(f"folds need at least 2 judgements, got {len(judged)}")
        if not any(map(str.strip, judged.responses)):
            raise DataError(f"there is not a word in {len(judged.responses):,} responses")
        fold_of = judged.folds(folds, seed)
        own = np.zeros(len(judged.responses), dtype=np.int64)
        own[judged.worse], own[judged.better] = fold_of, fold_of
        # Where all judgements are of one group, a response may stand in several folds.
        left = {
            int(fold): (fold_of != fold) & (own[judged.better] != fold) & (own[judged.worse] != fold)
            for fold in np.unique(fold_of)
        }
        if not all(others.any() for others in left.values()):
            raise DataError("without the responses of one fold, nothing is left to learn from")
        self._rewards = beside(lambda: _cross_fitted(judged, own, left))

    def score(self, prompts: Prompts, responses: Responses, *, references: References = None) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`; NaN for a response that the rows do not have."""
        pairs = zip(prompts, responses, strict=True)
        known = self._rewards()
        values = [known.get((prompt_text(prompt), response), np.nan) for prompt, response in pairs]
        return np.asarray(values, dtype=np.float32)


def _cross_fitted(judged: JudgedResponses, own: Ints, left: Mapping[int, np.ndarray]) -> dict[tuple[str, str], float]:
    """The reward of each prompt and response: each fold's, shape (n,), by the observations that are left, (m,)."""
    features = TermFeatures.fit(judged.responses)
    values = prepared(features, judged).values
    mean, deviation = judged.target_units
    rewards = np.zeros(len(own))
    for fold, others in left.items():
        weights, intercept = fit_judged(values, judged, features.penalties[0], np.flatnonzero(others))
        rewards[own == fold] = mean + deviation * (values[own == fold] @ weights + intercept)
    keys = zip(map(prompt_text, judged.prompts), judged.responses, strict=True)
    return dict(zip(keys, rewards.tolist(), strict=True))
