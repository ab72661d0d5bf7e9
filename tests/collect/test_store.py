from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from collection import PAIRWISE, some_tasks
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import guidelines, metadata, tasks
from guerdon.collect.tasks import add_tasks
from guerdon.errors import DataError


def test_the_steps_lead_to_the_tables(store: CollectStore) -> None:
    with store.reading() as connection:
        # SQLAlchemy cannot read the order of this index out of SQLite.
        unread = {"tasks_next"} if connection.dialect.name == "sqlite" else set()
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda _, name, *rest: name not in unread}
        )
        differences = compare_metadata(context, metadata)
    assert differences == []


def test_what_is_written_is_there_when_it_is_opened_again(store: CollectStore, place: str) -> None:
    store.secret()
    again = CollectStore.open(place)
    assert again.secret() == store.secret()
    with again.reading() as connection:
        assert again.project(connection)[0] == PAIRWISE
        assert len(connection.execute(select(tasks.c.id)).all()) == 10
    again.close()


def test_a_connection_that_broke_is_replaced(new_postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guerdon.collect.store._REST_SECONDS", -1.0)
    store, other = CollectStore.open(new_postgresql), CollectStore.open(new_postgresql)
    with store.reading() as connection:
        process = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with other.reading() as connection:
        assert connection.exec_driver_sql(f"SELECT pg_terminate_backend({process}, 5000)").scalar_one()
    with store.reading() as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() != process
    store.close()
    other.close()


@pytest.mark.parametrize("text", ["\x00", "\ud800", "'; DROP TABLE tasks; --", "中文 🦊", "a" * 100_000])
def test_any_text_fits(store: CollectStore, text: str) -> None:
    task = some_tasks(1)[0].__class__(text, (text + "1", text + "2"), {"extra": {"own": text}})
    add_tasks(store, [task])
    with store.reading() as connection:
        content = connection.execute(select(tasks.c.content).order_by(tasks.c.id.desc()).limit(1)).scalar_one()
    assert content == {"prompt": text, "responses": [text + "1", text + "2"], "about": {"extra": {"own": text}}}


def test_sqlite_syncs_every_commit(lite: CollectStore) -> None:
    with lite.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_the_file_is_for_its_owner_alone(lite: CollectStore) -> None:
    assert Path(lite.place).stat().st_mode & 0o077 == 0


def test_what_is_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no store"):
        CollectStore.open(tmp_path / "none.db")
    (tmp_path / "text.db").write_text("This is no database, but a text that somebody wrote. " * 100)
    with pytest.raises(DataError, match="cannot be opened as a store"):
        CollectStore.open(tmp_path / "text.db")
    with pytest.raises(DataError, match="is a folder"):
        CollectStore.open(tmp_path)
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE tasks (id INTEGER)").connection.commit()
    with pytest.raises(DataError, match="cannot be opened as a store"):
        CollectStore.open(tmp_path / "other.db")


def test_guidelines_have_versions(store: CollectStore) -> None:
    for text in ("Be fair.", "Be fair.", "", "Be fair and quick."):
        store.set_project(Project(questions=PAIRWISE.questions, guidelines=text))
    with store.reading() as connection:
        versions = connection.execute(select(guidelines.c.version, guidelines.c.text)).all()
        assert [tuple(one) for one in versions] == [(1, ""), (2, "Be fair."), (3, "Be fair and quick.")]
        project, version = store.project(connection)
    assert (project.guidelines, version) == ("Be fair and quick.", 3)


def test_other_questions_for_the_same_tasks(store: CollectStore) -> None:
    more = Project(questions=(*PAIRWISE.questions, parse_question({"kind": "rating", "name": "quality"})))
    store.set_project(more)
    with store.reading() as connection:
        assert store.questions(connection) == more.questions
    with pytest.raises(DataError, match="another --store"):
        store.set_project(Project(questions=(parse_question({"kind": "rating", "name": "other"}),)))


def test_tasks_are_there_once(store: CollectStore) -> None:
    assert add_tasks(store, some_tasks(12)).new == 2
    assert add_tasks(store, some_tasks(12)).known == 12
