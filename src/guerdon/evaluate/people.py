"""How far one person agrees with the others, where votes are known: no reward can be asked for much more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.data.annotators import row_votes
from guerdon.data.preferences import TIE
from guerdon.evaluate.result_tables import Requests, request_of
from guerdon.evaluate.systems import SystemOutput
from guerdon.metrics import Interval, against_the_others, format_interval, mean_interval
from guerdon.types import AnyRow, Comparison, group_key


@dataclass(frozen=True, slots=True)
class HumanCeiling:
    """Agreement with the majority of the other people, each of whom is left out in turn."""

    rows: int
    """Comparisons with two votes or more, which every system judged."""
    person: Interval
    """What a person gets."""
    systems: Mapping[str, Interval]
    """What each system and baseline gets, against the same majorities."""
    lead: Mapping[str, Interval]
    """Each of them minus the person, paired."""

    def sentence(self, name: str) -> str:
        """What the ceiling says of a system."""
        person, own, lead = self.person, self.systems[name], self.lead[name]
        return (
            f"Of {self.rows:,} comparisons the votes are known: one person agrees with the majority of the others in "
            f"{format_interval(person)}, {name} in {format_interval(own)} (difference "
            f"{format_interval(lead, signed=True)})."
        )


def human_ceiling(
    rows: Sequence[AnyRow], requests: Requests, outputs: Mapping[str, SystemOutput]
) -> HumanCeiling | None:
    """The ceiling of the comparisons with a winner whose `votes` [for chosen, for rejected, for neither] are known.

    Args:
        rows: the rows of the evaluation.
        requests: what was asked, with its numbers.
        outputs: what each system and baseline answered.
    """
    counted, votes = [], []
    for row in rows:
        if isinstance(row, Comparison) and row.preference != TIE and (own := row_votes(row.extra)) is not None:
            counted.append(row)
            votes.append(own)
    if not counted:
        return None
    better, worse = (
        np.array([requests[request_of(row, getattr(row, name))] for row in counted]) for name in ("chosen", "rejected")
    )
    verdicts = np.stack(
        [
            [float(output.wins(better[i : i + 1], worse[i : i + 1])[0, 0]) for i in range(len(counted))]
            for output in outputs.values()
        ],
        axis=-1,
    )
    known = ~np.isnan(verdicts).any(axis=1)
    if not known.any():
        return None
    person, systems = against_the_others(np.array(votes)[known], 2 * verdicts[known] - 1)
    keys = [group_key(row) for row, is_known in zip(counted, known, strict=True) if is_known]
    return HumanCeiling(
        rows=len(keys),
        person=mean_interval(person, keys),
        systems={name: mean_interval(systems[:, i], keys) for i, name in enumerate(outputs)},
        lead={name: mean_interval(systems[:, i] - person, keys) for i, name in enumerate(outputs)},
    )
