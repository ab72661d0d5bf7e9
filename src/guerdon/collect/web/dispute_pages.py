"""For reviewers and admins: the tasks on which people differ, and the final labels that they get."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response
from sqlalchemy import select

from guerdon.collect.adjudicating import final_labels, settle, take_back
from guerdon.collect.assigning import Assigned, shown_order
from guerdon.collect.disputes import Dispute, find_disputes
from guerdon.collect.history import beginning
from guerdon.collect.kinds.asking import Answer, AnswerError
from guerdon.collect.rows_out import current_judgements
from guerdon.collect.store_tables import tasks
from guerdon.collect.tasks import stored_task
from guerdon.collect.web.judge_pages import answered, guidelines_version, shown_task
from guerdon.collect.web.site import Asking, Form, Reviewer, form_key

router = APIRouter()
_SHOWN = 50


def open_disputes(ask: Asking) -> list[Dispute]:
    """The tasks that wait for a reviewer."""
    store = ask.site.store
    return ask.site.worked_out(
        "disputes", lambda connection: find_disputes(connection, store.questions(connection))
    )  # fmt: skip


@router.get("/disputed")
def disputed(ask: Reviewer) -> Response:
    """The queue, and what was settled, the newest first."""
    with ask.site.store.reading() as connection:
        questions = ask.site.store.questions(connection)
        settled: dict[int, list[Any]] = {}
        for row in sorted(final_labels(connection).values(), key=lambda row: -row.id):
            settled.setdefault(row.task_id, []).append(row)
        newest = dict(list(settled.items())[:_SHOWN])
        query = select(tasks.c.id, tasks.c.content).where(tasks.c.id.in_(newest))
        prompts = {row.id: beginning(stored_task(row.content).prompt) for row in connection.execute(query)}
    done = [(task, rows, prompts[task]) for task, rows in newest.items()]
    waiting = open_disputes(ask)
    rows = [(one, beginning(one.prompt)) for one in waiting[:_SHOWN]]
    return ask.page(
        "disputed.html.j2",
        questions=questions,
        waiting=rows,
        count=len(waiting),
        settled=done,
        settled_count=len(settled),
    )


@router.get("/disputed/next")
def next_dispute(ask: Reviewer, after: int = 0) -> Response:
    """The task that one is least sure of, or the one behind another that is left for later."""
    waiting = [one.task for one in open_disputes(ask)]
    at = waiting.index(after) + 1 if after in waiting else 0
    return ask.go(f"/disputed/{waiting[at]}" if at < len(waiting) else "/disputed")


@router.get("/disputed/{task}")
def dispute(ask: Reviewer, task: int) -> Response:
    """A task with all that was judged of it, and the form for what stands."""
    return _dispute_page(ask, _opened(ask, task))


@router.post("/disputed/{task}")
def settled(ask: Reviewer, task: int, form: Form) -> Response:
    """Stores the final labels of the questions that the form answers."""
    store, opened = ask.site.store, _opened(ask, task)
    with store.reading() as connection:
        judged = [question for question in store.questions(connection) if question.name in opened.judged]
    answers: dict[str, Answer] = {}
    try:
        for question in judged:
            if any(name.startswith(f"{question.name}.") for name in form):
                answers[question.name] = answered(question, form, opened.shown)
    except AnswerError:
        answers = {}
    if not answers:
        if ask.request.headers.get("x-guerdon"):
            raise HTTPException(422, "not_complete")
        return _dispute_page(ask, opened, status=422, fault="not_complete")
    order, version = opened.shown.shown, guidelines_version(form)
    settle(store, ask.known.id, task, answers, token=form_key(form), shown=order, guidelines=version)
    return ask.go("/disputed/next")


@router.post("/disputed-undo")
def taken_back(ask: Reviewer, form: Form) -> Response:
    """Takes the last final label back that one gave, and shows its task again."""
    found = take_back(ask.site.store, ask.known.id, form_key(form))
    return ask.go("/disputed" if found is None else f"/disputed/{found}")


@dataclass(frozen=True, slots=True)
class _Opened:
    """A task before a reviewer."""

    shown: Assigned
    """As this reviewer sees it, with the final labels that it has."""
    judged: Mapping[str, Sequence[Any]]
    """Question -> its judgements, those of models too."""
    reviewers: Mapping[str, str]
    """Question -> who gave its final label."""


def _opened(ask: Asking, number: int) -> _Opened:
    with ask.site.store.reading() as connection:
        given = current_judgements(connection, "all", task=number)
        finals = {name: row for (_, name), row in final_labels(connection, number).items()}
    if not given:
        ask.refuse(404, "not_found")
    task = stored_task(given[0].content)
    order = shown_order(ask.site.secret, ask.known.id, number, len(task.responses))
    judged: dict[str, list[Any]] = {}
    for row in given:
        judged.setdefault(row.question, []).append(row)
    answers = {name: row.answer for name, row in finals.items()}
    return _Opened(
        Assigned(number, task, order, answers, 0.0), judged, {name: row.reviewer for name, row in finals.items()}
    )  # fmt: skip


def _dispute_page(ask: Asking, opened: _Opened, *, status: int = 200, fault: str = "") -> Response:
    waiting = open_disputes(ask)
    this = next((one for one in waiting if one.task == opened.shown.id), None)
    wanted = {*opened.reviewers, *(this.questions if this is not None else ())} or opened.judged.keys()
    shown = shown_task(ask, opened.shown)
    questions = [one for one in shown["project"].questions if one.name in wanted and one.name in opened.judged]
    where = [opened.shown.shown.index(place) for place in range(len(opened.shown.shown))]
    return ask.page(
        "dispute.html.j2",
        status=status,
        fault=fault,
        judged={
            one.name: [(row, one.moved(row.answer, where)) for row in opened.judged[one.name]] for one in questions
        },
        questions=questions,
        sure=None if this is None else this.sure,
        left=len(waiting),
        reviewers=opened.reviewers,
        **shown,
    )
