from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import event, select, update

from collection import some_tasks
from guerdon.collect.accounts import Person, ensure_person
from guerdon.collect.assigning import LEASE_SECONDS, Assigned, RefusedError, next_task, open_task, shown_order
from guerdon.collect.pace import Progress, free_tasks, progress
from guerdon.collect.recording import Judged, record, undo
from guerdon.collect.rows_out import judged_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import assignments, judgements, tasks
from guerdon.collect.tasks import add_tasks

SECRET = bytes(32)
A_BETTER = {"preference": {"choice": 0, "strength": 2}}
TIE = {"preference": {"choice": "tie"}}


def people(store: CollectStore, *names: str) -> list[Person]:
    return [ensure_person(store, name, "annotator") for name in names]


def take(store: CollectStore, person: Person, **options: Any) -> int:
    found = next_task(store, SECRET, person.id, **options)
    assert found is not None
    return found.id


def judge(store: CollectStore, person: Person, token: str, answers: Any = A_BETTER, **options: Any) -> int:
    task = take(store, person, **options)
    record(store, SECRET, person.id, task, Judged(token=token, answers=answers))
    return task


def stored(store: CollectStore) -> list[tuple[str, Any]]:
    with store.reading() as connection:
        rows = connection.execute(select(judgements.c.state, judgements.c.answer).order_by(judgements.c.id))
        return [tuple(row) for row in rows]


def test_a_task_stays_in_hand_until_it_is_judged(store: CollectStore) -> None:
    ann, ben = people(store, "Ann", "Ben")
    first = take(store, ann)
    assert take(store, ann) == first
    assert take(store, ben) != first
    record(store, SECRET, ann.id, first, Judged(token="t1", answers=A_BETTER))
    assert take(store, ann) != first


def opened(store: CollectStore, person: Person, task: int) -> Assigned:
    with store.reading() as connection:
        return open_task(connection, SECRET, person.id, task)


def far(store: CollectStore, person: Person, *, overlap: int = 1) -> Progress:
    with store.reading() as connection:
        return progress(connection, person.id, free_tasks(connection, overlap), overlap=overlap)


def test_each_task_goes_to_as_many_people_as_are_wanted(store: CollectStore) -> None:
    everybody = people(store, "Ann", "Ben", "Cem")
    counts: dict[int, int] = {}
    for at in range(30):
        person = everybody[at % 3]
        if (found := next_task(store, SECRET, person.id, overlap=2)) is not None:
            record(store, SECRET, person.id, found.id, Judged(token=f"token {at}", answers=TIE))
            counts[found.id] = counts.get(found.id, 0) + 1
    assert sorted(counts.values()) == [2] * 10
    assert far(store, everybody[0], overlap=2).left == 0


def test_many_at_once_get_different_tasks(store: CollectStore) -> None:
    everybody = people(store, *(f"Person {n}" for n in range(10)))
    found: list[int] = []
    threads = [threading.Thread(target=lambda one=one: found.append(take(store, one))) for one in everybody]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 10


def test_priority_goes_first(store: CollectStore) -> None:
    (ann,) = people(store, "Ann")
    with store.writing() as connection:
        connection.execute(update(tasks).where(tasks.c.id == 7).values(priority=1.5))
    assert take(store, ann) == 7


def test_a_form_that_comes_twice_is_stored_once(store: CollectStore) -> None:
    ann, ben = people(store, "Ann", "Ben")
    task = judge(store, ann, "the token")
    record(store, SECRET, ann.id, task, Judged(token="the token", answers=TIE))
    assert stored(store) == [("answer", A_BETTER["preference"])]
    with pytest.raises(RefusedError, match="somebody else"):
        judge(store, ben, "the token")


