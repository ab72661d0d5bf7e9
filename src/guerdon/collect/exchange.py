"""Judgements as other annotation tools have them: Label Studio's tasks with annotations, Argilla 2's records.

Both are read back by `guerdon.data`. All questions go into one file, each under its own name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from guerdon.collect.collect_config import Who
from guerdon.collect.kinds.asking import Task
from guerdon.collect.rows_out import current_judgements
from guerdon.collect.store import CollectStore
from guerdon.collect.tasks import stored_task
from guerdon.data.write import prompt_value
from guerdon.errors import DataError

_SIDES = ("left", "right")
"""What Label Studio's Pairwise calls the two."""


def label_studio_tasks(store: CollectStore, who: Who = "people") -> list[dict[str, Any]]:
    """Tasks with an annotation for each person; comparisons, and ratings of single responses.

    Raises:
        DataError: nothing is judged that can go out so.
    """
    found = []
    for task_id, task, judged in _by_task(store, who):
        names = [
            f"answer{place + 1}" if len(task.responses) > 1 else "response" for place in range(len(task.responses))
        ]
        annotations = []
        for person, answers in judged.items():
            results = [one for name, (kind, answer) in answers.items() for one in _results(name, kind, answer, names)]
            if results:
                annotations.append({"completed_by": person, "result": results})
        if annotations:
            data = {"prompt": prompt_value(task.prompt)} | dict(zip(names, task.responses, strict=True))
            found.append({"id": task_id, "data": data, "annotations": annotations})
    return _some(found, "Label Studio takes comparisons, and ratings of single responses")


def _results(name: str, kind: str, answer: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    if kind == "pairwise":
        choice = answer["choice"]
        if choice in (0, 1):
            value: dict[str, Any] = {"selected": _SIDES[choice]}
            return [{"from_name": name, "to_name": ",".join(names), "type": "pairwise", "value": value}]
        value = {"choices": ["tie (both bad)" if choice == "bad" else "tie"]}
        return [{"from_name": name, "to_name": names[0], "type": "choices", "value": value}]
    if kind == "rating" and len(names) == 1:
        return [
            {"from_name": attribute, "to_name": names[0], "type": "rating", "value": {"rating": score}}
            for attribute, score in answer[0].items()
        ]
    return []


def argilla_records(store: CollectStore, who: Who = "people") -> list[dict[str, Any]]:
    """Records with a response of each person to each question; comparisons, rankings, ratings of single responses.

    Raises:
        DataError: nothing is judged that can go out so.
    """
    found = []
    for task_id, task, judged in _by_task(store, who):
        names = [f"response-{place + 1}" for place in range(len(task.responses))]
        responses: dict[str, list[dict[str, Any]]] = {}
        for person, answers in judged.items():
            for name, (kind, answer) in answers.items():
                for question, value in _values(name, kind, answer, names):
                    given = {"value": value, "user_id": person, "status": "submitted"}
                    responses.setdefault(question, []).append(given)
        if responses:
            shown = {"prompt": prompt_value(task.prompt)} | dict(zip(names, task.responses, strict=True))
            found.append({"id": str(task_id), "fields": shown, "responses": responses})
    return _some(found, "Argilla takes comparisons, rankings, and ratings of single responses")


def _values(name: str, kind: str, answer: Any, names: Sequence[str]) -> list[tuple[str, Any]]:
    if kind == "pairwise":
        choice = answer["choice"]
        return [(name, names[choice] if choice in (0, 1) else "tie")]
    if kind == "ranking":
        ranked = [{"value": one, "rank": rank} for one, rank in zip(names, answer, strict=True) if rank is not None]
        return [(name, ranked)]
    if kind == "rating" and len(names) == 1:
        return list(answer[0].items())
    return []


def _by_task(store: CollectStore, who: Who) -> list[tuple[int, Task, Mapping[str, Mapping[str, tuple[str, Any]]]]]:
    """Each task with what each person answered: question -> kind and answer."""
    with store.reading() as connection:
        kinds = {question.name: question.kind for question in store.questions(connection)}
        rows = current_judgements(connection, who)
    found: dict[int, tuple[Task, dict[str, dict[str, tuple[str, Any]]]]] = {}
    for row in rows:
        _, judged = found.setdefault(row.task_id, (stored_task(row.content), {}))
        judged.setdefault(row.annotator, {})[row.question] = kinds[row.question], row.answer
    return [(task_id, task, judged) for task_id, (task, judged) in found.items()]


def _some(found: list[dict[str, Any]], takes: str) -> list[dict[str, Any]]:
    if not found:
        raise DataError(f"nothing is judged that can go out so: {takes}")
    return found
