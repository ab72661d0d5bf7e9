"""Which tasks chance draws and which are chosen: what the store says of them, and the order it asks in."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sqlalchemy import Connection, bindparam, func, or_, select

from guerdon.collect.adjudicating import final_labels
from guerdon.collect.rows_out import chosen_question, current_judgements
from guerdon.collect.store_tables import rounds, tasks
from guerdon.collect.tasks import place_by_chance, stored_task
from guerdon.types import Comparison

if TYPE_CHECKING:
    from guerdon.collect.kinds.asking import Question
    from guerdon.collect.store import CollectStore

Arm: TypeAlias = Literal["chosen", "random"]
_TOGETHER = 500


@dataclass(frozen=True, slots=True)
class Label:
    """A task that people judged."""

    row: Comparison
    arm: Arm | None
    """How it came to be asked; None for tasks in the order of the data, or behind all that were put into an order."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A task that nobody has."""

    id: int
    arm: Arm
    """Whether it may be chosen, or only drawn by chance: fixed for each task, by its digest."""


def read_labels(connection: Connection, asked: Question) -> list[Label]:
    """What people judged, pooled by task; where a dispute was settled, its final label."""
    of_task: dict[int, list[Any]] = {}
    for row in current_judgements(connection, "people"):
        if row.question == asked.name:
            of_task.setdefault(row.task_id, []).append(row)
    arms, finals = _arms(connection), final_labels(connection)
    found = []
    for task_id, judged in of_task.items():
        task, final = stored_task(judged[0].content), finals.get((task_id, asked.name))
        (row,) = asked.rows(task, [final.answer] if final else [one.answer for one in judged], task.about)
        assert isinstance(row, Comparison)
        found.append(Label(row, arms.get(task_id)))
    return found


def count_judged(store: CollectStore, question: str | None) -> int:
    """How many tasks people have judged."""
    with store.reading() as connection:
        name = chosen_question(store.questions(connection), question).name
        return len({row.task_id for row in current_judgements(connection, "people") if row.question == name})


def read_waiting(connection: Connection, random_share: float) -> list[Waiting]:
    """The tasks that nobody has, in an order drawn by chance that is always the same."""
    query = select(tasks.c.id, tasks.c.digest).where(tasks.c.taken == 0, tasks.c.gold.is_(False))
    return [
        Waiting(row.id, "random" if int(row.digest[-7:], 16) < random_share * 16**7 else "chosen")
        for row in connection.execute(query.order_by(tasks.c.digest))
    ]


def read_pairs(connection: Connection, ids: Sequence[int]) -> list[Comparison]:
    """The two responses of tasks as a comparison that says nothing yet."""
    contents: dict[int, Mapping[str, Any]] = {}
    for begin in range(0, len(ids), _TOGETHER):
        query = select(tasks.c.id, tasks.c.content).where(tasks.c.id.in_(ids[begin : begin + _TOGETHER]))
        contents |= {row.id: row.content for row in connection.execute(query)}
    found = [stored_task(dict(contents[one])) for one in ids]
    return [
        Comparison(prompt=task.prompt, chosen=task.responses[0], rejected=task.responses[1], **task.about)
        for task in found
    ]


def mixed(chosen: Sequence[int], drawn: Sequence[int], random_share: float) -> Iterator[tuple[int, Arm]]:
    """Both in their order, so that of the first n the share is drawn, rounded down; ends where one of them ends."""
    picked, by_chance = iter(chosen), iter(drawn)
    place = 0
    while True:
        place += 1
        arm: Arm = "random" if int(place * random_share + 1e-9) > int((place - 1) * random_share + 1e-9) else "chosen"
        task = next(by_chance if arm == "random" else picked, None)
        if task is None:
            return
        yield task, arm


def write_round(store: CollectStore, order: Sequence[tuple[int, Arm]], record: Mapping[str, Any]) -> None:
    """Lets the store ask in this order, and keeps the record: both, or neither.

    What somebody took meanwhile stays as it is.
    """
    with store.writing() as connection:
        for task_id, arm in _arms(connection).items():  # those of before the first round
            connection.execute(tasks.update().where(tasks.c.id == task_id, tasks.c.arm.is_(None)).values(arm=arm))
        number = (connection.execute(select(func.max(rounds.c.id))).scalar() or 0) + 1
        connection.execute(rounds.insert().values(id=number, at=time.time(), record=dict(record)))
        free = tasks.c.taken == 0, tasks.c.gold.is_(False)
        ordered = or_(tasks.c.priority != 0, tasks.c.arm.is_not(None))
        connection.execute(tasks.update().where(*free, ordered).values(priority=0, arm=None, round=None))
        ranked = tasks.update().where(tasks.c.id == bindparam("task"), *free)
        ranked = ranked.values(priority=bindparam("first"), arm=bindparam("how"), round=number)
        values = [
            {"task": task_id, "first": 1 - place / len(order), "how": arm} for place, (task_id, arm) in enumerate(order)
        ]
        if values:
            connection.execute(ranked, values)


def _arms(connection: Connection) -> dict[int, Arm]:
    """The arm of each task that somebody has; before the first round chance drew all, unless --in-order did."""
    first = connection.execute(select(rounds.c.id).limit(1)).first() is None
    found: dict[int, Arm] = {}
    for row in connection.execute(
        select(tasks.c.id, tasks.c.arm, tasks.c.place, tasks.c.digest).where(tasks.c.taken > 0, tasks.c.gold.is_(False))
    ):
        if row.arm is not None:
            found[row.id] = row.arm
        elif first and row.place == place_by_chance(row.digest):
            found[row.id] = "random"
    return found
