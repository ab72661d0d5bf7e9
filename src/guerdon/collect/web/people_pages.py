"""For admins: who takes part, invitations, and who is let in no more."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import select

from guerdon.collect.accounts import MODEL_ROLE, ROLES, invite, set_active
from guerdon.collect.store_tables import people
from guerdon.collect.web.site import Admin, Asking, Form

router = APIRouter()


@router.get("/people")
def everybody(ask: Admin) -> Response:
    """The list."""
    return _page(ask, "")


@router.post("/people")
def invited(ask: Admin, form: Form) -> Response:
    """Makes an invitation, and shows its link this once."""
    role = form.get("role", "")
    if role not in ROLES:
        ask.refuse(400, "form_broken")
    return _page(ask, f"{ask.site.url}/invitation/{invite(ask.site.store, role)}")


@router.post("/people/{person}/active")
def activated(ask: Admin, person: int, form: Form) -> Response:
    """Lets somebody in, or not any more; not oneself, so that an admin is left."""
    if person == ask.known.id:
        ask.refuse(403, "not_yourself")
    set_active(ask.site.store, person, form.get("active") == "yes")
    return ask.go("/people")


def _page(ask: Asking, link: str) -> Response:
    with ask.site.store.reading() as connection:
        found = connection.execute(select(people).where(people.c.role != MODEL_ROLE).order_by(people.c.name)).all()
    return ask.page("people.html.j2", people=found, link=link, roles=ROLES)
