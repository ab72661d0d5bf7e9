"""What the pages share: the store, who asks, the language, templates, forms."""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Annotated, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from sqlalchemy import Connection, func, select
from starlette.requests import ClientDisconnect

from guerdon.collect.accounts import Person, session_person
from guerdon.collect.live_answers import LiveAnswers
from guerdon.collect.pace import FreeTasks
from guerdon.collect.questions import LANGUAGES, Project
from guerdon.collect.rendering import markdown_html
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import adjudications, judgements
from guerdon.collect.web.guarding import RateLimits, log_refusal
from guerdon.report.templating import environment
from guerdon.types import message_text

T = TypeVar("T")
_MOST_FIELDS = 5000
_KEPT_SECONDS = 10


@functools.cache
def texts() -> dict[str, dict[str, str]]:
    """Language -> the words of the pages."""
    found: dict[str, dict[str, str]] = json.loads(
        resources.files("guerdon.collect").joinpath("collect_texts.json").read_text(encoding="utf-8")
    )
    return found


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was worked out of judgements, with the last ones that it knows."""

    value: Any
    final: int | None
    judged: int | None
    at: float


@dataclass(frozen=True)
class Site:
    """An app and what it is set up with."""

    store: CollectStore
    secret: bytes
    overlap: int = 1
    gold_every: int = 0
    live: LiveAnswers | None = None
    """What writes answers while people judge."""
    link_token: str = ""
    """On one's own machine: what the printed link carries. Without it people sign in."""
    owner: Person | None = None
    """Whom the printed link signs in."""
    url: str = ""
    """Under which invitations are reached."""
    secure: bool = False
    """Whether cookies go over HTTPS alone."""
    cookie: str = "guerdon"
    limits: RateLimits = field(default_factory=RateLimits)
    _kept: dict[str, _Kept] = field(default_factory=dict)

    @functools.cached_property
    def asked(self) -> tuple[Project, int]:
        """The project and the version of its guidelines, as they were when the first page was asked for."""
        with self.store.reading() as connection:
            return self.store.project(connection)

    @functools.cached_property
    def free(self) -> FreeTasks:
        """How many tasks are still to be had."""
        return FreeTasks(self.overlap)

    def form_token(self, session: str) -> str:
        """What a form must carry that was shown to a session."""
        return hmac.new(self.secret, f"form {session}".encode(), hashlib.sha256).hexdigest()

    def worked_out(self, name: str, work: Callable[[Connection], T]) -> T:
        """What `work` makes of the judgements of the store.

        It is kept under a name until there is another judgement (then for some seconds more, since others judge while
        one looks) or another final label.
        """
        newest = select(*(select(func.max(table.c.id)).scalar_subquery() for table in (adjudications, judgements)))
        with self.store.reading() as connection:
            final, judged = connection.execute(newest).one()
            kept = self._kept.get(name)
            recent = kept is not None and (kept.judged == judged or time.monotonic() < kept.at + _KEPT_SECONDS)
            if kept is not None and kept.final == final and recent:
                found: T = kept.value
                return found
            made = work(connection)
        self._kept[name] = _Kept(made, final, judged, time.monotonic())
        return made


@dataclass(frozen=True)
class Asking:
    """A request with who sent it."""

    request: Request
    site: Site
    person: Person | None
    session: str

    @property
    def known(self) -> Person:
        """The person; only where `signed_in` let them through."""
        assert self.person is not None
        return self.person

    @property
    def language(self) -> str:
        """`en` or `zh`: as chosen, else as the browser asks."""
        chosen = self.request.cookies.get("language", "")
        if chosen in LANGUAGES:
            return chosen
        accepted = self.request.headers.get("accept-language", "")
        wanted = (part.split(";")[0].strip().lower()[:2] for part in accepted.split(","))
        return next((one for one in wanted if one in LANGUAGES), LANGUAGES[0])

    @property
    def text(self) -> dict[str, str]:
        """The words of the pages in this language."""
        return texts()[self.language]

    def page(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """A page from a template."""
        html = (
            _templates()
            .get_template(template)
            .render(
                t=self.text,
                language=self.language,
                person=self.person,
                csrf=self.site.form_token(self.session),
                path=self.request.url.path,
                token=secrets.token_urlsafe(16),
                site=self.site,
                **values,
            )
        )
        return HTMLResponse(html, status_code=status)

    def go(self, path: str) -> Response:
        """Sends the browser on; the script, which asked with `X-Guerdon`, is told where to."""
        if self.request.headers.get("x-guerdon"):
            return Response(json.dumps({"next": path}), media_type="application/json")
        return RedirectResponse(path, status_code=303)

    def set_cookie(self, answer: Response, name: str, value: str, seconds: int) -> Response:
        """Sets a cookie that scripts cannot read and other sites' forms do not send."""
        answer.set_cookie(name, value, max_age=seconds, httponly=True, secure=self.site.secure, samesite="lax")
        return answer

    def refuse(self, status: int, reason: str) -> NoReturn:
        """Ends the request, and writes it to the log; `reason` names a text of the pages."""
        log_refusal(dict(self.request.scope), reason, self.person.name if self.person else "")
        raise HTTPException(status, reason)


@functools.cache
def _templates() -> Any:
    found = environment("guerdon.collect")
    found.filters |= {"markdown": markdown_html, "message_text": message_text, "mmss": _clock}
    return found


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def asking(request: Request) -> Asking:
    """Who asks. It reads the store, so it has a thread; what else comes before a page has none, and does not wait."""
    site: Site = request.app.state.site
    session = request.cookies.get(site.cookie, "")
    person = None
    if session:
        with site.store.reading() as connection:
            person = session_person(connection, session)
    return Asking(request, site, person, session)


Anybody = Annotated[Asking, Depends(asking)]


async def signed_in(ask: Anybody) -> Asking:
    """Lets those through who are signed in."""
    if ask.person is None:
        ask.refuse(401, "sign_in_first")
    if ask.request.method == "POST" and not ask.site.limits.allows("forms", str(ask.person.id), 300):
        ask.refuse(429, "too_often")
    return ask


Annotator = Annotated[Asking, Depends(signed_in)]


def _at_least(role: str) -> Any:
    async def check(ask: Annotator) -> Asking:
        if not ask.known.may(role):
            ask.refuse(403, "not_your_role")
        return ask

    return Depends(check)


Reviewer = Annotated[Asking, _at_least("reviewer")]
Admin = Annotated[Asking, _at_least("admin")]


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form; the last of those with one name."""
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "form_broken")
    try:
        pairs = parse_qsl(
            (await request.body()).decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict"
        )
    except (ValueError, ClientDisconnect) as error:
        raise HTTPException(400, "form_broken") from error
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


AnyForm = Annotated[dict[str, str], Depends(read_form)]


async def own_form(ask: Annotator, form: AnyForm) -> dict[str, str]:
    """The fields of a form that was shown to this very session."""
    if not hmac.compare_digest(form.get("csrf", "").encode(), ask.site.form_token(ask.session).encode()):
        ask.refuse(403, "form_not_yours")
    return form


Form = Annotated[dict[str, str], Depends(own_form)]


def form_key(form: Mapping[str, str]) -> str:
    """The token by which a form that is sent twice is known.

    Raises:
        HTTPException: there is none.
    """
    token = form.get("token", "")
    if not 8 <= len(token) <= 64 or not token.isascii():
        raise HTTPException(400, "form_broken")
    return token
