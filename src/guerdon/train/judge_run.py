"""A judge trained by reinforcement learning: its reward, when it stops, and how sure it is, each learnt from others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np

from guerdon.data.data_options import ReadOptions
from guerdon.data.preferences import TIE
from guerdon.data.published_sets import warn_trainer
from guerdon.data.read import load_rows
from guerdon.errors import DataError, MissingExtraError
from guerdon.files import check_writable
from guerdon.metrics import Floats, Interval, Ints, fit_calibration, mean_interval
from guerdon.rewards.early_judge import FILE_NAME, EarlyJudge
from guerdon.rewards.embedding import ReadFeatures, text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.training_data import TrainingPrompts
from guerdon.train.judge_config import JudgeConfig
from guerdon.train.judge_exact import fit_exact, fit_stop, reading_on
from guerdon.train.judge_readings import PreparedReadings, Readings
from guerdon.types import AnyRow

COSTS = (0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.135, 0.15, 0.2, 0.3)
"""Costs of reading all, in units of agreement, for each of which it is learnt when to stop."""


EVERY = 2
"""Iterations of PPO between those whose weights are measured on groups kept aside."""


@dataclass(frozen=True, slots=True)
class StoppingPoint:
    """What a cost of reading leads to, on comparisons that the reward has not learnt from."""

    cost: float
    unread: float
    """Share of the words of all pairs that is not read."""
    accuracy: Interval
    loss: Interval
    """Accuracy after reading all, less this accuracy; with groups as clusters."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainedJudge:
    """A judge, and how it does on comparisons of groups that its reward has not learnt from."""

    judge: EarlyJudge
    accuracy: Interval
    """After reading all."""
    points: tuple[StoppingPoint, ...]
    """One for each of `COSTS`."""
    chosen: StoppingPoint | None
    """The point that the judge was given; None where each loses too much, so that it reads all."""
    pairs: int
    groups: int
    setting: float
    """The penalty (exact) or the number of iterations (ppo) that did best on groups kept aside."""


def train_judge(
    data: str | Path | Sequence[AnyRow],
    out: str | Path | None = None,
    config: JudgeConfig | None = None,
    *,
    on_stage: Callable[[str], None] = lambda stage: None,
    **reading: Unpack[ReadOptions],
) -> TrainedJudge:
    """Trains a judge that reads two responses in chunks and earns reward by agreeing with people, as a policy does.

    The folder is a reward like any other (`load_scorer`): r of a whole response. `early:FOLDER` is the judge that stops
    early, a `Comparer`.

    Args:
        data: comparisons, or other rows that order responses of a prompt; or where to read them.
        out: folder of the reward; None saves nothing.
        config: how to train.
        on_stage: called with what is being done, in a few words.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: nothing orders two responses, or all comparisons are of one group.
        ModelError: the frozen encoder cannot be loaded.
        MissingExtraError: `ppo` without the extra `rl`.
        OutputError: `out` cannot be written.

    Example:
        >>> import guerdon
        >>> trained = guerdon.train_judge("preferences.jsonl", "runs/judge")
        >>> trained.judge.compare(["Capital of France?"], ["Paris."], ["I do not know."])
    """
    config = config or JudgeConfig()
    if out is not None:
        check_writable(Path(out) / FILE_NAME)
    if isinstance(data, str | Path):
        warn_trainer(str(data))
    rows = load_rows(str(data), **reading) if isinstance(data, str | Path) else data
    judged = JudgedResponses.of(rows, "pairs").length_balanced(config.balance_length)
    groups = len(set(judged.group.tolist()))
    if groups < 2:
        raise DataError(
            "a judge learns when to stop from comparisons that its reward has not learnt from, and all of these are of "
            "one group. Fix: more prompts, or --group COLUMN with more values"
        )
    on_stage("reading")
    encoder = text_encoder(config.encoder, config.device, config.trust_remote_code)
    prepared = PreparedReadings.of(ReadFeatures(encoder), judged, config.chunk_words)
    weights, differences, setting = learn_reward(
        prepared.readings, config, on_stage, judged.folds(config.folds, config.seed)
    )
    on_stage("learning when to stop")
    trained = stop_where_it_pays(prepared, weights, differences, config, setting)
    encoder.report_totals()
    trained.judge.reward.training_prompts = TrainingPrompts.of(row.prompt for row in rows)
    if out is not None:
        trained.judge.save(out)
    return trained


