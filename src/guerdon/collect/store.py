"""The store of a collection: a SQLite file, or a PostgreSQL database by its URL.

What is acknowledged is on the disk: SQLite writes ahead and syncs at every commit, and PostgreSQL does so by itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Dialect, Engine, bindparam, create_engine, event, func, select
from sqlalchemy.exc import DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from guerdon.collect.collect_config import POSTGRESQL
from guerdon.collect.kinds.asking import Question
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.store_tables import guidelines, judgements, questions, settings, tasks
from guerdon.errors import DataError, MissingExtraError, OutputError
from guerdon.files import output_error

_BUSY_SECONDS = 30
_REST_SECONDS = 1.0
_CONNECTIONS = 20
"""More than a server has threads, so that none waits for one."""
_NEWEST_GUIDELINES = select(guidelines).order_by(guidelines.c.version.desc()).limit(1)
_SETTING = select(settings.c.value).where(settings.c.name == bindparam("name"))
_QUESTIONS = select(questions.c.options).order_by(questions.c.place)


class CollectStore:
    """A store that is up to date. Connections are handed out by `reading` and `writing`, from any thread."""

    def __init__(self, engine: Engine, place: str) -> None:
        self.engine, self.place = engine, place
        # A transaction that only reads sees no more in PostgreSQL, where each statement sees a state of its own anyway.
        postgresql = engine.dialect.name == "postgresql"
        self._reads = engine.execution_options(isolation_level="AUTOCOMMIT") if postgresql else engine
        """The place without a password, for messages."""
        # SQLite has one writer at a time, and does not serve those who wait in the order in which they came: of many
        # threads some would wait until it gives up. Other processes still wait for SQLite itself.
        self._turn = threading.Lock() if engine.dialect.name == "sqlite" else contextlib.nullcontext()

    @classmethod
    def open(cls, place: str | Path, *, create: bool = False) -> CollectStore:
        """Opens a store, and brings its tables up to date.

        Args:
            place: a file, or `postgresql://USER@HOST/DATABASE`.
            create: make the file where there is none.

        Raises:
            DataError: it is not there, or is no store.
            OutputError: it cannot be made.
            MissingExtraError: PostgreSQL without its driver.
        """
        name = str(place)
        if name.startswith(POSTGRESQL):
            url = "postgresql+psycopg://" + name.split("://", 1)[1]
            try:
                engine = create_engine(url, pool_size=_CONNECTIONS, max_overflow=0)
                event.listen(engine, "checkout", functools.partial(_check_if_rested, engine.dialect))
            except ImportError as error:
                raise MissingExtraError("A store in PostgreSQL", "psycopg", "postgresql") from error
            except (SQLAlchemyError, ValueError) as error:
                raise DataError(f"{name.rsplit('@', 1)[-1]} is no address of a PostgreSQL database: {error}") from error
            shown = engine.url.render_as_string(hide_password=True)
        else:
            _check_file(Path(name), create)
            engine = create_engine(
                URL.create("sqlite", database=str(Path(name).absolute())),
                connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False},
                pool_size=_CONNECTIONS,
                max_overflow=0,
            )
            event.listen(engine, "connect", _set_up_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
            shown = name
        store = cls(engine, shown)
        try:
            store._migrate()
        except SQLAlchemyError as error:
            engine.dispose()
            raise DataError(f"{shown} cannot be opened as a store of judgements: {_cause(error)}") from error
        return store

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one state of the store; in PostgreSQL that of each statement."""
        with self._reads.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, *, synced: bool = True) -> Iterator[Connection]:
        """A transaction; when the block ends well, what it wrote is on the disk.

        Without `synced` only once the next is that is: for what nobody misses after a power cut.
        """
        with (
            self._turn,
            self.engine.connect().execution_options(writing="FULL" if synced else "NORMAL") as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        """Gives all connections back."""
        self.engine.dispose()

    def _migrate(self) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.set_main_option("path_separator", "os")
        newest = ScriptDirectory.from_config(config).get_current_head()
        with self.reading() as connection:
            current = MigrationContext.configure(connection).get_current_revision()
        if current == newest:
            return
        with self.writing() as connection:
            if connection.dialect.name == "postgresql":  # so that of two servers that start, one waits for the other
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7318349394477056)")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def setting(self, connection: Connection, name: str, default: Any = None) -> Any:
        """A setting, the default where it was never made."""
        found = connection.execute(_SETTING, {"name": name}).scalar()
        return default if found is None else found

    def secret(self) -> bytes:
        """What orders of responses and tokens of forms are drawn from; made when it is first asked for."""
        with self.writing() as connection:
            found = self.setting(connection, "secret")
            if found is None:
                found = secrets.token_hex(32)
                connection.execute(settings.insert().values(name="secret", value=found))
        return bytes.fromhex(found)

    def set_project(self, project: Project) -> None:
        """Makes the project that of the store: questions are added, guidelines get a new version where they changed.

        Raises:
            DataError: a question of the same name was judged with other options, or tasks have another form.
        """
        with self.writing() as connection:
            takes = self.setting(connection, "takes")
            if takes is None:
                connection.execute(settings.insert().values(name="takes", value=project.takes))
            elif takes != project.takes and connection.execute(select(tasks.c.id).limit(1)).first():
                raise DataError(
                    f"{self.place} holds tasks for other questions ({takes} responses each, not {project.takes}). "
                    "Fix: another --store"
                )
            else:
                connection.execute(settings.update().where(settings.c.name == "takes").values(value=project.takes))
            if project.title:
                connection.execute(settings.delete().where(settings.c.name == "title"))
                connection.execute(settings.insert().values(name="title", value=project.title))
            newest = connection.execute(_NEWEST_GUIDELINES).first()
            if newest is None or (project.guidelines and newest.text != project.guidelines):
                version = (newest.version if newest else 0) + 1
                connection.execute(guidelines.insert().values(version=version, text=project.guidelines, at=time.time()))
            for place, question in enumerate(project.questions):
                old = connection.execute(select(questions).where(questions.c.name == question.name)).first()
                judged = connection.execute(
                    select(func.count()).select_from(judgements).where(judgements.c.question == question.name)
                ).scalar_one()
                options = _as_json(question.options())
                if old and judged and _without_text(old.options) != _without_text(options):
                    raise DataError(
                        f"question {question.name} has {judged} judgements with other options: {old.options}. "
                        "Fix: another name for the question, or another --store"
                    )
                if old:
                    connection.execute(
                        questions.update().where(questions.c.name == question.name).values(place=place, options=options)
                    )
                else:
                    connection.execute(questions.insert().values(name=question.name, place=place, options=options))

    def project(self, connection: Connection) -> tuple[Project, int]:
        """The project of the store, and the version of its guidelines.

        Raises:
            DataError: it asks nothing yet.
        """
        asked = self.questions(connection)
        newest = connection.execute(_NEWEST_GUIDELINES).one()
        title = self.setting(connection, "title", "")
        return Project(questions=asked, guidelines=newest.text, title=title), newest.version

    def asks(self, connection: Connection) -> bool:
        """Whether the store has questions."""
        return connection.execute(select(questions.c.name).limit(1)).first() is not None

    def questions(self, connection: Connection) -> tuple[Question, ...]:
        """The questions of the store, in the order of the form."""
        found = connection.execute(_QUESTIONS).scalars().all()
        if not found:
            raise DataError(f"{self.place} asks nothing yet. Fix: guerdon collect serve DATA --store {self.place}")
        return tuple(parse_question(options) for options in found)