def test_the_same_form_at_the_same_time(store: CollectStore) -> None:
    (ann,) = people(store, "Ann")
    task = take(store, ann)
    sent = Judged(token="the token", answers=TIE)
    threads = [threading.Thread(target=record, args=(store, SECRET, ann.id, task, sent)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stored(store)) == 1


def test_a_task_of_others_is_refused(store: CollectStore) -> None:
    ann, ben = people(store, "Ann", "Ben")
    task = take(store, ann)
    with pytest.raises(RefusedError):
        record(store, SECRET, ben.id, task, Judged(token="t", answers=TIE))
    with pytest.raises(RefusedError):
        opened(store, ben, task)
    assert stored(store) == []


def test_undo_is_a_record_and_gives_the_task_back(store: CollectStore) -> None:
    (ann,) = people(store, "Ann")
    first, second = judge(store, ann, "one"), judge(store, ann, "two", TIE)
    assert undo(store, ann.id, "undo 1") == second
    assert undo(store, ann.id, "undo 1") == second, "the same request undoes once"
    assert [state for state, _ in stored(store)] == ["answer", "answer", "undone"]
    assert take(store, ann) == second
    assert opened(store, ann, second).answers == TIE
    record(store, SECRET, ann.id, second, Judged(token="three", answers=A_BETTER))
    assert undo(store, ann.id, "undo 2") == second
    assert undo(store, ann.id, "undo 3") == first
    assert undo(store, ann.id, "undo 4") is None
    with store.reading() as connection:
        chain = connection.execute(select(judgements.c.id, judgements.c.supersedes, judgements.c.task_id)).all()
    assert [row.supersedes for row in chain if row.task_id == second] == [None, 2, 3, 4]


def test_a_second_answer_replaces_the_first(store: CollectStore) -> None:
    (ann,) = people(store, "Ann")
    task = judge(store, ann, "one")
    record(store, SECRET, ann.id, task, Judged(token="two", answers=TIE))
    (row,) = judged_rows(store)
    assert row.preference == 0.5  # type: ignore[union-attr]
    assert len(stored(store)) == 2


def test_a_skip_leaves_the_task_to_others(store: CollectStore) -> None:
    ann, ben = people(store, "Ann", "Ben")
    task = take(store, ann)
    record(store, SECRET, ann.id, task, Judged(token="s", answers={"preference": {"reason": "unclear"}}, skip=True))
    assert take(store, ann) != task
    seen = [judge(store, ben, f"t{n}") for n in range(9)]
    assert task in seen
    assert (far(store, ann).skipped, far(store, ann).done) == (1, 0)


def test_a_task_that_was_left_goes_to_others_and_may_still_be_sent(store: CollectStore) -> None:
    ann, ben = people(store, "Ann", "Ben")
    task = take(store, ann)
    with store.writing() as connection:
        connection.execute(update(assignments).values(at=assignments.c.at - LEASE_SECONDS - 1))
        connection.execute(update(tasks).where(tasks.c.id != task).values(taken=1))
    assert take(store, ben) == task
    record(store, SECRET, ann.id, task, Judged(token="late", answers=TIE))
    with store.reading() as connection:
        assert connection.execute(select(tasks.c.taken).where(tasks.c.id == task)).scalar() == 2


def test_orders_are_drawn_by_chance_and_recorded(store: CollectStore) -> None:
    (ann,) = people(store, "Ann")
    add_tasks(store, some_tasks(300))
    with store.reading() as connection:
        ids = connection.execute(select(tasks.c.id)).scalars().all()
    first = sum(shown_order(SECRET, ann.id, task, 2) == (0, 1) for task in ids)
    assert abs(first - 150) < 45  # five standard deviations
    task = judge(store, ann, "one")
    with store.reading() as connection:
        shown = connection.execute(select(judgements.c.shown)).scalar_one()
    assert tuple(shown) == shown_order(SECRET, ann.id, task, 2)


def test_progress_and_pace(store: CollectStore) -> None:
    (ann,) = people(store, "Ann")
    for n in range(4):
        judge(store, ann, f"token {n}")
    with store.writing() as connection:
        for place, row in enumerate(connection.execute(select(assignments.c.task_id, assignments.c.at)).all()):
            connection.execute(
                update(assignments).where(assignments.c.task_id == row.task_id).values(at=row.at + 20 * place)
            )
    found = far(store, ann)
    assert (found.done, found.left) == (4, 6)
    assert found.per_hour == pytest.approx(180, rel=0.05)


def test_the_next_task_is_found_without_sorting(lite: CollectStore) -> None:
    asked: list[Any] = []
    event.listen(lite.engine, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
    take(lite, people(lite, "Ann")[0])
    statement, values = next(one for one in asked if "ORDER BY tasks.priority" in one[0])
    with lite.reading() as connection:
        plan = [row.detail for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + statement, values)]
    assert "USING COVERING INDEX tasks_next" in plan[0]
    assert not any("TEMP B-TREE" in step for step in plan)
