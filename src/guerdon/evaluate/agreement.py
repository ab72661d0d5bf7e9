"""How far systems agree with people: on every subset, beside baselines, with intervals clustered by prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from guerdon.data.published_sets import SETS
from guerdon.evaluate.baselines import default_baselines
from guerdon.evaluate.details import details_of
from guerdon.evaluate.published_scores import published_scores
from guerdon.evaluate.result_tables import Requests, Table, tables_of
from guerdon.evaluate.results import FEW_CLUSTERS, Evaluation, PartResult, Section, SystemResult
from guerdon.evaluate.statistics import PAIR_METRICS, SystemValues, is_graded, metrics_of, resample, resampling_unit
from guerdon.evaluate.step_errors import StepTable, ask_steps, steps_section
from guerdon.evaluate.systems import ComparerOutput, System, SystemOutput, ask, saved_folder, seen_note, seen_shares
from guerdon.metrics import METRICS, Floats, Interval, kendall, percentile_interval
from guerdon.rewards.truncation import refuse_truncation, report_totals, row_texts
from guerdon.types import AnyRow, Steps


def evaluate_reward(
    systems: Mapping[str, System],
    rows: Sequence[AnyRow],
    *,
    baselines: Mapping[str, System] | None = None,
    seed: int = 0,
    resamples: int = 1000,
    published: str = "",
    progress: Callable[[str, int, int], None] | None = None,
) -> Evaluation:
    """Measures how far systems agree with people, beside baselines on the same rows.

    Comparisons count where people saw a winner (the majority decides; ties are counted apart). Ratings and rankings
    give the pairs of responses to one prompt that people scored differently, and rank correlations. A reference should
    beat every generated text. Equal rewards count half, and so does a preference of exactly 0.5. Each distinct text is
    scored once. A `Comparer` has the metrics of pairs alone; each pair is shown to it in one order, drawn at random.

    Example:
        >>> evaluation = evaluate_reward({"mine": load_scorer("my-model")}, load_rows("test.jsonl"))
        >>> print(evaluation.sections[0].sentence("mine"))
        mine beats the best baseline, longest wins: accuracy +0.061 [0.020, 0.103].
        >>> evaluation.save("evaluation.json")

    Args:
        systems: name -> what is measured: scorers and comparers, as many as you like.
        rows: human judgements; each kind of row becomes a section of its own.
        baselines: name -> what the systems must beat; None gives `default_baselines`, an empty mapping none.
        seed: random seed of the bootstrap, and of the order in which a pair is shown to a `Comparer`.
        resamples: bootstrap data sets.
        published: the published set that the rows are of (`guerdon.data.published_sets.SETS`): its authors' score is
            computed too.
        progress: called with a system's name, texts (or pairs) done, and how many there are.

    Raises:
        DataError: there is nothing to measure, or too many responses are longer than a system reads.
        ModelError: a system does not give one number per response or pair.
        ValueError: there is no system, a baseline has a system's name, `resamples` is below 1, or no published set has
            this name.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if not systems:
        raise ValueError("there is no system to evaluate")
    if published and published not in SETS:
        raise ValueError(f"there is no published set {published!r}; there are {', '.join(SETS)}")
    tables, requests = tables_of(rows)
    step_requests: Requests = {}
    steps = StepTable.of(rows, step_requests)
    refuse_truncation(systems.values(), row_texts(rows))
    judged = [row for row in rows if not isinstance(row, Steps)]
    beside = default_baselines(judged, systems, seed=seed) if baselines is None else dict(baselines)
    if twice := sorted(set(beside) & set(systems)):
        raise ValueError(f'a baseline is named like a system, "{twice[0]}"; give one of them another name')
    every = {**systems, **beside}
    outputs = {
        name: ask(system, requests, tables, seed=seed, progress=partial(progress, name) if progress else None)
        for name, system in every.items()
        if tables
    }
    of_steps = {
        name: ask_steps(system, steps, step_requests, partial(progress, name) if progress else None)
        for name, system in every.items()
        if steps.rows
    }
    report_totals(systems.values())
    sections = []
    for table in tables:
        section = _section(table, outputs, baselines=beside, resamples=resamples, seed=seed)
        kept = section.overall.table
        behind = details_of(kept, rows, requests, every, outputs, beside, resamples=resamples, seed=seed)
        sections.append(replace(section, details=behind))
    if steps.rows:
        sections.append(steps_section(steps, of_steps, baselines=beside, resamples=resamples, seed=seed))
    sources = dict.fromkeys(row.origin.source for row in rows if row.origin is not None)
    folders = {name: str(folder) for name, system in systems.items() if (folder := saved_folder(system)) is not None}
    seen = seen_shares(systems, rows)
    notes = [seen_note(name, share) for name, share in seen.items()]
    scores = None
    if published:
        found = SETS[published]
        notes += found.notes
        scores = published_scores(found, rows, requests, outputs, resamples=resamples, seed=seed)
    return Evaluation(
        sections=tuple(sections),
        resamples=resamples,
        seed=seed,
        notes=tuple(notes),
        seen=seen,
        data=tuple(sources),
        folders=folders,
        published=scores,
        requests=tuple(requests),
    )