Learn = Callable[[Readings, float | None], Iterator[tuple[float, Floats]]]
"""Readings, and one setting (penalty, or number of iterations) or None -> settings, and weights of r for each."""


def learn_reward(
    readings: Readings, config: JudgeConfig, on_stage: Callable[[str], None], folds: Ints
) -> tuple[Floats, Floats, float]:
    """The weights of r; differences of all pairs by weights that have not learnt from their group; the setting."""
    found: dict[float, Floats] = {}
    with _learning(config) as learn:
        for fold in np.unique(folds):
            on_stage(f"learning without part {fold + 1} of {folds.max() + 1}")
            aside = np.flatnonzero(folds == fold)
            for setting, weights in learn(readings.of(np.flatnonzero(folds != fold)), None):
                kept = found.setdefault(setting, np.zeros(readings.better.shape))
                kept[aside] = readings.of(aside).differences(weights)
        setting = max(found, key=lambda one: float(np.nanmean(merit(found[one][:, -1], readings))))
        on_stage("learning from all")
        every = dict(learn(readings, setting))
    return every[setting], found[setting], setting


@contextmanager
def _learning(config: JudgeConfig) -> Iterator[Learn]:
    """How weights of r are learnt; one Ray serves all of PPO's fits."""

    def exact(readings: Readings, only: float | None) -> Iterator[tuple[float, Floats]]:
        for penalty in ReadFeatures.penalties if only is None else [only]:
            yield penalty, fit_exact(readings, config, penalty)

    if config.algorithm == "exact":
        yield exact
        return
    try:
        from guerdon.runs.ray_cluster import ray_running
        from guerdon.train.judge_ppo import fit_ppo
    except ImportError as error:
        raise MissingExtraError("judge --algorithm ppo", "ray", "rl") from error

    def sampled(readings: Readings, only: float | None) -> Iterator[tuple[float, Floats]]:
        for iteration, weights in fit_ppo(readings, config, int(only or config.iterations)):
            if iteration % EVERY == 0 or iteration in (config.iterations, only):
                yield iteration, weights

    with ray_running():
        yield sampled


def merit(differences: Floats, readings: Readings) -> Floats:
    """1 for a pair in the right order, 1/2 for a difference of 0, else 0; NaN where people were tied; shape (m,)."""
    right = (differences > 0) + 0.5 * (differences == 0)
    return np.where(readings.target == TIE, np.nan, right)


def stops_at(readings: Readings, differences: Floats, stop: Floats) -> Ints:
    """After which chunk, from 0, a judge answers, shape (m,), by the same rule as `EarlyJudge.judge`."""
    q = reading_on(readings, differences, stop)
    answers = np.logaddexp(differences / 2, -differences / 2) >= q
    answers[np.arange(len(readings)), readings.last] = True
    return np.asarray(answers.argmax(axis=1))


def stop_where_it_pays(
    prepared: PreparedReadings, weights: Floats, differences: Floats, config: JudgeConfig, setting: float
) -> TrainedJudge:
    """Learns at each cost when to stop, and takes the point that reads least within the loss that is allowed."""
    readings = prepared.readings
    pairs, clusters = np.arange(len(readings)), readings.group.tolist()
    whole = merit(differences[:, -1], readings)
    points, stops = [], {}
    for cost in COSTS:
        stop = fit_stop(readings, differences, config.scoring, cost)
        at = stops_at(readings, differences, stop)
        early = merit(differences[pairs, at], readings)
        unread = float(1 - np.average(readings.share[pairs, at], weights=readings.words))
        points.append(
            StoppingPoint(cost, unread, mean_interval(early, clusters), mean_interval(whole - early, clusters))
        )
        stops[cost] = stop, at
    allowed = [point for point in points if point.loss.point <= config.loss]
    chosen = max(allowed, key=lambda point: point.unread, default=None)
    never = np.zeros(len(next(iter(stops.values()))[0]))
    never[0] = 1e6
    stop, at = stops[chosen.cost] if chosen else (never, readings.last)
    ordered = readings.target != TIE
    calibration = fit_calibration("temperature", differences[pairs, at][ordered], readings.target[ordered])
    judge = EarlyJudge(prepared.reward(weights), stop, chunk_words=config.chunk_words, calibration=calibration)
    groups = len(set(clusters))
    return TrainedJudge(judge, mean_interval(whole, clusters), tuple(points), chosen, len(readings), groups, setting)
