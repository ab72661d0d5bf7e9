"""A judge by reinforcement learning beside Bradley-Terry on the same features, on topics never seen: every run printed.

Topics (`subset` up to its last `_`) are dealt into training, validation (3 topics) and test (3 topics) by the split's
number. The seed deals training topics into folds and draws PPO's episodes. Everything but the temperature of `ece`
(validation topics) is chosen on training topics: penalty or iterations, cost, where to stop, and the temperature that
the judge is saved with, `ece_own`. `vectors.npz`, if given, keeps the frozen vectors from one call to the next. The
table at the end has the means over all runs, and 95% intervals of paired differences, pooled over the runs, with topics
as clusters.

    python benchmarks/judges.py --data PAIRS.jsonl.gz --algorithms exact ppo --splits 0 1 2 --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.data.read import load_rows
from guerdon.metrics import (
    Calibration,
    Floats,
    Interval,
    Ints,
    expected_calibration_error,
    fit_calibration,
    format_interval,
    mean_interval,
)
from guerdon.rewards.embedding import ReadFeatures, TextEncoder, text_encoder
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import fit_judged
from guerdon.train.judge_config import JudgeConfig
from guerdon.train.judge_exact import fit_exact, fit_stop
from guerdon.train.judge_readings import PreparedReadings, Readings
from guerdon.train.judge_run import COSTS, TrainedJudge, learn_reward, stop_where_it_pays, stops_at

HELD_TOPICS = 3
SWAPPED = 300
"""Test pairs that are read in both orders."""


def right(margins: Floats) -> Floats:
    """1 above 0, 1/2 at 0."""
    return np.asarray((margins > 0) + 0.5 * (margins == 0))


def accuracy(margins: Floats) -> float:
    """The share above 0; 0 counts one half."""
    return float(np.mean(right(margins)))


def calibration_error(stated: Calibration, margins: Floats, share: Floats) -> float:
    """The ECE, every pair in both orders."""
    said = stated(np.concatenate([margins, -margins]))
    return float(expected_calibration_error(said, np.concatenate([share, 1 - share])))


def parts(judged: JudgedResponses, split: int) -> tuple[Ints, Ints, Ints]:
    """Training, validation and test comparisons; no two share a topic."""
    topics = np.random.default_rng(split).permutation(np.unique(judged.group))
    test, validation = topics[:HELD_TOPICS], topics[HELD_TOPICS : 2 * HELD_TOPICS]
    where = [np.isin(judged.group, one) for one in (validation, test)]
    return tuple(np.flatnonzero(one) for one in (~where[0] & ~where[1], *where))


def bradley_terry(readings: Readings, judged: JudgedResponses, train: Ints) -> Floats:
    """Weights on the same features of whole responses, with the penalty that does best over folds of topics."""
    whole = np.zeros((len(judged.responses), readings.values.shape[1]))
    for name in ("better", "worse"):
        whole[getattr(judged, name)] = readings.values[getattr(readings, name)[:, -1]]
    folds, found = judged.folds(4, 0, train), {}
    for penalty in ReadFeatures.penalties:
        margins = np.zeros(len(train))
        for fold in np.unique(folds):
            weights, _ = fit_judged(whole, judged, penalty, train[folds != fold])
            margins[folds == fold] = judged.margins(whole @ weights)[train[folds == fold]]
        found[penalty] = accuracy(margins)
    best = max(found, key=found.__getitem__)
    return fit_judged(whole, judged, best, train)[0]


def seconds_to(readings: Readings, train: Ints, test: Ints, config: JudgeConfig, setting: float, goal: float) -> Any:
    """CPU seconds until the reward is within a point of the goal on test topics, learning as it did; None if never."""
    seen, held = readings.of(train), readings.of(test)
    start, reached = time.process_time(), []

    def look(weights: Floats) -> None:
        if not reached and accuracy(held.differences(weights)[:, -1]) >= goal - 0.01:
            reached.append(round(time.process_time() - start, 1))

    if config.algorithm == "exact":
        fit_exact(seen, config, setting, look)
    else:
        from guerdon.train.judge_ppo import fit_ppo

        for _, weights in fit_ppo(seen, config, int(setting)):
            look(weights)
            if reached:
                break
    return reached[0] if reached else None


def swap_gap(trained: TrainedJudge, judged: JudgedResponses, where: Ints) -> float:
    """The largest |P(a preferred to b) + P(b preferred to a) - 1| of the judge that stops early."""
    prompts = [judged.prompts[i] for i in judged.better[where]]
    a, b = ([judged.responses[i] for i in side[where]] for side in (judged.better, judged.worse))
    both = trained.judge.compare(prompts, a, b).astype(float) + trained.judge.compare(prompts, b, a)
    return float(np.abs(both - 1).max())


Run = tuple[dict[str, Any], dict[str, Floats]]
"""What a run is printed as, and what each of its test pairs adds to the intervals."""


def run(prepared: PreparedReadings, judged: JudgedResponses, split: int, config: JudgeConfig, timed: bool) -> Run:
    """One run."""
    train, validation, test = parts(judged, split)
    readings = prepared.readings
    lengths = np.array([len(text) for text in judged.responses], dtype=np.float64)
    compared = bradley_terry(readings, judged, train)
    held, checked = readings.of(test), readings.of(validation)
    known = right(held.differences(compared)[:, -1])
    start = time.process_time()
    folds = judged.folds(config.folds, config.seed, train)
    weights, differences, setting = learn_reward(readings.of(train), config, lambda stage: None, folds)
    trained = stop_where_it_pays(replace(prepared, readings=readings.of(train)), weights, differences, config, setting)
    seconds = time.process_time() - start
    found, pairs = held.differences(weights), np.arange(len(test))
    whole, curve = right(found[:, -1]), []
    for cost in COSTS:
        at = stops_at(held, found, fit_stop(readings.of(train), differences, config.scoring, cost))
        unread = 1 - np.average(held.share[pairs, at], weights=held.words)
        curve.append([cost, round(float(unread), 3), round(accuracy(found[pairs, at]), 4)])
    stop = trained.judge.stop_weights
    at, early = stops_at(held, found, stop), checked.differences(weights)
    margins = found[pairs, at]
    temperature = fit_calibration(
        "temperature", early[np.arange(len(validation)), stops_at(checked, early, stop)], checked.target
    )
    goal = float(known.mean())
    line = {
        "algorithm": config.algorithm,
        "scoring": config.scoring,
        "split": split,
        "seed": config.seed,
        "longest": round(accuracy(judged.margins(lengths)[test]), 4),
        "bradley_terry": round(goal, 4),
        "whole": round(float(whole.mean()), 4),
        "early": round(accuracy(margins), 4),
        "unread": round(float(1 - np.average(held.share[pairs, at], weights=held.words)), 4),
        "ece": round(calibration_error(temperature, margins, held.target), 4),
        "ece_own": round(calibration_error(trained.judge.calibration, margins, held.target), 4),
        "swap_gap": swap_gap(trained, judged, test[:: max(1, len(test) // SWAPPED)]),
        "cost": trained.chosen.cost if trained.chosen else None,
        "setting": setting,
        "cpu_seconds": round(seconds),
        "cpu_seconds_to_a_point": seconds_to(readings, train, test, config, setting, goal) if timed else None,
        "curve": curve,
    }
    each = {
        "behind": 100 * (known - whole),
        "lost": 100 * (whole - right(margins)),
        "topic": held.group.astype(np.float64),
    }
    return line, each


def table(runs: list[Run]) -> str:
    """A row for each run, and one for their mean."""
    names = ("longest", "bradley_terry", "whole", "early", "unread", "ece", "ece_own")

    def row(first: str, values: dict[str, Any], behind: Interval, lost: Interval) -> str:
        intervals = [format_interval(one, decimals=1) for one in (behind, lost)]
        return " | ".join([f"| {first}", *(f"{values[name]:.3f}" for name in names), *intervals]) + " |"

    lines = ["| split, seed | " + " | ".join(names) + " | points behind Bradley-Terry | points lost by stopping |"]
    lines.append("|---" * (len(names) + 3) + "|")
    pooled: dict[str, list[Floats]] = {"behind": [], "lost": [], "topic": []}
    for line, each in runs:
        clusters = each["topic"].tolist()
        differences = [mean_interval(each[name], clusters) for name in ("behind", "lost")]
        lines.append(row(f"{line['split']}, {line['seed']}", line, *differences))
        for name, values in each.items():
            pooled[name].append(values)
    mean = {name: float(np.mean([line[name] for line, _ in runs])) for name in names}
    every = {name: np.concatenate(values) for name, values in pooled.items()}
    differences = [mean_interval(every[name], every["topic"].tolist()) for name in ("behind", "lost")]
    return "\n".join([*lines, row("mean", mean, *differences)])


def remember(encoder: TextEncoder, file: Path | None, *, save: bool = False) -> None:
    """Takes vectors from a file, or puts them there."""
    if file is None:
        return
    if save:
        np.savez(file, texts=np.array([*encoder._kept]), vectors=np.stack([*encoder._kept.values()]))
    elif file.exists():
        with np.load(file) as found:
            encoder._kept.update(zip(found["texts"].tolist(), found["vectors"], strict=True))


def main() -> None:
    """Runs all that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--algorithms", nargs="+", choices=("exact", "ppo"), default=["exact", "ppo"])
    parser.add_argument("--scoring", choices=("agreement", "log", "brier"), default="agreement")
    parser.add_argument("--splits", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--loss", type=float, default=JudgeConfig().loss)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument(
        "--timed",
        action="store_true",
        help="for the first seed, learn once more, looking at the test topics at each step",
    )
    given = parser.parse_args()
    rows = load_rows(given.data, group="subset", group_regex="^(.*)_")
    judged = JudgedResponses.of(rows, "pairs")
    encoder = text_encoder("minilm")
    remember(encoder, given.vectors)
    prepared = PreparedReadings.of(ReadFeatures(encoder), judged, JudgeConfig().chunk_words)
    remember(encoder, given.vectors, save=True)
    for algorithm in given.algorithms:
        runs = []
        for split in given.splits:
            for seed in given.seeds:
                config = JudgeConfig(
                    algorithm=algorithm,
                    scoring=given.scoring,
                    seed=seed,
                    folds=given.folds,
                    loss=given.loss,
                    iterations=given.iterations,
                )
                runs.append(run(prepared, judged, split, config, given.timed and seed == given.seeds[0]))
                print(json.dumps(runs[-1][0]), flush=True)
        print(table(runs), flush=True)


if __name__ == "__main__":
    main()
