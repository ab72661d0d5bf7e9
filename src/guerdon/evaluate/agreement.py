"""How far a scorer agrees with people: on every subset, beside baselines, with intervals clustered by prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from guerdon.evaluate.baselines import default_baselines
from guerdon.evaluate.results import FEW_CLUSTERS, Evaluation, PartResult, Section, SystemResult
from guerdon.evaluate.statistics import is_graded, metrics_of, resample, resampling_unit
from guerdon.evaluate.tables import Table, tables_of
from guerdon.metrics import METRICS, Floats, Interval, kendall, percentile_interval
from guerdon.types import AnyRow, Scorer


def evaluate(
    scorer: Scorer,
    rows: Sequence[AnyRow],
    *,
    name: str = "model",
    baselines: Mapping[str, Scorer] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Measures agreement with people, beside baselines on the same rows.

    Comparisons count where people saw a winner (the majority decides; ties are counted apart). Ratings and rankings
    give the pairs of responses to one prompt that people scored differently, and rank correlations. A reference should
    beat every generated text. Equal rewards count half. Each distinct (prompt, response) is scored once.

    Example:
        >>> evaluation = evaluate(load_scorer("my-model"), load_rows("test.jsonl"))
        >>> evaluation.sections[0].overall.model.metrics["accuracy"].point

    Args:
        scorer: what is measured.
        rows: human judgements; each kind of row becomes a section of its own.
        name: of the scorer in the results.
        baselines: name -> scorer; None gives `default_baselines(rows)`, an empty mapping none.
        seed: of the bootstrap.
        resamples: bootstrap data sets.
        progress: called with a system's name, texts scored, and texts in all.

    Raises:
        DataError: there is nothing to measure.
        ModelError: a scorer does not give one reward per response.
        ValueError: a baseline has the model's name, or `resamples` is below 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    tables, requests = tables_of(rows)
    beside = default_baselines(rows, seed=seed) if baselines is None else dict(baselines)
    if name in beside:
        raise ValueError(f'a baseline is named like the model, "{name}"; give one of them another name')
    rewards = {
        system: requests.score(each, _naming(system, progress)) for system, each in {name: scorer, **beside}.items()
    }
    sections = tuple(evaluate_table(table, rewards, resamples=resamples, seed=seed) for table in tables)
    return Evaluation(name, sections, resamples, seed)


def evaluate_table(table: Table, rewards: Mapping[str, Floats], *, resamples: int, seed: int) -> Section:
    """The figures of one kind of rows, in all and per subset.

    Args:
        table: judgements of one kind.
        rewards: system -> reward of each request, shape (requests,), the model first.
        resamples: bootstrap data sets.
        seed: of the bootstrap.
    """
    primary = primary_metric(table)
    overall = measure(table, rewards, primary, resamples=resamples, seed=seed)
    names = table.subset_names()
    subsets = tuple(
        measure(table.subset(name), rewards, primary, subset=name, resamples=resamples, seed=seed)
        for name in (names if len(names) > 1 else [])
    )
    return Section(table.kind, primary, overall, subsets, tuple(_notes(table, overall)))


def primary_metric(table: Table) -> str:
    """What decides: pairwise accuracy, but for ratings a rank correlation.

    That is the correlation inside prompts if at least half of the ratings stand beside a different rating of their
    prompt, in two prompts or more; else the correlation over all ratings.
    """
    if not table.kind.startswith("ratings"):
        return "accuracy"
    in_company = np.union1d(table.better, table.worse)
    several = len(np.unique(table.groups[in_company])) > 1
    return "spearman_within" if several and 2 * len(in_company) >= len(table.truth) else "spearman"


def measure(
    table: Table, rewards: Mapping[str, Floats], primary: str, *, subset: str = "", resamples: int, seed: int
) -> PartResult:
    """Every figure of every system on one part of the data, all from the same resamples, so differences are paired.

    Items that any system left without a reward take no part, for no system.
    """
    scores = [values[table.requests] for values in rewards.values()]
    scored = np.logical_and.reduce([~np.isnan(values) for values in scores])
    kept = table.select(scored)
    codes, unit = resampling_unit(kept)
    kept_scores = [values[scored] for values in scores]
    points, distribution = resample(kept, kept_scores, codes, resamples=resamples, seed=seed)
    systems = tuple(
        _system_result(name, i, kept, kept_scores[i], points, distribution, primary, _unscored(table, scores[i]))
        for i, name in enumerate(rewards)
    )
    longer = kept.lengths[kept.better] - kept.lengths[kept.worse]
    return PartResult(
        subset=subset,
        rows=len(np.unique(table.rows)) + len(table.tie_subsets),
        pairs=len(kept.better),
        human_ties=len(table.tie_subsets),
        longer_won=int((longer > 0).sum()),
        shorter_won=int((longer < 0).sum()),
        clusters=len(np.unique(codes)),
        unit=unit,
        systems=systems,
    )


def _system_result(
    name: str,
    place: int,
    table: Table,
    scores: Floats,
    points: Floats,
    distribution: Floats,
    primary: str,
    unscored: int,
) -> SystemResult:
    """Intervals from the resamples, shape (resamples, systems, metrics); the model is system 0."""
    names = metrics_of(table.kind)
    metrics = {
        metric: percentile_interval(points[place, m], distribution[:, place, m]) for m, metric in enumerate(names)
    }
    if "spearman" in metrics:
        metrics["kendall"] = Interval(kendall(scores, table.truth))
    m = names.index(primary)
    lead = percentile_interval(points[0, m] - points[place, m], distribution[:, 0, m] - distribution[:, place, m])
    return SystemResult(
        name=name,
        metrics={metric: metrics[metric] for metric in METRICS if metric in metrics},
        score_ties=int((scores[table.better] == scores[table.worse]).sum()),
        unscored=unscored,
        difference=lead if place else None,
    )


def _unscored(table: Table, scores: Floats) -> int:
    return len(np.unique(table.requests[np.isnan(scores)]))


def _notes(table: Table, overall: PartResult) -> Iterator[str]:
    if overall.unit == "row":
        yield "All rows share one prompt, so intervals draw rows and speak of this prompt alone."
    if overall.clusters < FEW_CLUSTERS:
        yield f"With {overall.clusters} {overall.unit}(s) to draw from, intervals are too narrow to be trusted."
    if table.sampled:
        yield f"There are too many pairs to count; {len(table.better):,} were drawn at random."
    if table.kind == "rankings" and is_graded(table.truth):
        yield "nDCG takes the gain 2^score - 1, as is usual for grades."
    if overall.human_ties:
        yield f"People saw no winner in {overall.human_ties:,} comparisons; these take no part."
    for system in overall.systems:
        if system.unscored:
            yield f"{system.name} gave no reward to {system.unscored:,} responses; no system is measured on them."


def _naming(system: str, progress: Callable[[str, int, int], None] | None) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(system, done, total)
