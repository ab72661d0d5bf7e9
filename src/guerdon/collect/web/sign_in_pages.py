"""Signing in and out, taking up an invitation, and the language."""

from __future__ import annotations

import hmac

from fastapi import APIRouter
from fastapi.responses import RedirectResponse, Response

from guerdon.collect.accounts import (
    SESSION_SECONDS,
    SignInError,
    accept,
    close_session,
    invitation_role,
    open_session,
    sign_in,
)
from guerdon.collect.questions import LANGUAGES
from guerdon.collect.web.guarding import log_refusal
from guerdon.collect.web.site import Annotator, Anybody, AnyForm, Asking, Form

router = APIRouter()
_YEAR = 365 * 24 * 3600


@router.get("/")
def start(ask: Anybody, token: str = "") -> Response:
    """The printed link, which signs its bearer in on their own machine; else the first page."""
    site = ask.site
    if token and site.link_token and site.owner:
        _limit(ask, "link")
        if not hmac.compare_digest(token.encode(), site.link_token.encode()):
            ask.refuse(403, "link_wrong")
        return _welcome(ask, site.owner.id)
    return RedirectResponse("/judge" if ask.person else "/sign-in", status_code=303)


@router.get("/sign-in")
def sign_in_form(ask: Anybody) -> Response:
    """The form, or where to find the link."""
    if ask.person:
        return RedirectResponse("/judge", status_code=303)
    return ask.page("sign_in.html.j2", fault="", name="")


@router.post("/sign-in")
def sign_in_sent(ask: Anybody, form: AnyForm) -> Response:
    """Checks name and password, some times a minute."""
    name = form.get("name", "")
    _limit(ask, "sign-in")
    if not ask.site.limits.allows("sign-in", f"name {name[:80].casefold()}", 2, minutes=5):
        ask.refuse(429, "too_often")
    try:
        person = sign_in(ask.site.store, name, form.get("password", ""))
    except SignInError as error:
        log_refusal(dict(ask.request.scope), str(error), name[:80])
        return ask.page("sign_in.html.j2", status=403, fault=str(error), name=name[:40])
    return _welcome(ask, person.id)


@router.post("/sign-out")
def sign_out(ask: Annotator, form: Form) -> Response:
    """Ends the session."""
    close_session(ask.site.store, ask.session)
    answer = RedirectResponse("/sign-in", status_code=303)
    answer.delete_cookie(ask.site.cookie)
    return answer


@router.get("/invitation/{token}")
def invitation(ask: Anybody, token: str) -> Response:
    """The form for a name and a password."""
    _limit(ask, "invitation")
    role = invitation_role(ask.site.store, token)
    if role is None:
        ask.refuse(404, "invitation_invalid")
    return ask.page("invitation.html.j2", fault="", role=role, name="")


@router.post("/invitation/{token}")
def invitation_sent(ask: Anybody, token: str, form: AnyForm) -> Response:
    """Takes it up."""
    _limit(ask, "invitation")
    role = invitation_role(ask.site.store, token)
    if role is None:
        ask.refuse(404, "invitation_invalid")
    name = form.get("name", "")
    try:
        if form.get("password") != form.get("again"):
            raise SignInError("passwords_differ")
        person = accept(ask.site.store, token, name, form.get("password", ""))
    except SignInError as error:
        return ask.page("invitation.html.j2", status=422, fault=str(error), role=role, name=name)
    return _welcome(ask, person.id)


@router.get("/language/{language}")
def language(ask: Anybody, language: str, back: str = "/") -> Response:
    """Remembers the language, and goes back to where the link stood."""
    if language not in LANGUAGES:
        ask.refuse(404, "not_found")
    # A path of ours only: `//elsewhere` and `/\elsewhere` would be another site.
    here = back if back.startswith("/") and not back.startswith(("//", "/\\")) and back.isprintable() else "/"
    return ask.set_cookie(RedirectResponse(here, status_code=303), "language", language, _YEAR)


def _limit(ask: Asking, what: str) -> None:
    client = ask.request.client.host if ask.request.client else "?"
    if not ask.site.limits.allows(what, f"address {client}", 40, minutes=5):
        ask.refuse(429, "too_often")


def _welcome(ask: Asking, person: int) -> Response:
    token = open_session(ask.site.store, person)
    return ask.set_cookie(RedirectResponse("/judge", status_code=303), ask.site.cookie, token, SESSION_SECONDS)
