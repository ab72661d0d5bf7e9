"""How far a person is, and how fast."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, func, select

from guerdon.collect.store_tables import assignments, tasks

_PAUSE_SECONDS = 10 * 60
"""Between two judgements; a longer time is a break, and does not count for the pace."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a person is."""

    done: int
    skipped: int
    left: int
    """Tasks that this person could still get."""
    today: int
    per_hour: float | None
    """Tasks an hour at the median pace of the last 50, None before the third."""


_MINE = select(func.count()).where(assignments.c.person_id == bindparam("person"))
_JUDGED, _OPEN = assignments.c.state.in_(("done", "skipped")), assignments.c.state == "open"
# A scalar for each assignment: with `EXISTS`, PostgreSQL would read all tasks.
_TAKEN = select(tasks.c.taken).where(tasks.c.id == assignments.c.task_id, tasks.c.gold.is_(False)).scalar_subquery()
_FREE = select(func.count()).where(tasks.c.gold.is_(False), tasks.c.taken < bindparam("overlap"))
_COUNTS = select(
    _MINE.where(assignments.c.state == "done").scalar_subquery(),
    _MINE.where(assignments.c.state == "skipped").scalar_subquery(),
    _MINE.where(assignments.c.state == "done", assignments.c.at >= bindparam("midnight")).scalar_subquery(),
    _MINE.where(_JUDGED, bindparam("overlap") > _TAKEN).scalar_subquery(),
    _MINE.where(_OPEN, bindparam("overlap") <= _TAKEN).scalar_subquery(),
)
_RECENT = (
    select(assignments.c.at)
    .where(assignments.c.person_id == bindparam("person"), assignments.c.state == "done")
    .order_by(assignments.c.at.desc())
    .limit(51)
)


def free_tasks(connection: Connection, overlap: int = 1) -> int:
    """How many tasks are wanted that fewer than `overlap` people have."""
    count: int = connection.execute(_FREE, {"overlap": overlap}).scalar_one()
    return count


class FreeTasks:
    """The same for many who ask: counted so seldom that it takes 5% of the time, however many tasks there are."""

    def __init__(self, overlap: int) -> None:
        self.overlap = overlap
        self._count, self._until = 0, 0.0

    def count(self, connection: Connection) -> int:
        """How many there are, or were a moment ago."""
        started = time.monotonic()
        if started >= self._until:
            self._count = free_tasks(connection, self.overlap)
            took = time.monotonic() - started
            self._until = started + 20 * took
        return self._count


def progress(connection: Connection, person: int, free: int, *, overlap: int = 1) -> Progress:
    """How far a person is, and how fast; `free` as `free_tasks` has it."""
    now = time.time()
    given = {"person": person, "overlap": overlap, "midnight": now - (now - time.timezone) % 86400}
    done, skipped, today, judged, held = connection.execute(_COUNTS, given).one()
    times = connection.execute(_RECENT, {"person": person}).scalars().all()
    gaps = [later - earlier for later, earlier in itertools.pairwise(times) if later - earlier < _PAUSE_SECONDS]
    pace = 3600 / max(statistics.median(gaps), 0.1) if len(gaps) >= 2 else None
    return Progress(done=done, skipped=skipped, left=max(0, free - judged + held), today=today, per_hour=pace)
