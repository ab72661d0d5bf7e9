"""Linear rewards: weights on numbers that are read from a prompt and a response, fitted in seconds.

    R(x) = shift + scale * w . (f(x) - mean) / deviation

`f` are the features: counts of words, surface measures, the vector of a frozen encoder, log-probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from guerdon.cpu import one_blas_thread
from guerdon.errors import ContractError
from guerdon.metrics import Floats, Ints
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.saved import FILE_NAME, read_card, saving
from guerdon.rewards.scoring import BaseScorer, check_lengths
from guerdon.rewards.training_data import TrainingPrompts, read_training_prompts, write_training_prompts
from guerdon.types import Prompt, References, Rewards

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class FeatureMatrix:
    """The features of n responses."""

    values: Any
    """Shape (n, features): a float array, or a sparse CSR matrix."""
    reasons: tuple[str, ...]
    """Why a response has no features (its row is then 0); empty where it has."""


class Features(ABC):
    """Reads numbers from prompts and responses."""

    kind: ClassVar[str]
    """The name of the kind of reward that is linear in these features."""
    penalties: ClassVar[tuple[float, ...]]
    """L2 penalties to choose from by cross-validation."""
    reads_prompt: ClassVar[bool] = True
    """Whether the features depend on the prompt."""
    leading: ClassVar[tuple[str, ...]] = ()
    """Names of dense features that are rewards by themselves, which the others only correct: see `LEAD`."""

    @abstractmethod
    def compute(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> FeatureMatrix:
        """The features of n responses."""

    @abstractmethod
    def names(self) -> list[str]:
        """The name of each feature, for explanations."""

    @abstractmethod
    def record(self) -> dict[str, Any]:
        """What `restore` needs, as JSON."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What `restore` needs besides, as arrays."""
        return {}

    def located(self, prompt: Prompt, response: str, weights: Floats) -> tuple[Floats, Floats] | None:
        """Shares weights . features out over the characters of a text; None for features that have no place in it.

        Args:
            prompt: the prompt.
            response: the response.
            weights: shape (features,).

        Returns:
            A value for each character of `prompt_text(prompt)` and of the response. What belongs to no character, as
            to the special tokens of an encoder, is left out.
        """
        return None

    @classmethod
    @abstractmethod
    def restore(cls, record: Mapping[str, Any], arrays: Mapping[str, np.ndarray], **options: Any) -> Self:
        """The same features again; `options` as `guerdon.rewards.saved.KINDS` has them."""


_FEATURES = {
    "surface": "guerdon.rewards.surface:SurfaceFeatures",
    "tfidf": "guerdon.rewards.terms:TermFeatures",
    "embedding": "guerdon.rewards.embedding:EmbeddingFeatures",
    "decoder": "guerdon.rewards.decoder:DecoderFeatures",
    "likelihood": "guerdon.rewards.likelihood:LikelihoodFeatures",
    "read": "guerdon.rewards.embedding:ReadFeatures",
}
_ARRAYS_FILE = "linear.safetensors"
LEAD = 20.0
"""A leading feature is so many times as large as the others once all are standardised: the penalty hardly touches its
weight, and where little can be learnt, the reward is that feature."""
_MOST_ROWS = 1000
"""Up to so many rows it is quicker to fit as many numbers as there are rows than one for each of more columns."""


