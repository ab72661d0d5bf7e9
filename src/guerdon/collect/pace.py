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


_WANTED = tasks.c.taken < bindparam("overlap")
_MINE = select(func.count()).where(assignments.c.person_id == bindparam("person"))
_JUDGED, _OPEN = assignments.c.state.in_(("done", "skipped")), assignments.c.state == "open"
_ITS_TASK = select(tasks.c.id).where(tasks.c.id == assignments.c.task_id, tasks.c.gold.is_(False))
_COUNTS = select(
    _MINE.where(assignments.c.state == "done").scalar_subquery(),
    _MINE.where(assignments.c.state == "skipped").scalar_subquery(),
    _MINE.where(assignments.c.state == "done", assignments.c.at >= bindparam("midnight")).scalar_subquery(),
    select(func.count()).where(tasks.c.gold.is_(False), _WANTED).scalar_subquery(),
    _MINE.where(_JUDGED, _ITS_TASK.where(_WANTED).exists()).scalar_subquery(),
    _MINE.where(_OPEN, _ITS_TASK.where(~_WANTED).exists()).scalar_subquery(),
)
_RECENT = (
    select(assignments.c.at)
    .where(assignments.c.person_id == bindparam("person"), assignments.c.state == "done")
    .order_by(assignments.c.at.desc())
    .limit(51)
)


def progress(connection: Connection, person: int, *, overlap: int = 1) -> Progress:
    """How far a person is, and how fast."""
    now = time.time()
    given = {"person": person, "overlap": overlap, "midnight": now - (now - time.timezone) % 86400}
    done, skipped, today, free, judged, held = connection.execute(_COUNTS, given).one()
    times = connection.execute(_RECENT, {"person": person}).scalars().all()
    gaps = [later - earlier for later, earlier in itertools.pairwise(times) if later - earlier < _PAUSE_SECONDS]
    pace = 3600 / max(statistics.median(gaps), 0.1) if len(gaps) >= 2 else None
    return Progress(done=done, skipped=skipped, left=free - judged + held, today=today, per_hour=pace)
