"""Which task a person gets next: one at a time, each by as many people as are wanted."""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, exists, func, select

from guerdon.collect.kinds.asking import Answer, Task
from guerdon.collect.store_tables import assignments, judgements, tasks
from guerdon.collect.tasks import stored_task
from guerdon.errors import GuerdonError

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore

LEASE_SECONDS = 30 * 60
"""After this long a task that somebody opened and left may go to others."""


class RefusedError(GuerdonError):
    """Something that this person may not do."""


@dataclass(frozen=True, slots=True)
class Assigned:
    """A task in a person's hands."""

    id: int
    task: Task
    shown: tuple[int, ...]
    """The places of the responses in the order in which they are shown."""
    answers: Mapping[str, Answer]
    """What the person answered before, by question."""
    since: float


def shown_order(secret: bytes, person: int, task: int, count: int) -> tuple[int, ...]:
    """The order in which a person is shown the responses of a task: by chance, and the same after a reload."""
    seed = hmac.new(secret, f"order {person} {task}".encode(), hashlib.sha256).digest()
    return tuple(random.Random(seed).sample(range(count), count))


def next_task(
    store: CollectStore, secret: bytes, person: int, *, overlap: int = 1, gold_every: int = 0
) -> Assigned | None:
    """The task that a person works on, or else the next one, from then on theirs; None where there is none.

    Of the tasks that fewer than `overlap` people have, the one of highest `priority` comes first, then by `place`.
    With `gold_every` n, about one of n tasks is one whose answer is known.
    """
    with store.reading() as connection:
        mine = connection.execute(
            select(assignments.c.task_id, assignments.c.at)
            .where(assignments.c.person_id == person, assignments.c.state == "open")
            .order_by(assignments.c.at.desc())
            .limit(1)
        ).first()
        if mine:
            return assigned_task(connection, secret, person, mine.task_id, mine.at)
    with store.writing(synced=False) as connection:
        chosen = None
        if gold_every and _draw(secret, person, connection) < 1 / gold_every:
            chosen = _pick(connection, person, gold=True)
        if chosen is None:
            chosen = _pick(connection, person, overlap=overlap)
        if chosen is None and _release(connection, person):
            chosen = _pick(connection, person, overlap=overlap)
        if chosen is None:
            return None
        now = time.time()
        connection.execute(
            assignments.delete().where(assignments.c.person_id == person, assignments.c.task_id == chosen)
        )
        connection.execute(assignments.insert().values(person_id=person, task_id=chosen, state="open", at=now))
        connection.execute(tasks.update().where(tasks.c.id == chosen).values(taken=tasks.c.taken + 1))
        return assigned_task(connection, secret, person, chosen, now)


def _pick(connection: Connection, person: int, *, overlap: int = 1, gold: bool = False) -> int | None:
    theirs = exists().where(
        assignments.c.person_id == person, assignments.c.task_id == tasks.c.id, assignments.c.state != "lapsed"
    )
    query = select(tasks.c.id).where(tasks.c.gold.is_(gold), ~theirs)
    if not gold:
        query = query.where(tasks.c.taken < overlap)
    query = query.order_by(tasks.c.priority.desc(), tasks.c.place, tasks.c.id).limit(1)
    found: int | None = connection.execute(query.with_for_update(skip_locked=True)).scalar()
    return found


def _draw(secret: bytes, person: int, connection: Connection) -> float:
    """A number in [0, 1) that is fixed for the next task of a person."""
    count = connection.execute(select(func.count()).where(assignments.c.person_id == person)).scalar_one()
    return random.Random(hmac.new(secret, f"gold {person} {count}".encode(), hashlib.sha256).digest()).random()


def _release(connection: Connection, person: int) -> bool:
    """Lets others have the tasks that people opened long ago and left; whether there were any.

    Who comes back to such a task may still send it.
    """
    left = connection.execute(
        select(assignments.c.person_id, assignments.c.task_id).where(
            assignments.c.state == "open",
            assignments.c.person_id != person,
            assignments.c.at < time.time() - LEASE_SECONDS,
        )
    ).all()
    for holder, task in left:
        connection.execute(
            assignments.update()
            .where(assignments.c.person_id == holder, assignments.c.task_id == task)
            .values(state="lapsed")
        )
        connection.execute(tasks.update().where(tasks.c.id == task).values(taken=tasks.c.taken - 1))
    return bool(left)


def assigned_task(connection: Connection, secret: bytes, person: int, task: int, since: float) -> Assigned:
    """A task with the order in which the person is shown it, and what they answered."""
    content = connection.execute(select(tasks.c.content).where(tasks.c.id == task)).scalar_one()
    found = stored_task(content)
    order = shown_order(secret, person, task, len(found.responses))
    answers = {
        row.question: row.answer
        for row in latest_judgements(connection, person, task)
        if row.state == "answer" or (row.state == "undone" and row.answer is not None)
    }
    return Assigned(task, found, order, answers, since)


def open_task(store: CollectStore, secret: bytes, person: int, task: int) -> Assigned:
    """A task that this person has or had, to be looked at or judged anew.

    Raises:
        RefusedError: it is not theirs.
    """
    with store.reading() as connection:
        row = assignment_of(connection, person, task)
        return assigned_task(connection, secret, person, task, row.at)


def assignment_of(connection: Connection, person: int, task: int) -> Any:
    """What the store knows of a person's task; RefusedError where it is not theirs."""
    row = connection.execute(
        select(assignments).where(assignments.c.person_id == person, assignments.c.task_id == task)
    ).first()
    if row is None:
        raise RefusedError("this task is not yours")
    return row


def latest_judgements(connection: Connection, person: int, task: int) -> Sequence[Any]:
    """The judgements of a person of a task that nothing replaced."""
    newer = judgements.alias()
    return connection.execute(
        select(judgements).where(
            judgements.c.person_id == person,
            judgements.c.task_id == task,
            ~select(newer.c.id).where(newer.c.supersedes == judgements.c.id).exists(),
        )
    ).all()
