"""What a reward model must beat: the length of the response, either way, and the words in it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from guerdon.data.split import group_folds, normalised
from guerdon.errors import DataError
from guerdon.evaluate.systems import saved_folder
from guerdon.metrics import Ints
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.tfidf import BASELINE_FOLDER, Design, TfidfReward
from guerdon.types import AnyRow, Prompt, References, Scorer, group_key, prompt_text, response_texts

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
        Name -> scorer, in the order of the table. TF-IDF is absent where the rows are too few to fit it.

    Raises:
        ModelError: a model's baseline cannot be read.
    """
    baselines: dict[str, Scorer] = {"longest wins": LengthReward(1), "shortest wins": LengthReward(-1)}
    folders = {name: folder / BASELINE_FOLDER for name, system in systems.items() if (folder := saved_folder(system))}
    saved = {name: folder for name, folder in folders.items() if folder.is_dir()}
    for name, folder in saved.items():
        of = "same training data" if len(saved) == 1 else f"training data of {name}"
        baselines[f"TF-IDF ({of})"] = TfidfReward.load(folder)
    if not saved:
        try:
            baselines[f"TF-IDF ({FOLDS}-fold on this data)"] = CrossFittedTfidf(rows, folds=FOLDS, seed=seed)
        except DataError as error:
            logger.warning("No TF-IDF baseline: %s", error)
    return baselines


class CrossFittedTfidf:
    """TF-IDF fitted and applied on one data set: each response gets its reward from a fit that never saw its group.

    Vocabulary and document frequencies, which know nothing of the judgements, come from all the rows; the weights come
    from the other folds. Whole groups go into one fold; where all rows are one group, rows do. It knows only the
    responses of these rows.
    """

    def __init__(self, rows: Sequence[AnyRow], *, folds: int = 5, seed: int = 0) -> None:
        """Fits one set of weights per fold.

        Raises:
            DataError: there are too few rows, or the rows of some fold's complement order nothing.
        """
        fold_of_row = row_folds(rows, folds, seed)
        # A response that rows of several folds share belongs to the first; rows that hold a response of a fold
        # take no part in the fit for it.
        fold_of_text: dict[tuple[str, str], int] = {}
        for row, fold in zip(rows, fold_of_row, strict=True):
            for text in response_texts(row):
                fold_of_text.setdefault((prompt_text(row.prompt), text), int(fold))
        design = Design.of(rows)
        self._rewards: dict[tuple[str, str], float] = {}
        for fold in range(int(fold_of_row.max()) + 1):
            training = [
                row
                for row, own in zip(rows, fold_of_row, strict=True)
                if own != fold
                and all(fold_of_text[prompt_text(row.prompt), text] != fold for text in response_texts(row))
            ]
            keys = [key for key, own in fold_of_text.items() if own == fold]
            if keys:
                weights, intercept = design.fit(training)
                rewards = design.score([text for _, text in keys], weights, intercept)
                self._rewards.update(zip(keys, rewards.tolist(), strict=True))

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`; NaN for a response that the rows do not have."""
        pairs = zip(prompts, responses, strict=True)
        values = [self._rewards.get((prompt_text(prompt), response), np.nan) for prompt, response in pairs]
        return np.asarray(values, dtype=np.float32)


def row_folds(rows: Sequence[AnyRow], folds: int, seed: int = 0) -> Ints:
    """The fold of each row, shape (n,): whole groups, or single rows where all are one group.

    Raises:
        DataError: fewer than two rows.
    """
    if len(rows) < 2:
        raise DataError(f"folds need at least 2 rows, got {len(rows)}")
    keys = [normalised(group_key(row)) for row in rows]
    if len(set(keys)) == 1:
        keys = [str(place) for place in range(len(rows))]
    return group_folds(keys, min(folds, len(set(keys))), seed)