def fit_weights(
    values: Any, loss: Callable[[Tensor], Tensor], penalty: float, *, intercept: bool, non_negative: bool = False
) -> tuple[Floats, float]:
    """Minimises loss(X w + b) + penalty / 2 |w|^2 by L-BFGS (Byrd et al. 1995).

    Args:
        values: X, shape (n, features), dense or sparse.
        loss: the total loss at n scores, convex; it is differentiated by torch.
        penalty: the L2 penalty of w, > 0.
        intercept: fit b as well; differences of rewards have none.
        non_negative: keep every weight at 0 or above.

    Returns:
        w, shape (features,), and b, 0 where it is not fitted.
    """
    import torch
    from scipy.optimize import minimize

    values = values.astype(np.float64, copy=False)  # a float32 sparse matrix would be cast in every product
    if values.shape[0] < min(values.shape[1], _MOST_ROWS) and not non_negative:
        turned, back = _as_few_columns(values)
        found, offset = fit_weights(turned, loss, penalty, intercept=intercept)
        return back(found), offset
    count, across = values.shape[1], values.T.tocsr() if hasattr(values, "tocsr") else values.T

    def objective(point: Floats) -> tuple[float, Floats]:
        weights, offset = point[:count], point[count:]
        scores = torch.from_numpy(np.asarray(values @ weights, dtype=np.float64) + offset.sum()).requires_grad_()
        total = loss(scores)
        slope = torch.autograd.grad(total, scores)[0].numpy()
        value = total.item() + 0.5 * penalty * float(weights @ weights)
        return value, np.append(across @ slope + penalty * weights, [slope.sum()] * len(offset))

    bounds = [(0.0, None)] * count + [(None, None)] * intercept if non_negative else None
    options = {"maxiter": 500, "ftol": 1e-9}
    origin = np.zeros(count + intercept)
    with one_blas_thread():
        found = minimize(objective, origin, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return found.x[:count], float(found.x[count:].sum())


def _as_few_columns(values: Any) -> tuple[Floats, Callable[[Floats], Floats]]:
    """X, shape (n, p) with n < p, as Z of at most n columns that has the same inner products of rows.

    The minimum of loss(X w) + |w|^2 lies in the span of the rows (the representer theorem, Kimeldorf & Wahba 1971), so
    it is w = X^T U S^-1/2 v with the minimum v for Z = U S^1/2, where X X^T = U S U^T. Far fewer numbers are fitted.

    Returns:
        Z, and what turns v into w.
    """
    product = values @ values.T
    with one_blas_thread():
        size, vectors = np.linalg.eigh(product.toarray() if hasattr(product, "toarray") else product)
    kept = size > 1e-10 * max(size[-1], 1e-300)
    root, vectors = np.sqrt(size[kept]), vectors[:, kept]
    return vectors * root, lambda found: np.asarray(values.T @ ((vectors / root) @ found))


def standardised(found: FeatureMatrix, mean: Floats | None, deviation: Floats | None) -> Any:
    """Dense features with mean 0 and deviation 1, sparse ones as they are; a response without features has zeros."""
    if mean is None:
        return found.values
    unread = np.array([bool(reason) for reason in found.reasons])
    return np.where(unread[:, None], 0.0, (found.values - mean) / deviation)


def moments(found: FeatureMatrix) -> tuple[Floats | None, Floats | None]:
    """Mean and standard deviation of dense features (1 for constant ones), each shape (features,); None for sparse."""
    if hasattr(found.values, "tocsr"):
        return None, None
    read = np.array([not reason for reason in found.reasons])
    values = found.values[read] if read.any() else found.values
    deviation = values.std(axis=0)
    return values.mean(axis=0), np.where(deviation > 1e-9, deviation, 1.0)


def fit_judged(values: Any, judged: JudgedResponses, penalty: float, where: Ints | None = None) -> tuple[Floats, float]:
    """`fit_weights` on the observations in `where` (all of them by default); other responses cost nothing."""
    import torch

    places = np.arange(len(judged)) if where is None else where
    used, position = np.unique([judged.better[places], judged.worse[places]], return_inverse=True)
    better, worse = torch.from_numpy(position.reshape(2, -1))
    pairs = judged.objective == "pairs"

    def loss(scores: Tensor) -> Tensor:
        margins = scores[better] - scores[worse] if pairs else scores[better]
        return judged.loss(margins, places).sum()

    return fit_weights(values[used], loss, penalty, intercept=not pairs)


class LinearReward(BaseScorer):
    """A reward that is linear in its features. A `Scorer`; a score is the sum of `contributions`, and the shift.

    Where pairs were fitted, differences of rewards are log-odds (Bradley-Terry); where ratings were, rewards are in
    their units.
    """

    def __init__(
        self,
        features: Features,
        weights: Floats,
        *,
        mean: Floats | None = None,
        deviation: Floats | None = None,
        shift: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        """Takes weights, means and deviations of shape (features,); use `fit`."""
        self.features = features
        self.weights = weights
        self.mean, self.deviation = mean, deviation
        self.shift, self.scale = shift, scale
        self.training_prompts: TrainingPrompts | None = None
        """What it was fitted on, where that is known."""

    @classmethod
    def fit(cls, features: Features, judged: JudgedResponses, *, penalty: float) -> LinearReward:
        """Fits the weights to judgements with this L2 penalty."""
        ready = prepared(features, judged)
        weights, intercept = fit_judged(ready.values, judged, penalty)
        mean, deviation = judged.target_units
        reward = ready.reward(weights, mean + deviation * intercept)
        reward.scale = deviation
        reward.training_prompts = TrainingPrompts.of(judged.prompts)
        return reward

    def score_with_reasons(
        self, prompts: Sequence[Prompt], responses: Sequence[str], *, references: References = None
    ) -> Rewards:
        """The rewards of n responses; a response that has no features has no reward. `references` are not read."""
        check_lengths(prompts, responses, references)
        if not len(responses):
            return Rewards(np.zeros(0, dtype=np.float32), ())
        found = self.features.compute(prompts, responses)
        values = self.shift + self.scale * (standardised(found, self.mean, self.deviation) @ self.weights)
        unread = np.array([bool(reason) for reason in found.reasons])
        return Rewards(np.where(unread, np.nan, values).astype(np.float32), found.reasons)

    def save(self, folder: str | Path) -> None:
        """Writes `linear.safetensors` and `guerdon.json`. Raises OutputError."""
        from safetensors.numpy import save_file

        units = {"mean": self.mean, "deviation": self.deviation}
        content = {
            "features": {"kind": self.features.kind, **self.features.record()},
            "shift": self.shift,
            "scale": self.scale,
        }
        with saving(folder, "linear", content) as stage:
            known = {name: array for name, array in units.items() if array is not None}
            save_file({"weights": self.weights, **known, **self.features.arrays()}, stage / _ARRAYS_FILE)
            if self.training_prompts:
                write_training_prompts(stage, self.training_prompts)

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Reads what `save` wrote; the scores are the same to the last bit.

        Raises:
            ContractError: a file is missing, broken, or of another format.
            ModelError: the frozen model that the features come from is not found.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        folder = Path(folder)
        card = read_card(folder, "linear")
        try:
            arrays = load_file(folder / _ARRAYS_FILE)
            module, _, name = _FEATURES[card["features"]["kind"]].partition(":")
            features = getattr(import_module(module), name).restore(card["features"], arrays, **options)
            if len(features.names()) != len(arrays["weights"]):
                raise ValueError(f"{len(features.names())} features, {len(arrays['weights'])} weights")
            reward = cls(
                features,
                arrays["weights"],
                mean=arrays.get("mean"),
                deviation=arrays.get("deviation"),
                shift=float(card["shift"]),
                scale=float(card["scale"]),
            )
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ContractError(
                f"{folder} holds no readable linear reward ({FILE_NAME} and {_ARRAYS_FILE}): {error!r}. "
                "Fix: fit it again, or copy both files"
            ) from error
        reward.training_prompts = read_training_prompts(folder)
        return reward

    def top_features(self, count: int = 10) -> list[tuple[str, float]]:
        """The features that weigh most, with their weights on features of deviation 1 (of words: on their TF-IDF)."""
        weights = self.weights * self.scale
        names = self.features.names()
        return [(names[place], float(weights[place])) for place in np.argsort(-np.abs(weights), kind="stable")[:count]]

    def contributions(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Floats:
        """What each feature adds to the reward, shape (n, features): scale * w_k (f_k - mean_k) / deviation_k."""
        values = standardised(self.features.compute(prompts, responses), self.mean, self.deviation)
        dense = values.toarray() if hasattr(values, "toarray") else values
        return np.asarray(dense * self.weights * self.scale)

    def located(self, prompt: Prompt, response: str) -> tuple[Floats, Floats] | None:
        """What each character of a prompt and of a response adds to the reward; None for features without a place."""
        deviation = 1.0 if self.deviation is None else self.deviation
        return self.features.located(prompt, response, self.scale * self.weights / deviation)


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFeatures:
    """The features of the judged responses, ready to be fitted."""

    features: Features
    values: Any
    """Shape (n, features), standardised where they are dense."""
    mean: Floats | None
    deviation: Floats | None

    def reward(self, weights: Floats, intercept: float) -> LinearReward:
        """The reward that has these weights."""
        return LinearReward(self.features, weights, mean=self.mean, deviation=self.deviation, shift=intercept)


def prepared(features: Features, judged: JudgedResponses) -> PreparedFeatures:
    """Reads the features of the judged responses, once for all fits."""
    found = features.compute(judged.prompts, judged.responses)
    mean, deviation = moments(found)
    if deviation is not None:
        deviation = np.where(np.isin(features.names(), features.leading), deviation / LEAD, deviation)
    return PreparedFeatures(features, standardised(found, mean, deviation), mean, deviation)
