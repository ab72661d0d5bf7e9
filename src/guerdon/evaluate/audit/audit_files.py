"""The verbs of the audit: read, audit, and write the page and the JSON file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, Unpack

from guerdon.data.data_options import ReadOptions
from guerdon.data.read import load_rows
from guerdon.evaluate.audit.audit_config import AuditConfig
from guerdon.evaluate.audit.audit_page import audit_page, labels_page
from guerdon.evaluate.audit.audit_results import Audit
from guerdon.evaluate.audit.audit_run import audit_system
from guerdon.evaluate.audit.data_audit import audit_labels
from guerdon.evaluate.audit.label_results import DataAudit
from guerdon.evaluate.systems import System
from guerdon.files import atomic_write, check_writable
from guerdon.rewards.load import ScorerConfig
from guerdon.types import AnyRow

RowSource: TypeAlias = str | Path | Sequence[AnyRow]
"""Rows, or where they are read."""


def audit_reward(
    model: str | Path | ScorerConfig | System,
    data: RowSource,
    out: str | Path | None = None,
    config: AuditConfig | None = None,
    *,
    beside: Sequence[str] | Mapping[str, Sequence[AnyRow]] = (),
    annotator: str | None = None,
    on_progress: Callable[[str, int, int], None] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
    **reading: Unpack[ReadOptions],
) -> Audit:
    """Finds out what a reward is really made of, and what is wrong with the labels.

    Responses are changed in one thing at a time, and the reward is asked which it prefers: padded or not, as a list or
    as prose, signed with one name or with another. What should not matter and does is a bias. Beside it stands what
    people's own choices lean on, what they share with the surface of the texts, doubles, contradictions, and labels
    that are likely wrong.

    Example:
        >>> found = audit_reward("runs/helpful", "test.jsonl", "audit")
        >>> print(found.headline())
        >>> found.of("padding").test.rate.point
        0.71

    Args:
        model: a name as `load_scorer` takes it, or a scorer or comparer.
        data: judgements, or where they are read; their responses are what is changed.
        out: folder for `audit.html` and `audit.json`; None writes nothing.
        config: how much is asked.
        beside: other parts of the split, which should share nothing with the data: sources, or name -> rows.
        annotator: the column that names who judged; None looks for one of the usual names.
        on_progress: called with what is asked, texts (or pairs) done, and how many there are.
        on_stage: called with what is being done, in a few words.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        ModelError: the model cannot be loaded, or does not give one number per response or pair.
        DataError: there are no rows, or too many responses are longer than the model reads.
        ConfigError: no row has the column `annotator`.
        OutputError: `out` cannot be written.
    """
    _check(out)
    if isinstance(model, str | Path):
        model = ScorerConfig(name=str(model))
    named = model.name if isinstance(model, ScorerConfig) else type(model).__name__
    rows, name, others = _read(data, beside, reading)
    system = model.load_system() if isinstance(model, ScorerConfig) else model
    found = audit_system(
        system,
        rows,
        config,
        model=named,
        data=name,
        beside=others,
        annotator=annotator,
        progress=on_progress,
        on_stage=on_stage,
    )
    if out is not None:
        found.save(Path(out) / "audit.json")
        _write(audit_page(found), Path(out))
    return found


def audit_data(
    data: RowSource,
    out: str | Path | None = None,
    *,
    beside: Sequence[str] | Mapping[str, Sequence[AnyRow]] = (),
    annotator: str | None = None,
    seed: int = 0,
    on_stage: Callable[[str], None] = lambda stage: None,
    **reading: Unpack[ReadOptions],
) -> DataAudit:
    """Finds out what is wrong with labels: what they lean on, doubles, contradictions, circles, likely errors.

    Example:
        >>> found = audit_data("train.jsonl", "audit", beside=["test.jsonl"])
        >>> print(found.sentences()[0])
        People preferred the longer response in 0.612 [0.580, 0.644] of 2,210 pairs.

    Args:
        data: judgements, or where they are read.
        out: folder for `audit.html` and `audit.json`; None writes nothing.
        beside: other parts of the split, which should share nothing with the data: sources, or name -> rows.
        annotator: the column that names who judged; None looks for one of the usual names.
        seed: seed of folds and of what is drawn.
        on_stage: called with what is being done, in a few words.
        reading: how rows are read, as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: there are no rows.
        ConfigError: no row has the column `annotator`.
        OutputError: `out` cannot be written.
    """
    _check(out)
    rows, name, others = _read(data, beside, reading)
    found = audit_labels(rows, beside=others, annotator=annotator, seed=seed, data=name, on_stage=on_stage)
    if out is not None:
        found.save(Path(out) / "audit.json")
        _write(labels_page(found), Path(out))
    return found


def _read(
    data: RowSource, beside: Sequence[str] | Mapping[str, Sequence[AnyRow]], reading: ReadOptions
) -> tuple[Sequence[AnyRow], str, Mapping[str, Sequence[AnyRow]]]:
    """Rows, what they are called, and the other parts."""
    others = beside if isinstance(beside, Mapping) else {Path(source).name: load_rows(source) for source in beside}
    if isinstance(data, str | Path):
        return load_rows(str(data), **reading), Path(data).name, others
    return data, "the data", others


def _check(out: str | Path | None) -> None:
    for name in ("audit.json", "audit.html") if out is not None else ():
        check_writable(Path(str(out)) / name)


def _write(page: str, folder: Path) -> None:
    with atomic_write(folder / "audit.html") as file:
        file.write(page)
