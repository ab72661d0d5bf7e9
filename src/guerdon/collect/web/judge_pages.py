"""Judging: the task in hand, what is sent of it, undo, and what one has judged."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException
from fastapi.responses import Response

from guerdon.collect.assigning import Assigned, RefusedError, next_task, open_task
from guerdon.collect.history import judged_tasks
from guerdon.collect.kinds.asking import Answer, AnswerError, Question, Task
from guerdon.collect.pace import free_tasks, progress
from guerdon.collect.recording import SKIP_REASONS, Judged, record, undo
from guerdon.collect.web.site import Annotator, Asking, Form, form_key

router = APIRouter()
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@router.get("/judge")
def judge(ask: Annotator) -> Response:
    """The next task, or the page that says that there is none."""
    site = ask.site
    found = next_task(site.store, site.secret, ask.known.id, overlap=site.overlap, gold_every=site.gold_every)
    if found is None:
        more = site.live is not None and site.live.working
        with site.store.reading() as connection:
            free = free_tasks(connection, site.overlap)
            far = progress(connection, ask.known.id, free, overlap=site.overlap)
        return ask.page("done.html.j2", more=more, progress=far)
    return _task_page(ask, found)


@router.get("/judge/{task}")
def judge_again(ask: Annotator, task: int) -> Response:
    """A task that was judged before."""
    return _task_page(ask, _opened(ask, task))


@router.post("/judge/{task}")
def judged(ask: Annotator, task: int, form: Form) -> Response:
    """Stores the answers to all questions, or the reason why there are none."""
    site = ask.site
    found = _opened(ask, task)
    token = form_key(form)
    skip = form.get("skip", "")
    answers: dict[str, Answer] = {}
    faults = []
    for question in site.asked[0].questions:
        if skip:
            answers[question.name] = {"reason": skip if skip in SKIP_REASONS else "other"}
            continue
        try:
            answers[question.name] = answered(question, form, found)
        except AnswerError as error:
            faults.append(str(error))
    if faults:
        if ask.request.headers.get("x-guerdon"):
            raise HTTPException(422, "not_complete")
        return _task_page(ask, found, status=422, fault="not_complete")
    seconds = None
    with contextlib.suppress(ValueError):
        seconds = float(form.get("seconds", ""))
    sent = Judged(
        token=token,
        answers=answers,
        skip=bool(skip),
        seconds=seconds if seconds is not None and seconds == seconds else None,
        guidelines=guidelines_version(form),
    )
    try:
        record(site.store, site.secret, ask.known.id, task, sent)
    except RefusedError:
        ask.refuse(403, "not_your_task")
    return ask.go("/judge")


@router.post("/undo")
def undone(ask: Annotator, form: Form) -> Response:
    """Takes the last judgement back, and shows its task again."""
    found = undo(ask.site.store, ask.known.id, form_key(form))
    return ask.go("/judge" if found is None else f"/judge/{found}")


@router.get("/mine")
def mine(ask: Annotator) -> Response:
    """What one has judged, the newest first."""
    with ask.site.store.reading() as connection:
        found = judged_tasks(connection, ask.known.id)
    return ask.page("mine.html.j2", judged=found, questions=ask.site.asked[0].questions)


def answered(question: Question, form: Mapping[str, str], found: Assigned) -> Answer:
    """The answer that a form holds, responses named by their places in the task; AnswerError where there is none."""
    shown = Task(found.task.prompt, tuple(found.task.responses[place] for place in found.shown), steps=found.task.steps)
    return question.moved(question.answer(form, shown), found.shown)


def guidelines_version(form: Mapping[str, str]) -> int:
    """Which guidelines stood beside the form."""
    version = form.get("guidelines", "")
    return int(version) if version.isascii() and version.isdigit() and len(version) < 9 else 1


def _opened(ask: Asking, task: int) -> Assigned:
    try:
        with ask.site.store.reading() as connection:
            return open_task(connection, ask.site.secret, ask.known.id, task)
    except RefusedError:
        ask.refuse(403, "not_your_task")


def _task_page(ask: Asking, found: Assigned, *, status: int = 200, fault: str = "") -> Response:
    with ask.site.store.reading() as connection:
        far = progress(connection, ask.known.id, ask.site.free.count(connection), overlap=ask.site.overlap)
    return ask.page(
        "judge.html.j2", status=status, fault=fault, reasons=SKIP_REASONS, progress=far, **shown_task(ask, found)
    )


def shown_task(ask: Asking, found: Assigned) -> dict[str, Any]:
    """What the templates that show a task and its form need to know."""
    project, version = ask.site.asked
    where = [found.shown.index(place) for place in range(len(found.shown))]
    answers: Mapping[str, Answer] = {
        question.name: question.moved(found.answers[question.name], where) if question.name in found.answers else None
        for question in project.questions
    }
    prompt = found.task.prompt
    return {
        "task": found,
        "turns": [] if isinstance(prompt, str) else prompt,
        "plain_prompt": prompt if isinstance(prompt, str) else "",
        "responses": [found.task.responses[place] for place in found.shown],
        "letters": LETTERS,
        "project": project,
        "version": version,
        "answers": answers,
    }