def _as_json(options: dict[str, Any]) -> dict[str, Any]:
    """Options as they come back from the store."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in options.items()}


def _without_text(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name != "text"}


def _check_file(path: Path, create: bool) -> None:
    if path.is_dir():
        raise DataError(f"{path} is a folder; a store is a file")
    if not path.exists():
        if not create:
            raise DataError(f"there is no store {path}. Fix: guerdon collect serve DATA --store {path}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # it will hold what people are known by
        except OSError as error:
            raise output_error(path, error) from error
    elif not os.access(path, os.W_OK):
        raise OutputError(f"the store {path} cannot be written")


def _check_if_rested(dialect: Dialect, driver: Any, record: ConnectionPoolEntry, _: object) -> None:
    """Replaces a connection that broke while nobody used it; to ask at every checkout takes as long as a query."""
    now = time.monotonic()
    if now - record.info.get("used", now) > _REST_SECONDS:
        try:
            dialect.do_ping(driver)
        except dialect.loaded_dbapi.Error as error:
            raise DisconnectionError from error
    record.info["used"] = now


def _set_up_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver begins nothing by itself; `_begin_sqlite` does
    cursor = connection.cursor()
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads first and writes later would fail where another wrote in between, without waiting.
    driver: Any = connection.connection.driver_connection
    if writing := connection.get_execution_options().get("writing"):
        driver.execute(f"PRAGMA synchronous = {writing}")
    driver.execute("BEGIN IMMEDIATE" if writing else "BEGIN")


def _cause(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", None) or error).split())
