"""The audit of a reward: natural responses first, then as many matched pairs as there is time for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from guerdon.evaluate.audit.audit_config import AuditConfig
from guerdon.evaluate.audit.audit_results import Audit, PositionLine
from guerdon.evaluate.audit.bias_lines import bias_line, natural_line, picks, untested, with_q_values
from guerdon.evaluate.audit.data_audit import audit_labels, cluster_notes
from guerdon.evaluate.audit.matched_texts import as_many_as, ask_about, ask_naturally, matched_pairs
from guerdon.evaluate.audit.natural_pairs import NaturalPairs, more_of, natural_pairs
from guerdon.evaluate.audit.surface_share import surface_share
from guerdon.evaluate.systems import System, seen_note, seen_shares
from guerdon.metrics import Floats, clustered_mean
from guerdon.perturbations.perturbation import Perturbation
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.rewards.comparing import BothOrders, compare_pairs
from guerdon.rewards.truncation import refuse_truncation, report_totals, row_texts
from guerdon.types import AnyRow, Comparer, Scorer

LONGER = 1.2
"""Changed texts take so much longer to score than natural ones."""
FEWEST = 30
"""So many pairs of each change are drawn even where the time is over."""
_POSITION_PAIRS = 300


def audit_system(
    system: System,
    rows: Sequence[AnyRow],
    config: AuditConfig | None = None,
    *,
    model: str = "model",
    data: str = "",
    beside: Mapping[str, Sequence[AnyRow]] | None = None,
    annotator: str | None = None,
    perturbations: Sequence[Perturbation] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Audit:
    """Finds out what a reward is really made of, on matched pairs, and what is wrong with the labels.

    Example:
        >>> found = audit_system(load_scorer("runs/helpful"), load_rows("test.jsonl"))
        >>> print(found.headline())

    Args:
        system: what is audited: a scorer or a comparer.
        rows: judgements of any kinds; their responses are what is changed.
        config: how much is asked.
        model: what the system is called.
        data: what the rows are called.
        beside: name -> rows of another part of a split, for doubles.
        annotator: the column that names who judged.
        perturbations: what is tried; None tries all of `PERTURBATIONS`.
        progress: called with what is asked, texts (or pairs) done, and how many there are.
        on_stage: called with what is being done, in a few words.

    Raises:
        DataError: there are no rows, or too many responses are longer than the system reads.
        ConfigError: no row has the column `annotator`.
        ModelError: the system does not give one number per response or pair.
    """
    config = config or AuditConfig()
    begin = time.monotonic()
    labels = audit_labels(rows, beside=beside, annotator=annotator, seed=config.seed, data=data, on_stage=on_stage)
    refuse_truncation([system], row_texts(rows))
    every = natural_pairs(rows, seed=config.seed)
    pairs = every.take(range(min(len(every), config.rows)))

    def counted(what: str) -> Callable[[int, int], None]:
        return lambda done, of: progress(what, done, of) if progress else None

    asked_system = system if isinstance(system, Scorer | BothOrders) else BothOrders(system)
    start = time.monotonic()
    natural = ask_naturally(asked_system, pairs, seed=config.seed, progress=counted("natural responses"))
    each = max(1e-9, (time.monotonic() - start) / max(1, natural.asked))
    on_stage("changing responses")
    tried = list(PERTURBATIONS.values()) if perturbations is None else list(perturbations)
    matched = [matched_pairs(one, pairs, len(pairs), config.seed) for one in tried]
    seconds = 60 * config.time - (time.monotonic() - begin)
    matched = as_many_as(matched, pairs, seconds / (LONGER * each), FEWEST, scorer=isinstance(system, Scorer))
    margins, asked = ask_about(asked_system, pairs, matched, seed=config.seed, progress=counted("changed responses"))
    lines = [bias_line(one, of_line, pairs, natural.typical) for one, of_line in zip(matched, margins, strict=True)]
    if pairs.ordered:
        lines = [
            replace(line, natural=natural_line(one.measured, more_of(one, pairs), natural.margins, pairs.clusters))
            if one.measure
            else line
            for one, line in zip(tried, lines, strict=True)
        ]
    position = _position(asked_system.one_order, pairs) if isinstance(asked_system, BothOrders) else None
    tested, position = with_q_values(lines, position)
    report_totals([system])
    clusters = len(np.unique(pairs.clusters))
    return Audit(
        model=model,
        data=data,
        pairs=len(pairs),
        clusters=clusters,
        unit=pairs.unit,
        typical=natural.typical,
        lines=tested,
        position=position,
        surface=surface_share(pairs, natural.margins) if pairs.ordered else None,
        labels=labels,
        texts=natural.asked + asked,
        seconds=time.monotonic() - begin,
        seed=config.seed,
        notes=(*_notes(system, rows, natural.missing, model), *cluster_notes(clusters, pairs.unit)),
        options=asdict(config),
    )


def _position(comparer: Comparer, pairs: NaturalPairs) -> PositionLine:
    """Shows natural pairs in either order."""
    some = pairs.take(range(min(len(pairs), _POSITION_PAIRS)))
    first, second = _shown(comparer, some, turned=False), _shown(comparer, some, turned=True)
    shown = clustered_mean(np.concatenate([picks(first), picks(second)]), np.concatenate([some.clusters] * 2))
    # Whoever judges by the texts alone gives the second showing the negative margin of the first.
    turned = np.where(np.isnan(first * second), np.nan, np.sign(first) == np.sign(second)) * 1.0
    turned = np.where((first == 0) & (second == 0), 0.0, turned)
    return PositionLine(untested(shown), clustered_mean(turned, some.clusters).share)


def _shown(comparer: Comparer, pairs: NaturalPairs, *, turned: bool) -> Floats:
    """P(the first is preferred) - 1/2 with the better response first, or last."""
    both = [((one.prompt, one.better, one.reference), (one.prompt, one.worse, one.reference)) for one in pairs.pairs]
    return compare_pairs(comparer, [pair[::-1] if turned else pair for pair in both])[0] - 0.5


def _notes(system: System, rows: Sequence[AnyRow], missing: Sequence[str], model: str) -> list[str]:
    notes = [seen_note(name, share) for name, share in seen_shares({model: system}, rows).items()]
    if missing:
        [(reason, count)] = Counter(missing).most_common(1)
        notes.append(
            f"{len(missing):,} natural responses have no reward and take no part; {count:,} of them: {reason}."
        )
    return notes
