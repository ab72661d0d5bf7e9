"""How far a person is, and how fast."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from guerdon.collect.store_tables import assignments, tasks

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore

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


def progress(store: CollectStore, person: int, *, overlap: int = 1) -> Progress:
    """How far a person is, and how fast."""
    now = time.time()
    wanted = tasks.c.taken < overlap
    mine = select(func.count()).where(assignments.c.person_id == person)
    of_tasks = mine.where(assignments.c.task_id == tasks.c.id, tasks.c.gold.is_(False))
    counts = select(
        mine.where(assignments.c.state == "done").scalar_subquery(),
        mine.where(assignments.c.state == "skipped").scalar_subquery(),
        mine.where(
            assignments.c.state == "done", assignments.c.at >= now - (now - time.timezone) % 86400
        ).scalar_subquery(),
        select(func.count()).where(tasks.c.gold.is_(False), wanted).scalar_subquery(),
        of_tasks.where(wanted, assignments.c.state.in_(("done", "skipped"))).scalar_subquery(),
        of_tasks.where(~wanted, assignments.c.state == "open").scalar_subquery(),
    )
    recent = (
        select(assignments.c.at)
        .where(assignments.c.person_id == person, assignments.c.state == "done")
        .order_by(assignments.c.at.desc())
        .limit(51)
    )
    with store.reading() as connection:
        done, skipped, today, free, judged, held = connection.execute(counts).one()
        times = connection.execute(recent).scalars().all()
    gaps = [later - earlier for later, earlier in itertools.pairwise(times) if later - earlier < _PAUSE_SECONDS]
    pace = 3600 / max(statistics.median(gaps), 0.1) if len(gaps) >= 2 else None
    return Progress(done=done, skipped=skipped, left=free - judged + held, today=today, per_hour=pace)
