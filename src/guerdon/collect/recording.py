"""Judging: what is stored of an answer, and undo. Nothing is changed or deleted; a successor names what it replaces."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from guerdon.collect.assigning import TAKE, RefusedError, assignment_of, latest_judgements, shown_order, task_of
from guerdon.collect.kinds.asking import Answer
from guerdon.collect.store_tables import assignments, judgements

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore

_GIVEN_BACK = ("skipped", "lapsed")
"""States in which a task is not in the hands of its person."""
_HOLDER = select(judgements.c.person_id).where(judgements.c.token == bindparam("token")).limit(1)
_JUDGEMENT = judgements.insert()
_NOW_IN_STATE = assignments.update().where(
    assignments.c.person_id == bindparam("person"), assignments.c.task_id == bindparam("task")
)
SKIP_REASONS = ("unclear", "cannot_judge", "broken", "harmful", "other")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What comes with a form."""

    token: str
    answers: Mapping[str, Answer]
    """Question -> answer; for a skip the same reason for each."""
    skip: bool = False
    seconds: float | None = None
    guidelines: int = 1


def record(store: CollectStore, secret: bytes, person: int, task: int, judged: Judged) -> None:
    """Stores what a form says; a form that was stored before is left as it is.

    Raises:
        RefusedError: the task is not this person's, or the form is somebody else's.
    """
    try:
        with store.writing() as connection:
            _record(connection, secret, person, task, judged)
    except IntegrityError:  # the same form came twice at once, or another one for the same task
        with store.writing() as connection:
            _record(connection, secret, person, task, judged)


def _record(connection: Connection, secret: bytes, person: int, task: int, judged: Judged) -> None:
    if _stored(connection, person, judged.token):
        return
    before = assignment_of(connection, person, task)
    now, old = time.time(), {row.question: row.id for row in latest_judgements(connection, person, task)}
    shown = shown_order(secret, person, task, len(task_of(connection, task).responses))
    for question, answer in judged.answers.items():
        record = {
            "token": judged.token,
            "person_id": person,
            "task_id": task,
            "question": question,
            "state": "skip" if judged.skip else "answer",
            "answer": answer,
            "shown": list(shown),
            "seconds": None if judged.seconds is None else min(max(judged.seconds, 0.0), now - before.at + 1),
            "guidelines": judged.guidelines,
            "at": now,
            "supersedes": old.get(question),
        }
        connection.execute(_JUDGEMENT, record)
    state = "skipped" if judged.skip else "done"
    connection.execute(_NOW_IN_STATE, {"person": person, "task": task, "state": state, "at": now})
    # What one person skips is still to be judged by as many as before.
    change = (before.state in _GIVEN_BACK) - (state == "skipped")
    if change:
        connection.execute(TAKE, {"task": task, "more": change})


def _stored(connection: Connection, person: int, token: str) -> bool:
    holder = connection.execute(_HOLDER, {"token": token}).scalar()
    if holder is not None and holder != person:
        raise RefusedError("this form was sent by somebody else")
    return holder is not None


def undo(store: CollectStore, person: int, token: str) -> int | None:
    """Takes the last thing back that a person sent, by a record that says so; the task is theirs to judge again.

    Returns the task, None where there is nothing to undo. A request that comes twice undoes once.
    """
    with store.writing() as connection:
        if _stored(connection, person, token):
            found: int | None = connection.execute(
                select(judgements.c.task_id).where(judgements.c.token == token).limit(1)
            ).scalar()
            return found
        newer = judgements.alias()
        last = connection.execute(
            select(judgements)
            .where(
                judgements.c.person_id == person,
                judgements.c.state != "undone",
                ~select(newer.c.id).where(newer.c.supersedes == judgements.c.id).exists(),
            )
            .order_by(judgements.c.id.desc())
            .limit(1)
        ).first()
        if last is None:
            return None
        for row in latest_judgements(connection, person, last.task_id):
            connection.execute(
                judgements.insert().values(
                    token=token,
                    person_id=person,
                    task_id=row.task_id,
                    question=row.question,
                    state="undone",
                    answer=row.answer if row.state == "answer" else None,
                    shown=row.shown,
                    guidelines=row.guidelines,
                    at=time.time(),
                    supersedes=row.id,
                )
            )
        state = assignment_of(connection, person, last.task_id).state
        if state == "skipped":
            connection.execute(TAKE, {"task": last.task_id, "more": 1})
        connection.execute(_NOW_IN_STATE, {"person": person, "task": last.task_id, "state": "open", "at": time.time()})
        return int(last.task_id)
