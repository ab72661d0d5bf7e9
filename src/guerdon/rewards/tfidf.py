"""A bag-of-words reward: linear on TF-IDF, fitted in seconds, and the baseline that a neural model must beat.

What it gets right is in the words alone; it reads neither the prompt nor the order of more than two words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.data.preferences import TIE, overall_ratings, row_preferences
from guerdon.errors import ContractError, DataError
from guerdon.metrics import Floats, Ints, within_group_pairs
from guerdon.rewards.saved import FILE_NAME, read_card, saving
from guerdon.rewards.scoring import check_lengths
from guerdon.rewards.training_data import TrainingPrompts
from guerdon.types import AnyRow, Prompt, Rating, References, response_texts

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix
    from sklearn.pipeline import FeatureUnion

BASELINE_FOLDER = "baseline"
"""Folder in a saved reward model: the TF-IDF reward that was fitted on the same rows."""
MAX_CHARACTERS = 2000
"""Only so much of a response is read: it bounds the time of long documents and rarely changes a choice."""

_VECTORIZERS: dict[str, dict[str, Any]] = {
    # Words, single punctuation marks, and single characters of Chinese and Japanese, which put no space between words.
    "words": {"token_pattern": r"[^\W\u3040-\u9fff]+|[\u3040-\u9fff]|[^\w\s]", "ngram_range": (1, 2)},
    # Pieces of words: endings, misspellings, and Chinese words of two to four characters.
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}
_MAX_TERMS = 50_000
"""Most terms that each vectorizer keeps."""


class TfidfReward:
    """A linear reward on the TF-IDF features of the response; the prompt is not read.

    They are word 1-2-grams beside character 2-4-grams (the 50,000 most frequent of each), each part of length 1:
    (1 + log tf) * idf, idf = log((1 + N) / (1 + df)) + 1 (Salton & Buckley 1988; as scikit-learn has it).

    Comparisons, rankings and references give pairs: logistic regression on the difference of the features, which is
    Bradley-Terry with a linear reward, so the score is a log-odds. Ratings alone give ridge regression, so the score
    is in the units of the ratings. In a mixture, ratings count as pairs within their prompt.

    Example:
        >>> reward = TfidfReward.fit(rows)
        >>> reward.score([prompt, prompt], ["a good answer", "a bad one"])
    """

    def __init__(self, features: FeatureUnion, weights: Floats, intercept: float = 0.0) -> None:
        """Takes weights of shape (terms,); use `fit` or `load`."""
        self.features = features
        self.weights = weights
        self.intercept = intercept
        self.training_prompts: TrainingPrompts | None = None
        """What it was fitted on, where it was fitted here and now."""

    @classmethod
    def fit(cls, rows: Sequence[AnyRow]) -> TfidfReward:
        """Fits vocabulary and weights; 10,000 pairs take about half a minute on one core.

        Raises:
            DataError: no row prefers one response to another.
        """
        design = Design.of(rows)
        weights, intercept = design.fit(rows)
        reward = cls(design.features, weights, intercept)
        reward.training_prompts = TrainingPrompts.of(row.prompt for row in rows)
        return reward

    def score(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        """Scores as `guerdon.types.Scorer.score`: log-odds after pairs, the units of the data after ratings."""
        check_lengths(prompts, responses, references)
        if not len(responses):
            return np.zeros(0, dtype=np.float32)
        values = self.features.transform(responses) @ self.weights + self.intercept
        return np.asarray(values, dtype=np.float32)

    def save(self, folder: str | Path) -> None:
        """Writes `tfidf.safetensors` (weights) and `guerdon.json` (terms)."""
        from safetensors.numpy import save_file

        vectorizers = [vectorizer for _, vectorizer in self.features.transformer_list]
        arrays = {f"idf.{i}": vectorizer.idf_ for i, vectorizer in enumerate(vectorizers)}
        terms = [vectorizer.get_feature_names_out().tolist() for vectorizer in vectorizers]
        with saving(folder, "tfidf", {"intercept": self.intercept, "terms": terms}) as stage:
            save_file({"weights": self.weights, **arrays}, stage / "tfidf.safetensors")

    @classmethod
    def load(cls, folder: str | Path, **_: object) -> TfidfReward:
        """Reads what `save` wrote; the scores are the same to the last bit. Options of other kinds are not read.

        Raises:
            ContractError: a file is missing, broken, or of another format.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        card = read_card(Path(folder), "tfidf")
        try:
            arrays = load_file(Path(folder) / "tfidf.safetensors")
            idf = [arrays[f"idf.{i}"] for i in range(len(card["terms"]))]
            if sum(map(len, card["terms"])) != len(arrays["weights"]):
                raise ValueError("terms and weights differ in number")
            return cls(_features(card["terms"], idf), arrays["weights"], float(card["intercept"]))
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ContractError(
                f"{folder} holds no readable TF-IDF reward ({FILE_NAME} and tfidf.safetensors): {error!r}. "
                "Fix: fit it again, or copy both files"
            ) from error


