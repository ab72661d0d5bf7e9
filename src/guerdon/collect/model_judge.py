"""A reward or a judge as an annotator: what it says is stored beside people's, under its own name and role."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, select

from guerdon.collect.accounts import MODEL_ROLE, ensure_person
from guerdon.collect.kinds.asking import Question, Task
from guerdon.collect.rows_out import chosen_question
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import assignments, judgements, tasks
from guerdon.collect.tasks import stored_task
from guerdon.errors import ConfigError
from guerdon.rewards.comparing import compare_pairs
from guerdon.rewards.scoring import score_texts
from guerdon.types import Comparer, Scorer

_TOGETHER = 256


@dataclass(frozen=True, slots=True)
class ModelJudged:
    """What a model did."""

    judged: int
    without_verdict: int
    """Tasks that it could say nothing of; they are stored as skipped, with the reason."""
    known: int
    """Tasks that it had judged before."""


def judge_by_model(store: CollectStore, name: str, model: Scorer | Comparer, question: str | None) -> ModelJudged:
    """Lets a model judge all tasks that it has not judged yet; it takes no task from people."""
    with store.reading() as connection:
        asked = chosen_question(store.questions(connection), question)
        _, version = store.project(connection)
    if asked.scored([0.0, 1.0]) is None:
        raise ConfigError(f"a reward cannot answer {asked.name}: its kind is {asked.kind}. Possible: pairwise, ranking")
    person = ensure_person(store, name, MODEL_ROLE)
    done = exists().where(
        judgements.c.task_id == tasks.c.id,
        judgements.c.person_id == person.id,
        judgements.c.question == asked.name,
    )
    with store.reading() as connection:
        everything = len(connection.execute(select(tasks.c.id)).all())
        waiting = connection.execute(select(tasks.c.id).where(~done).order_by(tasks.c.id)).scalars().all()
    missing = 0
    for begin in range(0, len(waiting), _TOGETHER):
        batch = waiting[begin : begin + _TOGETHER]
        with store.reading() as connection:
            rows = connection.execute(select(tasks.c.id, tasks.c.content).where(tasks.c.id.in_(batch))).all()
        found = [stored_task(row.content) for row in rows]
        verdicts = _verdicts(model, asked, found)
        with store.writing() as connection:
            for row, task, (scores, reason) in zip(rows, found, verdicts, strict=True):
                answer = None if reason else asked.scored(scores)
                missing += answer is None
                _store(connection, person.id, row.id, asked, task, version, answer, scores, reason)
    return ModelJudged(len(waiting) - missing, missing, everything - len(waiting))


def _verdicts(model: Scorer | Comparer, asked: Question, found: Sequence[Task]) -> list[tuple[list[float], str]]:
    """For each task a number for each response, or why there is none."""
    references = [task.about.get("reference") for task in found]
    if isinstance(model, Scorer):
        prompts = [task.prompt for task in found for _ in task.responses]
        texts = [text for task in found for text in task.responses]
        known = [reference for task, reference in zip(found, references, strict=True) for _ in task.responses]
        rewards = score_texts(model, prompts, texts, known if any(known) else None)
        values, reasons = iter(rewards.values.tolist()), iter(rewards.reasons)
        return [
            ([next(values) for _ in task.responses], next(filter(None, [next(reasons) for _ in task.responses]), ""))
            for task in found
        ]
    if asked.takes != "pair":
        raise ConfigError(
            f"what only compares cannot answer {asked.name}: its kind is {asked.kind}. Possible: pairwise"
        )
    pairs = [
        tuple((task.prompt, text, reference) for text in task.responses)
        for task, reference in zip(found, references, strict=True)
    ]
    chances, why = compare_pairs(model, pairs)  # type: ignore[arg-type]  # pairs of two
    return [
        ([float(p), 1 - float(p)], reason or ("" if math.isfinite(p) else "no verdict"))
        for p, reason in zip(chances, why, strict=True)
    ]


def _store(
    connection: Any, person: int, task_id: int, asked: Question, task: Task, version: int, answer: Any,
    scores: Sequence[float], reason: str,
) -> None:  # fmt: skip
    said = {"reason": reason[:500]} if answer is None else answer
    if isinstance(said, dict) and answer is not None:
        said = said | {"scores": [round(score, 6) for score in scores]}
    state = "skip" if answer is None else "answer"
    connection.execute(
        judgements.insert().values(
            token=f"model {person} {task_id}",
            person_id=person,
            task_id=task_id,
            question=asked.name,
            state=state,
            answer=said,
            shown=list(range(len(task.responses))),
            guidelines=version,
            at=time.time(),
        )
    )
    held = assignments.c.person_id == person, assignments.c.task_id == task_id
    if connection.execute(select(assignments.c.state).where(*held)).first() is None:
        values = {"person_id": person, "task_id": task_id, "state": "done", "at": time.time()}
        connection.execute(assignments.insert().values(values))
