"""The tables of a store. Judgements are only ever added: a correction or an undo is a row that names what it replaces.

JSON columns hold every text that people or data write: as escaped JSON any text fits, in SQLite and PostgreSQL alike.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)

metadata = MetaData()

settings = Table(
    "settings",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", JSON, nullable=False),
)
"""`title`, `takes`, and `secret`, from which the order of responses and the tokens of forms are drawn."""

guidelines = Table(
    "guidelines",
    metadata,
    Column("version", Integer, primary_key=True),
    Column("text", JSON, nullable=False),
    Column("at", Float, nullable=False),
)

questions = Table(
    "questions",
    metadata,
    Column("name", String(40), primary_key=True),
    Column("place", Integer, nullable=False),
    Column("options", JSON, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("place", Integer, nullable=False),
    Column("priority", Float, nullable=False, server_default=text("0")),
    Column("taken", Integer, nullable=False, server_default=text("0")),
    Column("gold", Boolean, nullable=False, server_default=text("false")),
    Column("content", JSON, nullable=False),  # behind what is read often, so that it need not be read with it
    Column("arm", String(10)),
    Column("round", Integer),
    Index("tasks_next", "gold", text("priority DESC"), "place", "id", "taken"),
)
"""`priority`: higher is asked first. `taken`: how many people have it or have judged it. `arm`: `chosen` or `random`,
where `guerdon collect learn` said so before the task was asked, and `round` which of the `rounds` that was."""

rounds = Table(
    "rounds",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("record", JSON, nullable=False),
)
"""What each round of choosing found, as `guerdon.collect.choosing.rounds.Learnt` has it; only ever added to."""

people = Table(
    "people",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("role", String(20), nullable=False),
    Column("password", String(200)),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("at", Float, nullable=False),
)
"""`role`: annotator, reviewer, admin; or model, which is no person and never signs in."""

invitations = Table(
    "invitations",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("role", String(20), nullable=False),
    Column("expires", Float, nullable=False),
    Column("person_id", ForeignKey("people.id")),
)

sessions = Table(
    "sessions",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("expires", Float, nullable=False),
    Index("sessions_person", "person_id"),
)

assignments = Table(
    "assignments",
    metadata,
    Column("person_id", ForeignKey("people.id"), primary_key=True),
    Column("task_id", ForeignKey("tasks.id"), primary_key=True),
    Column("state", String(10), nullable=False),
    Column("at", Float, nullable=False),
    Index("assignments_task", "task_id"),
    Index("assignments_state", "state", "person_id", "at"),
)
"""Who has which task: open, done or skipped."""

judgements = Table(
    "judgements",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(64), nullable=False),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("question", ForeignKey("questions.name"), nullable=False),
    Column("state", String(10), nullable=False),
    Column("answer", JSON, nullable=False),
    Column("shown", JSON, nullable=False),
    Column("seconds", Float),
    Column("guidelines", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("supersedes", ForeignKey("judgements.id"), unique=True),
    UniqueConstraint("token", "question", name="judgements_once"),
    Index("judgements_task", "task_id"),
    Index("judgements_person", "person_id", "id"),
    Index(
        "judgements_first", "person_id", "task_id", "question",
        unique=True, sqlite_where=text("supersedes IS NULL"), postgresql_where=text("supersedes IS NULL"),
    ),
)  # fmt: skip
"""`state`: answer, skip or undone. `token` comes with the form, so that a request which is sent twice is stored once.
`shown`: the places of the responses in the order in which they were shown."""

adjudications = Table(
    "adjudications",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("token", String(64), nullable=False),
    Column("person_id", ForeignKey("people.id"), nullable=False),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("question", ForeignKey("questions.name"), nullable=False),
    Column("state", String(10), nullable=False),
    Column("answer", JSON, nullable=False),
    Column("shown", JSON, nullable=False),
    Column("guidelines", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("supersedes", ForeignKey("adjudications.id"), unique=True),
    UniqueConstraint("token", "question", name="adjudications_once"),
    Index("adjudications_task", "task_id"),
    Index(
        "adjudications_first", "task_id", "question",
        unique=True, sqlite_where=text("supersedes IS NULL"), postgresql_where=text("supersedes IS NULL"),
    ),
)  # fmt: skip
"""Final labels of disputed tasks, one chain for each task and question whoever gave them. `state`: final or undone."""
