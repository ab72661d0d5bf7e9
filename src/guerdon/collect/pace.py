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
    with store.reading() as connection:
        counted = select(assignments.c.state, func.count()).where(assignments.c.person_id == person)
        states: dict[str, int] = {
            row.state: row[1] for row in connection.execute(counted.group_by(assignments.c.state))
        }
        wanted = tasks.c.taken < overlap
        free = connection.execute(select(func.count()).where(tasks.c.gold.is_(False), wanted)).scalar_one()
        mine = select(func.count()).where(
            assignments.c.person_id == person, assignments.c.task_id == tasks.c.id, tasks.c.gold.is_(False)
        )
        judged = connection.execute(mine.where(wanted, assignments.c.state.in_(("done", "skipped")))).scalar_one()
        held = connection.execute(mine.where(~wanted, assignments.c.state == "open")).scalar_one()
        recent = connection.execute(
            select(assignments.c.at)
            .where(assignments.c.person_id == person, assignments.c.state == "done")
            .order_by(assignments.c.at.desc())
            .limit(500)
        ).scalars()
        times = list(recent)
    midnight = now - (now - time.timezone) % 86400
    gaps = [later - earlier for later, earlier in itertools.pairwise(times[:51]) if later - earlier < _PAUSE_SECONDS]
    pace = 3600 / max(statistics.median(gaps), 0.1) if len(gaps) >= 2 else None
    return Progress(
        done=states.get("done", 0),
        skipped=states.get("skipped", 0),
        left=free - judged + held,
        today=sum(at >= midnight for at in times),
        per_hour=pace,
    )
