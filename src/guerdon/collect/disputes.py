"""Tasks that people judge differently, or so that nobody can be sure: what a reviewer should decide."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from guerdon.collect.adjudicating import final_labels
from guerdon.collect.kinds.asking import Question
from guerdon.collect.label_agreement import dawid_skene_of
from guerdon.collect.labelled import labelled_judgements
from guerdon.collect.rows_out import current_judgements
from guerdon.collect.tasks import stored_task
from guerdon.types import Prompt

APART = 0.5
"""Two answers that differ so far (`Question.apart`) make a task disputed."""
SURE = 0.8
"""A choice of which Dawid-Skene is less sure makes it disputed too."""


@dataclass(frozen=True, slots=True)
class Dispute:
    """A task for a reviewer."""

    task: int
    prompt: Prompt
    questions: tuple[str, ...]
    """Those that are disputed."""
    people: int
    """Who judged it."""
    sure: float
    """P(the likeliest choice is right) of Dawid-Skene for comparisons, else 1 - how far answers differ; the least of
    the questions."""


def find_disputes(connection: Connection, questions: Iterable[Question]) -> list[Dispute]:
    """The disputed tasks without a final label, those of which one is least sure first.

    A task is disputed where two people or more judged it, and two of them differ by `APART` or more, or, where pairs
    are compared, Dawid-Skene is less than `SURE` of its likeliest choice. Models and gold tasks take no part.
    """
    asked = {question.name: question for question in questions}
    found = current_judgements(connection, "people")
    settled = final_labels(connection)
    given: dict[tuple[int, str], list[Any]] = {}
    for row in found:
        if row.question in asked and (row.task_id, row.question) not in settled:
            given.setdefault((row.task_id, row.question), []).append(row)
    chances = _chances(found, [question for question in asked.values() if question.kind == "pairwise"])
    of_task: dict[int, list[tuple[str, float, list[Any]]]] = {}
    for (task, name), rows in given.items():
        if len(rows) < 2:
            continue
        apart = max(asked[name].apart(one.answer, two.answer) for one, two in itertools.combinations(rows, 2))
        sure = chances.get((task, name), 1 - apart)
        if apart >= APART or ((task, name) in chances and sure < SURE):
            of_task.setdefault(task, []).append((name, sure, rows))
    disputes = [
        Dispute(
            task=task,
            prompt=stored_task(parts[0][2][0].content).prompt,
            questions=tuple(name for name, _, _ in parts),
            people=len({row.person_id for _, _, rows in parts for row in rows}),
            sure=min(sure for _, sure, _ in parts),
        )
        for task, parts in of_task.items()
    ]
    return sorted(disputes, key=lambda one: (one.sure, one.task))


def _chances(found: Sequence[Any], questions: Sequence[Question]) -> dict[tuple[int, str], float]:
    """(task, question) -> P(the likeliest choice is right), of comparisons."""
    chances = {}
    for labelled in labelled_judgements(found, questions):
        if labelled.kind == "pair":
            best = dawid_skene_of(labelled).posterior.max(axis=1)[labelled.items]
            for source, chance in zip(labelled.sources.tolist(), best.tolist(), strict=True):
                chances[found[source].task_id, labelled.name] = chance
    return chances
