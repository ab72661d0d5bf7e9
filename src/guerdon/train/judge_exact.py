"""A judge by the exact expected return of its environment: with labels, what every action earns is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from guerdon.cpu import one_blas_thread
from guerdon.losses import early_stopping_return
from guerdon.metrics import Floats
from guerdon.rewards.early_judge import STOP_FEATURES, stop_features
from guerdon.train.judge_config import JudgeConfig, Scoring
from guerdon.train.judge_readings import Readings

READ_ON = 2.0
"""q at the start: a judge that may answer at once learns to, before its reward is worth anything."""


def fit_exact(
    readings: Readings, config: JudgeConfig, penalty: float, on_step: Callable[[Floats], None] = lambda weights: None
) -> Floats:
    """The weights of r, shape (features,), that with some q earn most in sum, less penalty / 2 |w|^2.

    `on_step` is called with the weights after each step of the optimiser.
    """
    values = torch.from_numpy(readings.values)
    better, worse = torch.from_numpy(readings.better), torch.from_numpy(readings.worse)
    columns = readings.values.shape[1]
    earn = _earnings(readings, config.scoring, config.entropy, config.training_cost)

    def objective(parameters: Tensor) -> Tensor:
        weights, stop = parameters[:columns], parameters[columns:]
        scores = values @ weights
        return -earn(scores[better] - scores[worse], stop) + penalty / (2 * len(readings)) * weights @ weights

    start = np.zeros(columns + len(STOP_FEATURES))
    start[columns] = READ_ON
    return _minimum(objective, start, lambda found: on_step(found[:columns]))[:columns]


def fit_stop(readings: Readings, differences: Floats, scoring: Scoring, cost: float) -> Floats:
    """The weights of q that earn most at differences, shape (m, T), of a reward that has not learnt from these pairs.

    A judge is surer of pairs that it has learnt from, and would stop too soon on others.
    """
    known = torch.from_numpy(differences)
    earn = _earnings(readings, scoring, 0.0, cost, greedy=scoring == "agreement")

    def objective(stop: Tensor) -> Tensor:
        return -earn(known, stop) + 1e-5 * stop @ stop

    start = np.zeros(len(STOP_FEATURES))
    start[0] = READ_ON
    return _minimum(objective, start)


def reading_on(readings: Readings, differences: Floats, stop: Floats) -> Floats:
    """The q of each pair after each chunk, shape (m, T)."""
    chunks = np.broadcast_to(np.arange(1.0, differences.shape[1] + 1), differences.shape)
    return np.asarray(np.stack(stop_features(differences, chunks, readings.one_ended), axis=-1) @ stop)


def _earnings(
    readings: Readings, scoring: Scoring, entropy: float, cost: float, *, greedy: bool = False
) -> Callable[[Tensor, Tensor], Tensor]:
    """Differences, (m, T), and the weights of q -> the mean expected return of all pairs."""
    chunks = torch.arange(1.0, readings.share.shape[1] + 1, dtype=torch.float64).expand(readings.share.shape)
    ended, last = torch.from_numpy(readings.one_ended), torch.from_numpy(readings.last)
    target, weight = torch.from_numpy(readings.target), torch.from_numpy(readings.weight)
    read = torch.from_numpy(np.diff(readings.share, axis=1, append=1.0))

    def earn(differences: Tensor, stop: Tensor) -> Tensor:
        features = torch.stack(stop_features(differences.detach(), chunks, ended), dim=-1)
        returns = early_stopping_return(
            differences, features @ stop, last, target, cost * read, scoring=scoring, entropy=entropy, greedy=greedy
        )
        return (weight * returns).mean()

    return earn


def _minimum(
    objective: Callable[[Tensor], Tensor], start: Floats, on_step: Callable[[Floats], None] = lambda found: None
) -> Floats:
    """Where L-BFGS (Byrd et al. 1995) ends."""
    from scipy.optimize import minimize

    def both(point: Floats) -> tuple[float, Floats]:
        parameters = torch.from_numpy(point).requires_grad_()
        total = objective(parameters)
        return total.item(), torch.autograd.grad(total, parameters)[0].numpy()

    with one_blas_thread():
        found = minimize(
            both, start, jac=True, method="L-BFGS-B", callback=on_step, options={"maxiter": 300, "ftol": 1e-7}
        )
    return np.asarray(found.x)
