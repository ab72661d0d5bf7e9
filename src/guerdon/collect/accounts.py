"""Who may do what: people with passwords, invitations, sessions.

What is kept of an invitation or a session is the digest of its token, so that a copy of the store opens no door.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import threading
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from sqlalchemy import Connection, bindparam, select

from guerdon.collect.store_tables import invitations, people, sessions
from guerdon.errors import ConfigError, GuerdonError

if TYPE_CHECKING:
    from guerdon.collect.store import CollectStore

ROLES = ("annotator", "reviewer", "admin")
"""Each may do what those before it may. A reviewer sees the overview; an admin invites and exports."""
MODEL_ROLE = "model"
"""The role of a reward or a judge, which is no person: it cannot sign in, and exports leave it out unless asked."""
SESSION_SECONDS = 30 * 24 * 3600
INVITATION_DAYS = 7
LEAST_PASSWORD = 10
_MOST_PASSWORD = 1000
_hashing = threading.BoundedSemaphore(2)
"""One check of a password takes 64 MiB and some milliseconds of a core: many at once would stop everybody's work."""


class SignInError(GuerdonError):
    """Who could not be signed in or take up an invitation; the message names the text that says why."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who judges."""

    id: int
    name: str
    role: str

    def may(self, role: str) -> bool:
        """Whether the person may do what a role may."""
        return self.role in ROLES and ROLES.index(self.role) >= ROLES.index(role)


def token_digest(token: str) -> str:
    """What the store keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def ensure_person(store: CollectStore, name: str, role: str) -> Person:
    """The person of this name, made where there is none; without a password nobody can sign in as them."""
    with store.writing() as connection:
        found = connection.execute(select(people).where(people.c.name == name)).first()
        if found is None:
            made = connection.execute(people.insert().values(name=name, role=role, at=time.time()))
            return Person(_key(made), name, role)
        if (found.role == MODEL_ROLE) != (role == MODEL_ROLE):
            raise ConfigError(f"{name!r} is the name of a {found.role} in {store.place}. Fix: another name")
        return Person(found.id, found.name, found.role)


def invite(store: CollectStore, role: str, *, days: float = INVITATION_DAYS) -> str:
    """Makes an invitation that one person can take up; returns its token, which is not kept.

    Raises:
        ConfigError: there is no such role.
    """
    if role not in ROLES:
        raise ConfigError(f"there is no role {role!r}; roles: {', '.join(ROLES)}")
    token = secrets.token_urlsafe(24)
    with store.writing() as connection:
        connection.execute(
            invitations.insert().values(digest=token_digest(token), role=role, expires=time.time() + days * 86400)
        )
    return token


def invitation_role(store: CollectStore, token: str) -> str | None:
    """The role that an invitation gives, None where it is not known, used or too old."""
    with store.reading() as connection:
        found = _invitation(connection, token)
    return None if found is None else str(found.role)


def _invitation(connection: Connection, token: str) -> Any:

    return connection.execute(
        select(invitations).where(
            invitations.c.digest == token_digest(token),
            invitations.c.person_id.is_(None),
            invitations.c.expires > time.time(),
        )
    ).first()


def accept(store: CollectStore, token: str, name: str, password: str) -> Person:
    """Takes up an invitation.

    Raises:
        SignInError: it is not valid, the name is taken or cannot be one, or the password is too short.
    """
    name = clean_name(name)
    check_password(password, name)
    hashed = _hash(password)
    with store.writing() as connection:
        invitation = _invitation(connection, token)
        if invitation is None:
            raise SignInError("invitation_invalid")
        folded = name.casefold()
        taken = connection.execute(select(people.c.name)).scalars()
        if any(other.casefold() == folded for other in taken):
            raise SignInError("name_taken")
        made = connection.execute(
            people.insert().values(name=name, role=invitation.role, password=hashed, at=time.time())
        )
        person = Person(_key(made), name, invitation.role)
        connection.execute(
            invitations.update().where(invitations.c.digest == invitation.digest).values(person_id=person.id)
        )
        return person


def clean_name(name: str) -> str:
    """A name as it is kept: trimmed, in one Unicode form.

    Raises:
        SignInError: it is empty, too long, or has characters that do not show.
    """
    name = unicodedata.normalize("NFKC", " ".join(name.split()))
    if not 1 <= len(name) <= 40 or any(unicodedata.category(mark)[0] == "C" for mark in name):
        raise SignInError("name_invalid")
    return name


def check_password(password: str, name: str) -> None:
    """Raises SignInError where a password is too short, too long, or the name."""
    if (
        not LEAST_PASSWORD <= len(password) <= _MOST_PASSWORD
        or re.sub(r"\s", "", password.casefold()) == name.casefold()
    ):
        raise SignInError("password_short")


def sign_in(store: CollectStore, name: str, password: str) -> Person:
    """The person who has this name and password; it takes as long for a name that nobody has.

    Raises:
        SignInError: nobody has.
    """
    with store.reading() as connection:
        found = connection.execute(
            select(people).where(people.c.name == unicodedata.normalize("NFKC", " ".join(name.split())))
        ).first()
    known = found is not None and found.active and found.role in ROLES and found.password
    try:
        with _hashing:
            _hasher().verify(found.password if known and found else _nobody(), password[:_MOST_PASSWORD])
    except (Argon2Error, InvalidHashError) as error:
        raise SignInError("sign_in_wrong") from error
    if not known or found is None:
        raise SignInError("sign_in_wrong")
    return Person(found.id, found.name, found.role)


def _hash(password: str) -> str:
    with _hashing:
        return _hasher().hash(password)


@functools.cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@functools.cache
def _nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe(16))


def open_session(store: CollectStore, person: int) -> str:
    """Signs a person in; returns the token for the cookie, which is not kept."""
    token, now = secrets.token_urlsafe(32), time.time()
    with store.writing() as connection:
        connection.execute(sessions.delete().where(sessions.c.expires < now))
        connection.execute(
            sessions.insert().values(digest=token_digest(token), person_id=person, expires=now + SESSION_SECONDS)
        )
    return token


_SESSION = (
    select(people.c.id, people.c.name, people.c.role)
    .join(sessions, sessions.c.person_id == people.c.id)
    .where(
        sessions.c.digest == bindparam("digest"),
        sessions.c.expires > bindparam("now"),
        people.c.active,
        people.c.role.in_(ROLES),
    )
)


def session_person(connection: Connection, token: str) -> Person | None:
    """Whose session a token is, None where it is nobody's, or the person may not come in any more."""
    found = connection.execute(_SESSION, {"digest": token_digest(token), "now": time.time()}).first()
    return None if found is None else Person(found.id, found.name, found.role)


def close_session(store: CollectStore, token: str) -> None:
    """Signs out."""
    with store.writing() as connection:
        connection.execute(sessions.delete().where(sessions.c.digest == token_digest(token)))


def set_active(store: CollectStore, person: int, active: bool) -> None:
    """Lets a person in, or not any more: then open sessions end, and what they judged stays."""
    with store.writing() as connection:
        connection.execute(people.update().where(people.c.id == person).values(active=active))
        if not active:
            connection.execute(sessions.delete().where(sessions.c.person_id == person))


def has_admin(store: CollectStore) -> bool:
    """Whether somebody could sign in who may invite others."""
    with store.reading() as connection:
        query = select(people.c.id).where(people.c.role == "admin", people.c.password.is_not(None), people.c.active)
        return connection.execute(query.limit(1)).first() is not None


def _key(made: Any) -> int:
    return int(made.inserted_primary_key[0])
