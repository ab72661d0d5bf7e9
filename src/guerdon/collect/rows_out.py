"""Judgements as rows: one for each, or pooled by task; questions stay apart, and models never mix in unasked.

What a reviewer decided of a disputed task stands in place of its judgements.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from guerdon.collect.accounts import MODEL_ROLE
from guerdon.collect.adjudicating import final_labels
from guerdon.collect.collect_config import Who
from guerdon.collect.store_tables import judgements, people, tasks
from guerdon.collect.tasks import stored_task
from guerdon.errors import DataError
from guerdon.types import AnyRow, Comparison

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from guerdon.collect.kinds.asking import Question, Task
    from guerdon.collect.store import CollectStore

OWN_COLUMNS = (
    *("annotator", "annotator_kind", "annotators", "judged_at", "seconds", "guidelines", "shown_first", "answers"),
    *("votes", "both_bad", "adjudicated_by"),
)
"""What rows say of their judgement; columns of the data with these names become `data_NAME`."""


def judged_rows(
    store: CollectStore,
    *,
    question: str | None = None,
    pool: bool = False,
    who: Who = "people",
    final: bool = True,
) -> list[AnyRow]:
    """The rows of what was judged, see `guerdon.collect.collection_run.export_judgements`; gold tasks are left out."""
    with store.reading() as connection:
        asked = chosen_question(store.questions(connection), question)
        found = current_judgements(connection, who)
        finals = final_labels(connection) if final and who != "models" else {}
    of_task: dict[int, list[Any]] = {}
    for row in found:
        if row.question == asked.name:
            of_task.setdefault(row.task_id, []).append(row)
    if not of_task:
        raise DataError(f"{store.place}: nobody has answered {asked.name} yet")
    rows: list[AnyRow] = []
    single = dict[int, list[AnyRow]]()
    for place, row in judgement_rows(found, asked):
        single.setdefault(found[place].task_id, []).append(row)
    for number, judged in of_task.items():
        task, names = stored_task(judged[0].content), [row.annotator for row in judged]
        decided = finals.get((number, asked.name))
        if decided is not None:
            said = {"adjudicated_by": decided.reviewer, "annotators": names} | _when(decided)
            made = asked.rows(task, [decided.answer], _about(task, said))
            rows += [_with_order(one, task, decided.shown) for one in made]
        elif pool:
            rows += asked.rows(task, [row.answer for row in judged], _about(task, {"annotators": names}))
        else:
            rows += single[number]
    return rows


def judgement_rows(found: Sequence[Any], asked: Question) -> Iterator[tuple[int, AnyRow]]:
    """Rows of each judgement of one question, with the place of the judgement in `found` (of `current_judgements`)."""
    others: dict[tuple[int, int], dict[str, Any]] = {}
    for row in found:
        if row.question != asked.name:
            others.setdefault((row.task_id, row.person_id), {})[row.question] = row.answer
    for place, row in enumerate(found):
        if row.question == asked.name:
            task = stored_task(row.content)
            said = _said(task, row, others.get((row.task_id, row.person_id)))
            for one in asked.rows(task, [row.answer], said):
                yield place, _with_order(one, task, row.shown)


def chosen_question(questions: Sequence[Question], name: str | None) -> Question:
    """The question whose answers go out.

    Raises:
        DataError: there is none of this name, or several and none is named.
    """
    names = ", ".join(question.name for question in questions)
    if name is None and len(questions) > 1:
        raise DataError(f"several questions were asked: {names}. Fix: choose one, --question NAME")
    for question in questions:
        if name in (None, question.name):
            return question
    raise DataError(f"there is no question {name!r}; questions: {names}")


def current_judgements(connection: Connection, who: Who, task: int | None = None) -> Sequence[Any]:
    """The answers that nothing replaced, with annotator and task, gold tasks aside; of one task or of all."""
    newer = judgements.alias()
    query = (
        select(judgements, people.c.name.label("annotator"), people.c.role, tasks.c.content)
        .join(people, people.c.id == judgements.c.person_id)
        .join(tasks, tasks.c.id == judgements.c.task_id)
        .where(
            judgements.c.state == "answer",
            tasks.c.gold.is_(False),
            ~select(newer.c.id).where(newer.c.supersedes == judgements.c.id).exists(),
        )
        .order_by(judgements.c.id)
    )
    if task is not None:
        query = query.where(judgements.c.task_id == task)
    if who != "all":
        query = query.where((people.c.role == MODEL_ROLE) if who == "models" else (people.c.role != MODEL_ROLE))
    return connection.execute(query).all()


def _said(task: Task, row: Any, beside: Mapping[str, Any] | None) -> dict[str, Any]:
    said = {"annotator": row.annotator} | _when(row)
    if row.role == MODEL_ROLE:
        said["annotator_kind"] = MODEL_ROLE
    if row.seconds is not None:
        said["seconds"] = round(row.seconds, 1)
    if beside:
        said["answers"] = dict(beside)
    return _about(task, said)


def _when(row: Any) -> dict[str, Any]:
    at = datetime.datetime.fromtimestamp(row.at, datetime.UTC).isoformat(timespec="seconds")
    return {"judged_at": at, "guidelines": row.guidelines}


def _about(task: Task, said: Mapping[str, Any]) -> dict[str, Any]:
    about = dict(task.about)
    own = {f"data_{name}" if name in OWN_COLUMNS else name: value for name, value in about.pop("extra", {}).items()}
    return about | {"extra": own | dict(said)}


def _with_order(row: AnyRow, task: Task, shown: Sequence[int]) -> AnyRow:
    """The row with what was shown first, by which a preference for the first place can be found."""
    if not isinstance(row, Comparison) or len(shown) < 2:
        return row
    first = "chosen" if row.chosen == task.responses[shown[0]] else "rejected"
    return replace(row, extra={**row.extra, "shown_first": first})
