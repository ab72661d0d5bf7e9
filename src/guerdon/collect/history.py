"""What a person has judged."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from guerdon.collect.store_tables import judgements, tasks
from guerdon.collect.tasks import stored_task
from guerdon.types import Prompt, message_text

if TYPE_CHECKING:
    from guerdon.collect.kinds.asking import Task

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class JudgedTask:
    """A task with what its person last said of it."""

    id: int
    task: Task
    state: str
    """answer, skip or undone."""
    answers: Mapping[str, Any]
    at: datetime.datetime

    @property
    def beginning(self) -> str:
        """As `beginning` has it."""
        return beginning(self.task.prompt)


def beginning(prompt: Prompt) -> str:
    """The first words of a prompt, of a dialogue those of its last message, on one line."""
    text = " ".join((prompt if isinstance(prompt, str) else message_text(prompt[-1])).split())
    return text if len(text) <= 120 else f"{text[:117]}..."


def judged_tasks(connection: Connection, person: int, count: int = _SHOWN) -> list[JudgedTask]:
    """The last tasks that a person judged, the newest first."""
    newer = judgements.alias()
    rows = connection.execute(
        select(judgements, tasks.c.content)
        .join(tasks, tasks.c.id == judgements.c.task_id)
        .where(
            judgements.c.person_id == person,
            ~select(newer.c.id).where(newer.c.supersedes == judgements.c.id).exists(),
        )
        .order_by(judgements.c.id.desc())
        .limit(count * 5)
    ).all()
    found: dict[int, JudgedTask] = {}
    for row in rows:
        if row.task_id in found:
            found[row.task_id].answers[row.question] = row.answer  # type: ignore[index]  # ours
        elif len(found) < count:
            at = datetime.datetime.fromtimestamp(row.at).astimezone()
            found[row.task_id] = JudgedTask(
                row.task_id, stored_task(row.content), row.state, {row.question: row.answer}, at
            )
    return list(found.values())
