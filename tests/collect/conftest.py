"""Stores in both databases, an app without a socket, and a browser's part in asking it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher

pytest.importorskip("fastapi", reason="the extra `collect` is not installed")

from browsing import Server
from collection import ORIGIN, PAIRWISE, Visitor, some_tasks
from guerdon.collect import accounts
from guerdon.collect.accounts import Person, ensure_person
from guerdon.collect.store import CollectStore
from guerdon.collect.tasks import add_tasks
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.site import Site


def _postgresql_programs() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return Path(named).parent if named else None


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL of our own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    programs = _postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="guerdon-pg-"))
    root = os.geteuid() == 0
    if root:  # which PostgreSQL refuses to run as
        if shutil.which("runuser") is None:
            pytest.skip("PostgreSQL does not run as root, and there is no runuser")
        shutil.chown(folder, "postgres")
    as_user = ["runuser", "-u", "postgres", "--"] if root else []

    def run(program: str, *options: str) -> None:
        command = [*as_user, str(programs / program), "-D", str(folder / "data"), *options]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

    try:
        run("initdb", "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8")
        settings = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
        run("pg_ctl", "-w", "-l", str(folder / "log"), "-o", settings, "start")
        yield f"postgresql://postgres@/postgres?host={folder}"
        run("pg_ctl", "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgresql(postgresql: str) -> str:
    """The address of an empty database."""
    import psycopg

    with psycopg.connect(postgresql, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
    return postgresql


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store goes, in each kind of database."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("new_postgresql"))
    return str(tmp_path / "labels.db")


@pytest.fixture
def store(place: str) -> Iterator[CollectStore]:
    """A store that asks for preferences, with ten tasks."""
    opened = CollectStore.open(place, create=True)
    opened.set_project(PAIRWISE)
    add_tasks(opened, some_tasks(10))
    yield opened
    opened.close()


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[CollectStore]:
    """The same in SQLite, for what has nothing to do with the database."""
    opened = CollectStore.open(tmp_path / "labels.db", create=True)
    opened.set_project(PAIRWISE)
    add_tasks(opened, some_tasks(10))
    yield opened
    opened.close()


@pytest.fixture
def site(lite: CollectStore) -> Site:
    return Site(lite, lite.secret(), url=ORIGIN)


@pytest.fixture
def visitor(site: Site) -> Callable[[], Visitor]:
    """Makes visitors of a site where people sign in."""
    app = create_app(site, [ORIGIN])
    return lambda: Visitor(app)


@pytest.fixture
def me(lite: CollectStore) -> Person:
    return ensure_person(lite, "me", "admin")


@pytest.fixture(autouse=True)
def _quick_passwords(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with little memory, but where its time is what counts."""
    accounts._nobody.cache_clear()
    if "unknown_name" in request.node.name:
        return
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(accounts, "_hasher", lambda: quick)


@pytest.fixture(autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    for process in Server.started:
        process.kill()
        process.wait()
    Server.started.clear()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Forty pairs; one answer of each is polite."""
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"prompt": f"How long for {n} eggs?", "responses": [f"Please boil {n} eggs for 8 minutes.", f"No idea, {n}."]}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
