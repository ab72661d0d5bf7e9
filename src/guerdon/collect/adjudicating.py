"""Final labels of disputed tasks: what a reviewer decides stands for all that was judged. Nothing is ever changed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import IntegrityError

from guerdon.collect.kinds.asking import Answer
from guerdon.collect.store_tables import adjudications, people

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore


def final_labels(connection: Connection, task: int | None = None) -> dict[tuple[int, str], Any]:
    """(task, question) -> the final label that stands, with the name of who gave it; of one task or of all."""
    query = select(adjudications, people.c.name.label("reviewer")).join(people).order_by(adjudications.c.id)
    if task is not None:
        query = query.where(adjudications.c.task_id == task)
    # The last of a chain stands; chains are short, so they are read as wholes.
    newest = {(row.task_id, row.question): row for row in connection.execute(query)}
    return {key: row for key, row in newest.items() if row.state == "final"}


def settle(
    store: CollectStore,
    person: int,
    task: int,
    answers: Mapping[str, Answer],
    *,
    token: str,
    shown: Sequence[int],
    guidelines: int,
) -> None:
    """Stores final labels of a task, by question; a form that was stored before is left as it is."""
    for last_try in (False, True):
        try:
            with store.writing() as connection:
                if _is_stored(connection, token):
                    return
                for question, answer in answers.items():
                    _add(connection, person, task, question, "final", answer, token, shown, guidelines)
            return
        except IntegrityError:  # two reviewers at once: the later one stands
            if last_try:
                raise


def take_back(store: CollectStore, person: int, token: str) -> int | None:
    """Takes the last final labels back that a person gave and that still stand; the task is disputed again.

    Returns the task, None where there is nothing to take back. A request that comes twice takes back once.
    """
    with store.writing() as connection:
        if _is_stored(connection, token):
            found: int | None = connection.execute(
                select(adjudications.c.task_id).where(adjudications.c.token == token).limit(1)
            ).scalar()
            return found
        own = [row for row in final_labels(connection).values() if row.person_id == person]
        if not own:
            return None
        last = max(own, key=lambda row: row.id)
        for row in own:
            if row.task_id == last.task_id:
                _add(
                    connection,
                    person,
                    row.task_id,
                    row.question,
                    "undone",
                    row.answer,
                    token,
                    row.shown,
                    row.guidelines,
                )
        return int(last.task_id)


def _is_stored(connection: Connection, token: str) -> bool:
    return (
        connection.execute(select(adjudications.c.id).where(adjudications.c.token == token).limit(1)).first()
        is not None
    )


def _add(
    connection: Connection, person: int, task: int, question: str, state: str, answer: Answer, token: str,
    shown: Sequence[int], guidelines: int,
) -> None:  # fmt: skip
    before = connection.execute(
        select(adjudications.c.id)
        .where(adjudications.c.task_id == task, adjudications.c.question == question)
        .order_by(adjudications.c.id.desc())
        .limit(1)
    ).scalar()
    connection.execute(
        adjudications.insert().values(
            token=token,
            person_id=person,
            task_id=task,
            question=question,
            state=state,
            answer=answer,
            shown=list(shown),
            guidelines=guidelines,
            at=time.time(),
            supersedes=before,
        )
    )
