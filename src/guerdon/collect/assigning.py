"""Which task a person gets next: one at a time, each by as many people as are wanted."""

from __future__ import annotations

import hashlib
import hmac
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import BindParameter, Connection, bindparam, exists, func, select

from guerdon.collect.kinds.asking import Answer, Task
from guerdon.collect.store_tables import assignments, judgements, tasks
from guerdon.collect.tasks import stored_task
from guerdon.errors import GuerdonError

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore

LEASE_SECONDS = 30 * 60
"""After this long a task that somebody opened and left may go to others."""

# What every request asks is built once: to build a statement takes longer than to run it.
_PERSON: BindParameter[int] = bindparam("person")
_TASK: BindParameter[int] = bindparam("task")
_IN_HAND = (
    select(assignments.c.task_id, assignments.c.at)
    .where(assignments.c.person_id == _PERSON, assignments.c.state == "open")
    .order_by(assignments.c.at.desc())
    .limit(1)
)
_ASSIGNMENT = select(assignments).where(assignments.c.person_id == _PERSON, assignments.c.task_id == _TASK)
_FORGET = assignments.delete().where(assignments.c.person_id == _PERSON, assignments.c.task_id == _TASK)
_ASSIGN = assignments.insert()
TAKE = tasks.update().where(tasks.c.id == _TASK).values(taken=tasks.c.taken + bindparam("more"))
"""One more, or one less, has a task or has judged it."""
_CONTENT = select(tasks.c.content).where(tasks.c.id == _TASK)
_newer = judgements.alias()
_LATEST = select(judgements).where(
    judgements.c.person_id == _PERSON,
    judgements.c.task_id == _TASK,
    ~select(_newer.c.id).where(_newer.c.supersedes == judgements.c.id).exists(),
)
_THEIRS = exists().where(
    assignments.c.person_id == _PERSON, assignments.c.task_id == tasks.c.id, assignments.c.state != "lapsed"
)
_EVERYBODY = 2**31 - 1
"""So many people may judge a task whose answer is known."""
_IN_ORDER = (
    select(tasks.c.id)
    .where(tasks.c.gold == bindparam("gold"), ~_THEIRS, tasks.c.taken < bindparam("overlap"))
    .order_by(tasks.c.priority.desc(), tasks.c.place, tasks.c.id)
    .limit(1)
    .with_for_update(skip_locked=True)
)


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
        mine = connection.execute(_IN_HAND, {"person": person}).first()
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
        connection.execute(_FORGET, {"person": person, "task": chosen})
        connection.execute(_ASSIGN, {"person_id": person, "task_id": chosen, "state": "open", "at": now})
        connection.execute(TAKE, {"task": chosen, "more": 1})
        return assigned_task(connection, secret, person, chosen, now)


def _pick(connection: Connection, person: int, *, overlap: int = 1, gold: bool = False) -> int | None:
    given = {"person": person, "gold": gold, "overlap": _EVERYBODY if gold else overlap}
    found: int | None = connection.execute(_IN_ORDER, given).scalar()
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
        connection.execute(TAKE, {"task": task, "more": -1})
    return bool(left)


def task_of(connection: Connection, task: int) -> Task:
    """What a task asks."""
    return stored_task(connection.execute(_CONTENT, {"task": task}).scalar_one())


def assigned_task(connection: Connection, secret: bytes, person: int, task: int, since: float) -> Assigned:
    """A task with the order in which the person is shown it, and what they answered."""
    found = task_of(connection, task)
    order = shown_order(secret, person, task, len(found.responses))
    answers = {
        row.question: row.answer
        for row in latest_judgements(connection, person, task)
        if row.state == "answer" or (row.state == "undone" and row.answer is not None)
    }
    return Assigned(task, found, order, answers, since)


def open_task(connection: Connection, secret: bytes, person: int, task: int) -> Assigned:
    """A task that this person has or had, to be looked at or judged anew.

    Raises:
        RefusedError: it is not theirs.
    """
    return assigned_task(connection, secret, person, task, assignment_of(connection, person, task).at)


def assignment_of(connection: Connection, person: int, task: int) -> Any:
    """What the store knows of a person's task; RefusedError where it is not theirs."""
    row = connection.execute(_ASSIGNMENT, {"person": person, "task": task}).first()
    if row is None:
        raise RefusedError("this task is not yours")
    return row


def latest_judgements(connection: Connection, person: int, task: int) -> Sequence[Any]:
    """The judgements of a person of a task that nothing replaced."""
    return connection.execute(_LATEST, {"person": person, "task": task}).all()
