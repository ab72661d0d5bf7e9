"""What the judgements say of those who made them: how many, how fast, how often as others and as is known."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, select

from guerdon.collect.accounts import MODEL_ROLE
from guerdon.collect.kinds.asking import Question
from guerdon.collect.kinds.pairwise import PairwiseQuestion
from guerdon.collect.store_tables import judgements, people, tasks
from guerdon.metrics import Interval, clustered_mean


@dataclass(frozen=True, slots=True)
class AnnotatorFigures:
    """One annotator, a person or a model."""

    name: str
    role: str
    judged: int
    """Tasks."""
    skipped: int
    seconds: float | None
    """Median time of a task."""
    gold: Interval | None
    """Share of the answers to gold questions that are right, None where there were none."""
    others: Interval | None
    """Share of the answers to which another person gave one that are the same; with models, people's alone count."""
    first: Interval | None
    """Share of preferences that went to what was shown first; 0.5 where the place does not matter."""


@dataclass(frozen=True, slots=True)
class Event:
    """A task was judged by a person."""

    name: str
    at: float
    """Seconds since 1970."""
    seconds: float | None
    """How long it took."""


@dataclass(frozen=True, slots=True)
class CollectionFigures:
    """A collection as it stands."""

    tasks: int
    judged: int
    """Tasks that somebody judged."""
    judgements: int
    annotators: tuple[AnnotatorFigures, ...]
    events: tuple[Event, ...]
    """Each task that a person judged, in the order of time."""
    pairs: tuple[tuple[float, bool], ...]
    """Of each two people who judged a task: when the later one did, and whether they gave the same answer."""


def collection_figures(connection: Connection, questions: Sequence[Question]) -> CollectionFigures:
    """The figures of a collection, of people before models."""
    by_name = {question.name: question for question in questions}
    newer = judgements.alias()
    rows = connection.execute(
        select(judgements, people.c.name, people.c.role, tasks.c.gold.label("is_gold"))
        .join(people, people.c.id == judgements.c.person_id)
        .join(tasks, tasks.c.id == judgements.c.task_id)
        .where(
            judgements.c.state != "undone",
            ~select(newer.c.id).where(newer.c.supersedes == judgements.c.id).exists(),
        )
        .order_by(judgements.c.id)
    ).all()
    known = {
        row.id: row.content.get("gold", {})
        for row in connection.execute(select(tasks.c.id, tasks.c.content).where(tasks.c.gold))
    }
    answered = [row for row in rows if row.state == "answer" and row.question in by_name]
    agreed = _agreement(answered, by_name)
    of_person: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        of_person[row.person_id].append(row)
    found = [
        _annotator(of_person[person], known, agreed[person], by_name)
        for person in sorted(of_person, key=lambda one: (of_person[one][0].role == MODEL_ROLE, of_person[one][0].name))
    ]
    of_people = [row for row in answered if row.role != MODEL_ROLE and not row.is_gold]
    last = {(row.person_id, row.task_id): Event(row.name, row.at, row.seconds) for row in of_people}
    count = len(connection.execute(select(tasks.c.id).where(tasks.c.gold.is_(False))).all())
    return CollectionFigures(
        tasks=count,
        judged=len({row.task_id for row in of_people}),
        judgements=len(last),
        annotators=tuple(found),
        events=tuple(sorted(last.values(), key=lambda event: event.at)),
        pairs=tuple(
            (max(one.at, other.at), by_name[one.question].equal(one.answer, other.answer))
            for one, other in _of_same(of_people)
        ),
    )


def _agreement(answered: Sequence[Any], by_name: Mapping[str, Question]) -> dict[int, list[tuple[float, int]]]:
    """Of each person: for each answer and each other person's to the same, whether they are equal, and the task."""
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for two in _of_same(answered):
        for one, other in (two, two[::-1]):
            if other.role != MODEL_ROLE:
                equal = by_name[one.question].equal(one.answer, other.answer)
                found[one.person_id].append((float(equal), one.task_id))
    return found


def _of_same(answered: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Every two answers to one question about one task."""
    same: dict[tuple[int, str], list[Any]] = defaultdict(list)
    for row in answered:
        same[row.task_id, row.question].append(row)
    for given in same.values():
        yield from itertools.combinations(given, 2)


def _annotator(
    rows: Sequence[Any],
    known: Mapping[int, Mapping[str, Any]],
    agreed: Sequence[tuple[float, int]],
    by_name: Mapping[str, Question],
) -> AnnotatorFigures:
    answered = [row for row in rows if row.state == "answer" and row.question in by_name]
    right = [
        (float(by_name[row.question].equal(row.answer, known[row.task_id][row.question])), row.task_id)
        for row in answered
        if row.question in known.get(row.task_id, {})
    ]
    first = [
        (float(row.answer["choice"] == row.shown[0]), row.task_id)
        for row in answered
        if isinstance(by_name[row.question], PairwiseQuestion)
        and row.role != MODEL_ROLE
        and row.answer["choice"] in (0, 1)
    ]
    times = [row.seconds for row in answered if row.seconds is not None]
    return AnnotatorFigures(
        name=rows[0].name,
        role=rows[0].role,
        judged=len({row.task_id for row in answered}),
        skipped=len({row.task_id for row in rows if row.state == "skip"}),
        seconds=float(np.median(times)) if times else None,
        gold=_share(right),
        others=_share(agreed),
        first=_share(first),
    )


def _share(values: Sequence[tuple[float, int]]) -> Interval | None:
    if not values:
        return None
    return clustered_mean([value for value, _ in values], [task for _, task in values]).share
