"""What is wrong with labels: what people's choices lean on, doubles, contradictions, circles, likely errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from guerdon.data.annotators import annotator_column
from guerdon.data.conflicts import find_conflicts
from guerdon.data.split import short_line
from guerdon.errors import DataError
from guerdon.evaluate.audit.duplicate_report import find_duplicates
from guerdon.evaluate.audit.label_errors import MOST, LabelErrors, find_label_errors
from guerdon.evaluate.audit.label_results import AnnotatorLine, DataAudit, ErrorReport, LabelLine, SuspectLabel
from guerdon.evaluate.audit.natural_pairs import NaturalPairs, more_of, natural_pairs
from guerdon.metrics import ClusteredMean, Interval, clustered_mean, minimum_detectable_difference, q_values
from guerdon.perturbations.table import BIASES
from guerdon.types import AnyRow, prompt_text

FEW_CLUSTERS = 30
"""Below so many prompts (or groups), intervals and tests are told to be rough."""
FEWEST_PAIRS = 20
"""Styles and annotators with fewer pairs are left out."""
SUSPECTS, CONFLICTS = 10, 3
"""How many are shown."""


def audit_labels(
    rows: Sequence[AnyRow],
    *,
    beside: Mapping[str, Sequence[AnyRow]] | None = None,
    annotator: str | None = None,
    seed: int = 0,
    data: str = "",
    on_stage: Callable[[str], None] = lambda stage: None,
) -> DataAudit:
    """Audits labels, without a model.

    Example:
        >>> found = audit_labels(load_rows("train.jsonl"), beside={"test.jsonl": load_rows("test.jsonl")})
        >>> print(found.sentences()[0])
        People preferred the longer response in 0.612 [0.580, 0.644] of 2,210 pairs.

    Args:
        rows: judgements of any kinds.
        beside: name -> rows of another part of a split, which should share nothing with these.
        annotator: the column that names who judged; None takes one of the usual names.
        seed: seed of folds and of what is drawn.
        data: what the rows are called.
        on_stage: called with what is being done, in a few words.

    Raises:
        ConfigError: no row has the column `annotator`.
        DataError: there are no rows.
    """
    if not rows:
        raise DataError(f"{data or 'the data'}: there is no row to audit")
    pairs = natural_pairs(rows, seed=seed)
    column = annotator_column(rows, annotator)
    on_stage("looking for doubles")
    repeats, duplicates = find_duplicates(rows, beside or {})
    conflicts = find_conflicts(rows)
    on_stage("looking for wrong labels")
    read = pairs.take(range(min(len(pairs), MOST)))
    errors = find_label_errors(read, seed=seed)
    by_annotator = _annotator_shares(read, errors, column) if column and errors is not None else {}
    lines, annotators = _lines(_label_shares(pairs), by_annotator)
    clusters = len(np.unique(pairs.clusters)) if pairs.ordered else 0
    return DataAudit(
        data=data,
        rows=len(rows),
        pairs=len(pairs) if pairs.ordered else 0,
        clusters=clusters,
        unit=pairs.unit,
        lines=lines,
        annotators=annotators,
        repeats=repeats,
        duplicates=duplicates,
        contradictions=len(conflicts.contradictions),
        in_circles=conflicts.in_circles,
        conflicts=(
            *(f"judged both ways: {_places(two)}" for two in conflicts.contradictions[:CONFLICTS]),
            *(f"in a circle: {_places(circle)}" for circle in conflicts.circles[:CONFLICTS]),
        ),
        errors=None if errors is None else _error_report(read, errors),
        notes=tuple(cluster_notes(clusters, pairs.unit) if pairs.ordered else ["No two responses were compared."]),
    )


def cluster_notes(clusters: int, unit: str) -> list[str]:
    """A warning where there are few clusters."""
    if clusters >= FEW_CLUSTERS:
        return []
    return [f"With {clusters} {unit}s, fewer than {FEW_CLUSTERS}, all intervals and tests are rough."]


def _label_shares(pairs: NaturalPairs) -> dict[str, ClusteredMean]:
    """The share of pairs in which more of a style was preferred, of each style that enough pairs differ in."""
    shares = {}
    for one in BIASES if pairs.ordered else ():
        if one.measure is not None:
            more = more_of(one, pairs)
            share = clustered_mean(np.where(more == 0, np.nan, more > 0), pairs.clusters)
            if share.n >= FEWEST_PAIRS and share.clusters > 1:
                shares[one.measured] = share
    return shares


def _annotator_shares(
    pairs: NaturalPairs, errors: LabelErrors, column: str
) -> dict[str, tuple[ClusteredMean, float, Interval]]:
    """Of each annotator with enough pairs: how often the longer response won, the others' share, and the support."""
    who = np.array([str(one.row.extra.get(column, "")) for one in pairs.pairs])
    longer = np.array([len(one.better) - len(one.worse) for one in pairs.pairs], dtype=np.float64)
    won = np.where(longer == 0, np.nan, longer > 0)
    found = {}
    for name in sorted(set(who.tolist()) - {""}):
        own, others = who == name, (who != name) & (who != "")
        share = clustered_mean(won[own], pairs.clusters[own])
        if share.n >= FEWEST_PAIRS and share.clusters > 1 and others.any():
            support = clustered_mean(errors.agreement[own], pairs.clusters[own]).share
            found[name] = share, float(np.nanmean(won[others])), support
    return found


def _lines(
    shares: Mapping[str, ClusteredMean], by_annotator: Mapping[str, tuple[ClusteredMean, float, Interval]]
) -> tuple[tuple[LabelLine, ...], tuple[AnnotatorLine, ...]]:
    """All lines, tested as one family."""
    tests = [(name, share, 0.5) for name, share in shares.items()]
    tests += [(name, share, others) for name, (share, others, _) in by_annotator.items()]
    p = [share.p_value(null) for _, share, null in tests]
    lines = [
        LabelLine(
            name=name,
            n=share.n,
            clusters=share.clusters,
            rate=share.share,
            p=p_value,
            q=q,
            detectable=minimum_detectable_difference(share.standard_error),
        )
        for (name, share, _), p_value, q in zip(tests, p, q_values(p).tolist(), strict=True)
    ]
    annotators = [AnnotatorLine(line.name, line, *by_annotator[line.name][1:]) for line in lines[len(shares) :]]
    return tuple(lines[: len(shares)]), tuple(annotators)


def _error_report(pairs: NaturalPairs, errors: LabelErrors) -> ErrorReport:
    suspects = []
    for place, support in zip(errors.order[:SUSPECTS].tolist(), errors.support, strict=False):
        one = pairs.pairs[place]
        origin = str(one.row.origin or "")
        suspects.append(SuspectLabel(float(support), origin, prompt_text(one.prompt), one.better, one.worse))
    agreement = clustered_mean(errors.agreement, pairs.clusters).share
    return ErrorReport(len(pairs), agreement, errors.expected, errors.precision, errors.detectable, tuple(suspects))


def _places(rows: Sequence[AnyRow]) -> str:
    """Where rows stand, for a line of a report."""
    return ", ".join(str(row.origin or short_line(prompt_text(row.prompt))) for row in rows)