@dataclass(frozen=True, slots=True)
class Design:
    """The features of every response of a data set, computed once and shared by the fits on parts of it."""

    features: FeatureUnion
    matrix: csr_matrix
    """Shape (texts, terms)."""
    index: Mapping[str, int]
    """Response -> its row of the matrix."""

    @classmethod
    def of(cls, rows: Sequence[AnyRow]) -> Design:
        """Reads the responses of all the rows. Raises DataError where there are none."""
        texts = list(dict.fromkeys(text for row in rows for text in response_texts(row)))
        if not texts:
            raise DataError("TF-IDF needs rows to learn from, got none")
        features = _features()
        return cls(features, features.fit_transform(texts), {text: i for i, text in enumerate(texts)})

    def fit(self, rows: Sequence[AnyRow]) -> tuple[Floats, float]:
        """Weights, shape (terms,), and intercept, from these rows.

        Raises:
            DataError: nothing in the rows orders two responses.
        """
        if rows and all(isinstance(row, Rating) for row in rows):
            return self._fit_ratings([row for row in rows if isinstance(row, Rating)])
        better, worse, preference = preference_pairs(rows, self.index)
        if not len(better) or np.all(preference == 0.5):
            raise DataError(
                f"TF-IDF needs at least one response that was preferred to another of its prompt; {len(rows)} rows "
                "have none (ties and single responses order nothing)"
            )
        return self._fit_pairs(better, worse, preference)

    def score(self, texts: Sequence[str], weights: Floats, intercept: float) -> np.ndarray:
        """float32 rewards, shape (n,), of responses that the data set has."""
        picked = self.matrix[[self.index[text] for text in texts]]
        return np.asarray(picked @ weights + intercept, dtype=np.float32)

    def _fit_pairs(self, better: Ints, worse: Ints, preference: Floats) -> tuple[Floats, float]:
        from scipy import sparse
        from sklearn.linear_model import LogisticRegression

        difference = self.matrix[better] - self.matrix[worse]
        # A preference p is the pair seen both ways, with weights p and 1 - p. No intercept: the reward of a pair
        # must change its sign when the pair is swapped.
        model = LogisticRegression(C=1.0, fit_intercept=False, max_iter=1000).fit(
            sparse.vstack([difference, difference], format="csr"),
            np.repeat([1, 0], len(better)),
            sample_weight=np.concatenate([preference, 1 - preference]),
        )
        return np.asarray(model.coef_[0], dtype=np.float64), 0.0

    def _fit_ratings(self, rows: Sequence[Rating]) -> tuple[Floats, float]:
        from sklearn.linear_model import Ridge

        target = overall_ratings(rows)
        if np.ptp(target) == 0:
            raise DataError(f"TF-IDF needs ratings that differ; all {len(rows)} are {target[0]:g}")
        places = [self.index[row.response] for row in rows]
        model = Ridge(alpha=1.0, solver="sparse_cg").fit(self.matrix[places], target)
        return np.asarray(model.coef_, dtype=np.float64), float(model.intercept_)


def preference_pairs(rows: Sequence[AnyRow], index: Mapping[str, int]) -> tuple[Ints, Ints, Floats]:
    """Every preference of the rows (see `row_preferences`): `(better, worse, P(better preferred))`, each shape (m,).

    Better and worse are positions by `index`.
    """
    groups = list(row_preferences(rows))
    grades = [grade for group in groups for grade in group.grades]
    codes = np.repeat(np.arange(len(groups)), [len(group.grades) for group in groups])
    preference = np.array([group.preference for group in groups])
    texts = np.array([index[text] for group in groups for text in group.responses], dtype=np.int64)
    better, worse = within_group_pairs(grades, codes)
    ties = np.flatnonzero(preference[codes] == TIE).reshape(-1, 2)
    better, worse = np.concatenate([better, ties[:, 0]]), np.concatenate([worse, ties[:, 1]])
    return texts[better], texts[worse], preference[codes[better]]


def _features(terms: Sequence[Sequence[str]] = (), idf: Sequence[Floats] = ()) -> FeatureUnion:
    """Texts -> float32 sparse matrix, shape (n, terms): to be fitted, or with terms and weights that are known."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import FeatureUnion

    parts = []
    for number, (name, settings) in enumerate(_VECTORIZERS.items()):
        known = {"vocabulary": terms[number]} if terms else {"max_features": _MAX_TERMS}
        vectorizer = TfidfVectorizer(**settings, **known, preprocessor=_beginning, sublinear_tf=True, dtype=np.float32)
        if idf:
            vectorizer.idf_ = idf[number]
        parts.append((name, vectorizer))
    return FeatureUnion(parts)


def _beginning(text: str) -> str:
    return text[:MAX_CHARACTERS].lower()
