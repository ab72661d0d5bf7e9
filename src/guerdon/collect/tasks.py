"""From data to tasks: what is asked of people, and put into the store once, however often it is read."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Unpack

from sqlalchemy import Connection, func, select

from guerdon.collect.kinds.asking import Question, Task
from guerdon.collect.store_tables import tasks
from guerdon.data.candidates import all_candidates
from guerdon.data.data_options import ColumnOptions
from guerdon.data.read import load_rows
from guerdon.data.values import plain
from guerdon.data.write import prompt_value
from guerdon.errors import DataError
from guerdon.text.messages import parse_messages
from guerdon.types import Candidates

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore

_BATCH = 500


@dataclass(frozen=True, slots=True)
class AddedTasks:
    """What `add_tasks` did."""

    new: int
    known: int
    """Tasks that the store had already."""


def read_tasks(source: str, takes: str, *, pairs: int = 3, **columns: Unpack[ColumnOptions]) -> Iterator[Task]:
    """The tasks of a source.

    Args:
        source: any data with a prompt and responses, judged or not; what it says of them is not shown.
        takes: how many responses a task has, see `Question.takes`.
        pairs: of more than two responses, how many pairs are drawn where a task takes two.
        columns: as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: a row cannot be used, or has too few responses.
    """
    for found in all_candidates(source, **columns):
        one = found.candidates
        if takes in ("pair", "several") and len(set(one.responses)) < 2:
            where = one.origin or source
            count = len(set(one.responses))
            raise DataError(
                f"{where}: comparing takes two different responses, and there is {count}. Fix: --questions rating, say"
            )
        steps = tuple(found.record["steps"]) if found.columns == ("steps",) else ()
        yield from candidate_tasks(one, steps, takes, pairs)


def read_gold(source: str, questions: Sequence[Question], **columns: Unpack[ColumnOptions]) -> Iterator[Task]:
    """Tasks whose answers the judgements of a source are.

    Raises:
        DataError: a row cannot be used, or answers none of the questions.
    """
    for row in load_rows(source, **columns):
        answers = {question.name: known for question in questions if (known := question.known(row))}
        if not answers:
            raise DataError(
                f"{row.origin or source}: a {type(row).__name__} answers none of the questions that are asked"
            )
        (responses, _), *_ = answers.values()
        gold = {name: answer for name, (_, answer) in answers.items()}
        yield Task(row.prompt, responses, gold=gold)


def candidate_tasks(one: Candidates, steps: tuple[str, ...], takes: str, pairs: int) -> Iterator[Task]:
    """The tasks of one prompt with its responses, see `read_tasks`."""
    names = ("reference", "subset", "group", "id", "extra")
    about = {name: value for name in names if (value := plain(getattr(one, name)))}

    def task(places: Sequence[int]) -> Task:
        responses = tuple(one.responses[place] for place in places)
        systems = tuple(one.systems[place] for place in places) if one.systems else ()
        return Task(one.prompt, responses, about, steps=steps if takes == "one" else (), systems=systems)

    places = list(range(len(one.responses)))
    if takes == "pair":
        found = [pair for pair in itertools.combinations(places, 2) if one.responses[pair[0]] != one.responses[pair[1]]]
        if len(found) > pairs:
            draw = random.Random(_digest([prompt_value(one.prompt), list(one.responses)]))
            found = sorted(draw.sample(found, pairs))
        yield from map(task, found)
    elif takes == "one":
        yield from (task([place]) for place in places)
    else:
        yield task(places)


def add_tasks(store: CollectStore, found: Iterable[Task], *, in_order: bool = False) -> AddedTasks:
    """Puts tasks into the store; those of the same prompt and responses are there once.

    They are asked in an order drawn by chance (from the texts, so that it is the same each time), or in that of the
    data.
    """
    new = known = 0
    stream = iter(found)
    while batch := list(itertools.islice(stream, _BATCH)):
        with store.writing() as connection:
            added = _add(connection, batch, in_order)
        new, known = new + added, known + len(batch) - added
    return AddedTasks(new, known)


def _add(connection: Connection, batch: Sequence[Task], in_order: bool) -> int:
    contents: dict[str, dict[str, Any]] = {}
    for task in batch:
        content = task_content(task)
        digest = _digest([content["prompt"], content["responses"], content.get("steps"), bool(task.gold)])
        contents.setdefault(digest, content)
    there = set(connection.execute(select(tasks.c.digest).where(tasks.c.digest.in_(contents))).scalars())
    last = connection.execute(select(func.max(tasks.c.place))).scalar() or 0
    rows = [
        {
            "digest": digest,
            "content": content,
            "place": last + at if in_order else place_by_chance(digest),
            "gold": "gold" in content,
        }
        for at, (digest, content) in enumerate(contents.items(), start=1)
        if digest not in there
    ]
    if rows:
        connection.execute(tasks.insert(), rows)
    return len(rows)


def place_by_chance(digest: str) -> int:
    """The place of a task that is asked in an order drawn by chance: from its texts, so that it is always the same."""
    return int(digest[:7], 16)


def count_tasks(store: CollectStore) -> int:
    """How many tasks a store has, gold ones aside."""
    with store.reading() as connection:
        return connection.execute(select(func.count()).where(tasks.c.gold.is_(False))).scalar_one()


def has_gold(store: CollectStore) -> bool:
    """Whether some tasks have a known answer."""
    with store.reading() as connection:
        return connection.execute(select(tasks.c.id).where(tasks.c.gold).limit(1)).first() is not None


def task_content(task: Task) -> dict[str, Any]:
    """A task as the store keeps it."""
    content: dict[str, Any] = {"prompt": prompt_value(task.prompt), "responses": list(task.responses)}
    for name in ("about", "gold"):
        if getattr(task, name):
            content[name] = dict(getattr(task, name))
    for name in ("steps", "systems"):
        if getattr(task, name):
            content[name] = list(getattr(task, name))
    return content


def stored_task(content: dict[str, Any]) -> Task:
    """A task from what the store keeps of it."""
    prompt = content["prompt"]
    return Task(
        prompt if isinstance(prompt, str) else parse_messages(prompt),
        tuple(content["responses"]),
        content.get("about", {}),
        tuple(content.get("steps", ())),
        content.get("gold", {}),
        tuple(content.get("systems", ())),
    )


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