def _section(
    table: Table, outputs: Mapping[str, SystemOutput], *, baselines: Collection[str], resamples: int, seed: int
) -> Section:
    """The metrics of one kind of rows, in all and per subset."""

    def measured(part: Table, subset: str = "") -> PartResult:
        return _measure(part, outputs, subset, baselines, resamples, seed)

    overall, names = measured(table), table.subset_names()
    subsets = tuple(measured(table.subset(name), name) for name in names) if len(names) > 1 else ()
    notes = (*_notes(table, overall), *_system_notes(table, outputs))
    return Section(table.kind, _primary_metric(table, outputs.values()), overall, subsets, notes)


def _primary_metric(table: Table, outputs: Collection[SystemOutput]) -> str:
    """What decides: pairwise accuracy, but for ratings a rank correlation.

    That is the correlation inside prompts if at least half of the ratings stand beside a different rating of their
    prompt, in two prompts or more; else the correlation over all ratings. A `Comparer` has no correlation, so beside
    one it is the accuracy wherever there are pairs.
    """
    compared = any(isinstance(each, ComparerOutput) for each in outputs) and len(table.better) > 0
    if not table.kind.startswith("ratings") or compared:
        return "accuracy"
    in_company = np.union1d(table.better, table.worse)
    several = len(np.unique(table.groups[in_company])) > 1
    return "spearman_within" if several and 2 * len(in_company) >= len(table.truth) else "spearman"


def _measure(
    table: Table,
    outputs: Mapping[str, SystemOutput],
    subset: str,
    baselines: Collection[str],
    resamples: int,
    seed: int,
) -> PartResult:
    """Every metric of every system on one part of the data, all from the same resamples, so differences are paired.

    Items that any scorer left without a reward, and pairs that any comparer left without a verdict, take no part for
    any system.
    """
    scored, judged = np.ones(len(table.requests), dtype=bool), np.ones(len(table.better), dtype=bool)
    for each in outputs.values():
        judged &= ~np.isnan(each.margins(table))
        if (scores := each.scores(table)) is not None:
            scored &= ~np.isnan(scores)
    kept = table.select(scored, judged)
    codes, unit = resampling_unit(kept)
    values = [SystemValues(each.margins(kept), each.scores(kept)) for each in outputs.values()]
    points, distribution = resample(kept, values, codes, resamples=resamples, seed=seed)
    results = tuple(
        _system_result(name, name in baselines, kept, values[i], points[i], distribution[:, i], each.missing(table))
        for i, (name, each) in enumerate(outputs.items())
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
        systems=results,
        table=kept,
        margins=np.stack([one.margins for one in values], axis=-1),
        resampled={metric: distribution[..., m] for m, metric in enumerate(metrics_of(table.kind))},
    )


def _system_result(
    name: str,
    is_baseline: bool,
    table: Table,
    values: SystemValues,
    points: Floats,
    distribution: Floats,
    missing: Sequence[str],
) -> SystemResult:
    """Intervals from points, shape (metrics,), and resamples, shape (resamples, metrics)."""
    metrics = {
        metric: percentile_interval(points[m], distribution[:, m])
        for m, metric in enumerate(metrics_of(table.kind))
        if values.scores is not None or metric in PAIR_METRICS
    }
    if values.scores is not None and "spearman" in metrics:
        metrics["kendall"] = Interval(kendall(values.scores, table.truth))
    return SystemResult(
        name=name,
        is_baseline=is_baseline,
        metrics={metric: metrics[metric] for metric in METRICS if metric in metrics},
        score_ties=int((values.margins == 0).sum()),
        unscored=len(missing),
        reason="".join(reason for reason, _ in Counter(missing).most_common(1)),
    )


def _notes(table: Table, overall: PartResult) -> Iterator[str]:
    if not overall.clusters:
        judged = "people saw no winner anywhere" if overall.human_ties else "no judgement has a reward of every system"
        yield f"There is nothing to measure: {judged}."
    elif overall.unit == "row":
        yield "All rows share one prompt, so intervals draw rows and speak of this prompt alone."
    if 0 < overall.clusters < FEW_CLUSTERS:
        yield f"With {overall.clusters} {overall.unit}(s) to draw from, intervals are too narrow to be trusted."
    if table.sampled:
        yield f"There are too many pairs to count; {len(table.better):,} were drawn at random."
    if table.kind == "rankings" and is_graded(table.truth):
        yield "nDCG takes the gain 2^score - 1, as is usual for grades."
    if overall.human_ties:
        yield f"People saw no winner in {overall.human_ties:,} comparisons; these take no part."


def _system_notes(table: Table, outputs: Mapping[str, SystemOutput]) -> Iterator[str]:
    ranks = [METRICS[metric].heading for metric in metrics_of(table.kind) if metric not in PAIR_METRICS]
    for name, each in outputs.items():
        comparer = isinstance(each, ComparerOutput)
        if comparer and ranks:
            listed = f"{', '.join(ranks[:-1])} or {ranks[-1]}"
            yield f"{name} compares two responses and gives no rewards, so it has no {listed}."
        missing = each.missing(table)
        if missing:
            [(reason, count)] = Counter(missing).most_common(1)
            what = f"no verdict on {len(missing):,} pairs" if comparer else f"no reward to {len(missing):,} responses"
            yield f"{name} gave {what}, and no system is measured on them; {count:,} of them: {reason}."
