"""What stands behind the accuracy of one kind of rows: by margin, as probabilities, beside people, by the best of k."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.evaluate.best_of_k import PickCurve, pick_curves
from guerdon.evaluate.margins import MarginBin, accuracy_by_margin
from guerdon.evaluate.people import HumanCeiling, human_ceiling
from guerdon.evaluate.probabilities import CalibrationResult, Probabilities, calibration_of
from guerdon.evaluate.result_tables import Requests, Table
from guerdon.evaluate.statistics import SystemValues, resampling_unit
from guerdon.evaluate.systems import ComparerOutput, System, SystemOutput, ask_comparer
from guerdon.metrics import Calibration, sigmoid
from guerdon.types import AnyRow, Comparer

_SURE = 1e-6
"""A `Comparer`'s P is kept so far from 0 and 1, so that its logit is finite."""


@dataclass(frozen=True, slots=True)
class Details:
    """What stands behind the accuracy of one kind of rows; each is empty where the rows do not give it."""

    by_margin: tuple[MarginBin, ...] = ()
    probabilities: tuple[CalibrationResult, ...] = ()
    """Of the systems that are no baselines."""
    people: HumanCeiling | None = None
    best_of_k: tuple[PickCurve, ...] = ()


def details_of(
    table: Table,
    rows: Sequence[AnyRow],
    requests: Requests,
    systems: Mapping[str, System],
    outputs: Mapping[str, SystemOutput],
    baselines: Collection[str],
    *,
    resamples: int,
    seed: int,
) -> Details:
    """The details of one kind of rows.

    Args:
        table: the responses and pairs that every system judged.
        rows: the rows of the evaluation.
        requests: what was asked, with its numbers.
        systems: name -> what is measured, baselines among them.
        outputs: name -> what each answered.
        baselines: the names of those that are baselines.
        resamples: bootstrap data sets.
        seed: random seed of draws and folds.
    """
    codes, _ = resampling_unit(table)
    values = {name: SystemValues(each.margins(table), each.scores(table)) for name, each in outputs.items()}
    scores = {name: value.scores for name, value in values.items() if value.scores is not None}
    stated = {
        name: _probabilities(systems[name], outputs[name], table, requests, seed)
        for name in outputs
        if name not in baselines
    }
    graded = table.kind.startswith(("ratings", "rankings"))
    return Details(
        by_margin=accuracy_by_margin(table, values, codes, resamples=resamples, seed=seed),
        probabilities=calibration_of(table, stated, codes, resamples=resamples, seed=seed),
        people=human_ceiling(rows, requests, outputs) if table.kind == "comparisons" else None,
        best_of_k=pick_curves(table, scores, tuple(requests), seed=seed) if graded else (),
    )


def _probabilities(system: System, output: SystemOutput, table: Table, requests: Requests, seed: int) -> Probabilities:
    """What a system says of each pair: by its calibration where it has one, else by asking its `compare`."""
    if isinstance(output, ComparerOutput):
        stated = output.margins(table) + 0.5
        sure = np.clip(stated, _SURE, 1 - _SURE)
        return Probabilities(np.log(sure / (1 - sure)), stated)
    margins = output.margins(table)
    calibration = getattr(system, "calibration", None)
    if isinstance(calibration, Calibration):
        return Probabilities(margins, calibration(margins))
    if isinstance(system, Comparer):
        asked = ask_comparer(system, requests, [table], seed=seed).margins(table) + 0.5
        return Probabilities(margins, np.where(np.isnan(asked), 0.5, asked))
    return Probabilities(margins, sigmoid(margins))
