"""Solutions with judged steps: how well the reward of each prefix tells right steps from wrong ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.data.split import group_folds
from guerdon.evaluate.result_tables import EMPTY_TABLE, Requests, number_of
from guerdon.evaluate.results import PartResult, Section, SystemResult
from guerdon.evaluate.systems import Progress, ScorerOutput, System, SystemOutput, ask
from guerdon.metrics import (
    NO_ERROR,
    Floats,
    Interval,
    Ints,
    best_threshold,
    bootstrap_distribution,
    cluster_codes,
    format_value,
    percentile_interval,
    processbench_f1,
    right_thresholds,
    roc_auc,
)
from guerdon.types import AnyRow, Steps, StepScorer, group_key, step_prefixes

STEP_METRICS = ("step_f1", "first_error", "no_error", "step_auc")
FOLDS = 5
_CHUNK = 256
"""Solutions of one call, so that a progress bar can move."""


@dataclass(frozen=True, slots=True, eq=False)
class StepTable:
    """Solutions as arrays: s steps of n solutions."""

    rows: tuple[Steps, ...]
    requests: Ints
    """The request of each prefix, shape (s,)."""
    solution: Ints
    """The solution of each step, ascending, shape (s,)."""
    labels: Floats
    """1 right, 0 wrong, NaN not judged; shape (s,)."""
    first_error: Ints
    """Of each solution: index of its first wrong step, `NO_ERROR`, or -2 where that is not known; shape (n,)."""
    clusters: Ints
    """What the bootstrap keeps together, shape (n,)."""

    @classmethod
    def of(cls, rows: Sequence[AnyRow], requests: Requests) -> StepTable:
        """The solutions among the rows; their prefixes are entered into the requests."""
        solutions = tuple(row for row in rows if isinstance(row, Steps))
        asked = [number_of(row, text, requests) for row in solutions for text in step_prefixes(row)]
        sizes = [len(row.steps) for row in solutions]
        labels = [np.nan if label is None else float(label >= 0.5) for row in solutions for label in row.labels]
        return cls(
            rows=solutions,
            requests=np.array(asked, dtype=np.int64),
            solution=np.repeat(np.arange(len(solutions)), sizes),
            labels=np.array(labels, dtype=np.float64),
            first_error=np.array([_first_error(row) for row in solutions], dtype=np.int64),
            clusters=cluster_codes([group_key(row) for row in solutions]),
        )

    def select(self, keep: np.ndarray) -> StepTable:
        """The solutions for which `keep`, shape (n,), is true."""
        steps = keep[self.solution]
        return StepTable(
            rows=tuple(row for row, kept in zip(self.rows, keep, strict=True) if kept),
            requests=self.requests[steps],
            solution=(np.cumsum(keep) - 1)[self.solution[steps]],
            labels=self.labels[steps],
            first_error=self.first_error[keep],
            clusters=cluster_codes(self.clusters[keep].tolist()),
        )


def ask_steps(system: System, table: StepTable, requests: Requests, progress: Progress | None = None) -> SystemOutput:
    """What a system says of every step, rewards of shape (s,).

    A `StepScorer` is asked about the steps themselves, in one pass over each solution; any other scorer about the
    solution as far as each step; a `Comparer` has nothing to say.
    """
    if not isinstance(system, StepScorer):
        found = ask(system, requests, (), seed=0, progress=progress)
        if not isinstance(found, ScorerOutput):
            return found
        return ScorerOutput(found.rewards[table.requests], tuple(found.reasons[at] for at in table.requests))
    rewards = np.full(len(table.requests), np.nan)
    starts = np.searchsorted(table.solution, np.arange(len(table.rows)))
    for start in range(0, len(table.rows), _CHUNK):
        rows = table.rows[start : start + _CHUNK]
        scores = system.step_scores([row.prompt for row in rows], [step_prefixes(row)[-1] for row in rows])
        for row, own, first in zip(rows, scores, starts[start:], strict=False):
            known = own[: len(row.steps)]
            rewards[first : first + len(known)] = known
        if progress is not None:
            progress(start + len(rows), len(table.rows))
    return ScorerOutput(rewards, tuple("" if np.isfinite(one) else "the step was not read" for one in rewards))


def _first_error(row: Steps) -> int:
    for at, label in enumerate(row.labels):
        if label is None:
            return -2
        if label < 0.5:
            return at
    return NO_ERROR


def measure_steps(
    table: StepTable, scores: Sequence[Floats], *, resamples: int, seed: int
) -> tuple[list[dict[str, Interval]], dict[str, Floats]]:
    """`STEP_METRICS` of several scorers on one set of solutions.

    The threshold below which a step is called wrong is the one with the best F1, fitted for each fold of the solutions
    on the others (ProcessBench fits it on its subset GSM8K).

    Args:
        table: the solutions, all scored.
        scores: of each scorer, the reward of each prefix, shape (s,).
        resamples: bootstrap data sets, of whole prompts or groups.
        seed: random seed of folds and draws.

    Returns:
        For each scorer its metrics; and metric -> its values on the resamples, shape (resamples, scorers).
    """
    known = table.first_error >= NO_ERROR
    erroneous = table.first_error >= 0
    starts = np.searchsorted(table.solution, np.arange(len(table.rows)))
    judged = ~np.isnan(table.labels)
    matched = [_matched(table, own, starts, known, seed) for own in scores]

    def statistic(weights: Floats) -> Floats:
        """Weights of the steps, shape (b, s) -> shape (b, scorers, metrics)."""
        of_solution = weights[:, starts] * known
        values = []
        for own, right in zip(scores, matched, strict=True):
            wrong, none, f1 = processbench_f1(right, erroneous, of_solution)
            values.append([f1, wrong, none, roc_auc(own[judged], table.labels[judged], weights[:, judged])])
        return np.moveaxis(np.array(values), -1, 0)

    codes = table.clusters[table.solution]
    points = statistic(np.ones((1, len(codes))))[0]
    drawn = np.full((1, *points.shape), np.nan)
    if codes.max(initial=0) > 0:
        drawn = bootstrap_distribution(statistic, codes, resamples=resamples, seed=seed)
    found = [
        {metric: percentile_interval(points[i, m], drawn[:, i, m]) for m, metric in enumerate(STEP_METRICS)}
        for i in range(len(scores))
    ]
    return found, {metric: drawn[..., m] for m, metric in enumerate(STEP_METRICS)}


def _matched(table: StepTable, scores: Floats, starts: Ints, known: np.ndarray, seed: int) -> np.ndarray:
    """Whether the first step below the threshold of its fold is the labelled one, shape (n,)."""
    own = np.split(scores, starts[1:])
    bounds = right_thresholds(own, np.maximum(table.first_error, NO_ERROR))
    keys = [str(code) for code in table.clusters]
    groups = len(set(keys))
    folds = group_folds(keys, min(FOLDS, groups), seed) if groups > 1 else np.zeros(len(keys), dtype=np.int64)
    erroneous = table.first_error >= 0
    matched = np.zeros(len(keys), dtype=bool)
    for fold in np.unique(folds):
        others = known & ((folds != fold) | (groups == 1))
        threshold = best_threshold(bounds[others], erroneous[others])
        inside = (bounds[:, 0] < threshold) & (threshold <= bounds[:, 1])
        matched[folds == fold] = inside[folds == fold]
    return matched


def steps_section(
    table: StepTable,
    outputs: Mapping[str, SystemOutput],
    *,
    baselines: Collection[str],
    resamples: int,
    seed: int,
) -> Section:
    """The metrics of solutions with judged steps, in all and per subset; `outputs` are those of `ask_steps`.

    A `Comparer` takes no part, since a prefix has nothing to be compared with, nor a scorer that rewards no prefix.
    Solutions with a prefix that some other scorer does not reward are left out for all.
    """
    of_scorer = {name: one for name, one in outputs.items() if isinstance(one, ScorerOutput)}
    rewards = {name: one.rewards for name, one in of_scorer.items() if not np.isnan(one.rewards).all()}
    missing = {name: list(filter(None, of_scorer[name].reasons)) for name in rewards}
    lost = np.zeros(len(table.rows), dtype=bool)
    for own in rewards.values():
        lost[table.solution[np.isnan(own)]] = True
    kept = table.select(~lost)
    subsets = np.array([row.subset for row in kept.rows])
    names = sorted(set(subsets.tolist()) - {""})

    def measured(part: StepTable, steps: np.ndarray, subset: str = "") -> PartResult:
        scores = [own[~lost[table.solution]][steps] for own in rewards.values()]
        found, drawn = measure_steps(part, scores, resamples=resamples, seed=seed)
        systems = tuple(
            SystemResult(
                name=name,
                is_baseline=name in baselines,
                metrics=values,
                score_ties=0,
                unscored=len(missing[name]),
                reason="".join(reason for reason, _ in Counter(missing[name]).most_common(1)),
            )
            for name, values in zip(rewards, found, strict=True)
        )
        return PartResult(
            subset=subset,
            rows=len(part.rows),
            pairs=0,
            human_ties=0,
            longer_won=0,
            shorter_won=0,
            clusters=len(np.unique(part.clusters)),
            unit="group" if any(row.group for row in part.rows) else "prompt",
            systems=systems,
            table=EMPTY_TABLE,
            margins=np.zeros((0, len(systems))),
            resampled=drawn,
        )

    whole = measured(kept, np.ones(len(kept.solution), dtype=bool))
    parts = tuple(
        measured(kept.select(subsets == name), (subsets == name)[kept.solution], name)
        for name in (names if len(names) > 1 else ())
    )
    return Section("steps", "step_f1", whole, parts, tuple(_notes(table, kept, outputs, rewards, parts)))


def _notes(
    table: StepTable,
    kept: StepTable,
    outputs: Mapping[str, SystemOutput],
    rewards: Mapping[str, Floats],
    parts: Sequence[PartResult],
) -> Iterator[str]:
    yield f"A step is wrong below a threshold, fitted for the best F1 on the other {FOLDS - 1} fifths of the solutions."
    if absent := [name for name in outputs if name not in rewards]:
        yield f"{', '.join(absent)} cannot be measured here: a step needs a reward of its own."
    if lost := len(table.rows) - len(kept.rows):
        yield f"{lost:,} solutions are left out, because a step has no reward from some scorer."
    if unknown := int((kept.first_error < NO_ERROR).sum()):
        yield f"Of {unknown:,} solutions the first wrong step is not known; they count for the AUC alone."
    for name in rewards if parts else ():
        points = [part.system(name).metrics["step_f1"].point for part in parts]
        mean = format_value(float(np.mean(points)))
        if not np.isnan(points).any():
            yield f"{name}: the mean F1 of the subsets, as ProcessBench reports it, is {mean}."
