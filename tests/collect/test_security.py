"""What must be refused: without sign-in, from elsewhere, of somebody else, by guessing; and texts that are code."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable

import pytest
from sqlalchemy import func, select, text

from collection import ORIGIN, PASSWORD, Visitor
from guerdon.collect.accounts import accept, ensure_person, invite, set_active, sign_in, token_digest
from guerdon.collect.kinds.asking import Task
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import invitations, judgements, people, sessions, tasks
from guerdon.collect.tasks import add_tasks
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.guarding import MOST_BYTES
from guerdon.collect.web.site import Site

Visitors = Callable[[], Visitor]
CODE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>[a](javascript:alert(1)) ![b](http://e.org/b.png)"


def judged(store: CollectStore) -> int:
    with store.reading() as connection:
        return connection.execute(select(func.count()).select_from(judgements)).scalar_one()


def paths(app: object) -> list[tuple[str, str]]:
    """Method and path of every route of the app."""
    found = []
    waiting = list(app.app.routes)  # type: ignore[attr-defined]
    while waiting:
        route = waiting.pop()
        inner = getattr(route, "original_router", None) or getattr(route, "router", None)
        if inner is not None:
            waiting += inner.routes
        for method in getattr(route, "methods", None) or ():
            found.append((method, re.sub(r"\{\w+\}", "1", route.path)))
    return found


OPEN = {"/", "/sign-in", "/invitation/1", "/language/1", "/static/1"}


def test_nothing_without_signing_in(site: Site) -> None:
    app = create_app(site, [ORIGIN])
    visitor = Visitor(app)
    visitor.client.follow_redirects = False
    routes = [(method, path) for method, path in paths(app) if path not in OPEN and method != "HEAD"]
    assert ("POST", "/judge/1") in routes
    for method, path in routes:
        answer = visitor.client.request(
            method, path, headers={"origin": ORIGIN}, data={"csrf": "x"} if method == "POST" else None
        )
        assert answer.status_code in (303, 401), (method, path, answer.status_code)
        assert "Question" not in answer.text
        if answer.status_code == 303:
            assert answer.headers["location"] == "/sign-in"


def test_forms_need_their_token(visitor: Visitors, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    ann, ben = visitor().join(site, "Ann"), visitor().join(site, "Ben")
    ben.get("/judge")
    for csrf in ("", "0" * 64, ben.field("csrf")):
        with caplog.at_level(logging.WARNING):
            answer = ann.judge(csrf=csrf, preference__choice="tie")
        assert answer.status_code == 403
        assert "refused: POST" in caplog.text
        assert "Ann" in caplog.text
        ann.get("/judge")
    assert judged(site.store) == 0


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "", "sec-fetch-site": "cross-site"},
    ],
)
def test_forms_of_other_sites(visitor: Visitors, site: Site, headers: dict[str, str]) -> None:
    ann = visitor().join(site, "Ann")
    assert ann.post(f"/judge/{ann.task}", {"preference.choice": "tie"}, **headers).status_code == 403
    assert ann.post("/sign-in", {"name": "Ann", "password": PASSWORD}, **headers).status_code == 403
    assert judged(site.store) == 0


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "", "localhost"])
def test_other_names_of_this_machine(visitor: Visitors, host: str) -> None:
    """A page elsewhere whose name was made to mean 127.0.0.1 sends its own name."""
    assert visitor().client.get("/sign-in", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods(visitor: Visitors, method: str) -> None:
    assert visitor().client.request(method, "/judge").status_code == 405


def test_a_form_too_long(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    assert ann.post(f"/judge/{ann.task}", {"preference.choice": "x" * (MOST_BYTES + 1)}).status_code == 413


def test_tasks_and_judgements_of_others(visitor: Visitors, site: Site) -> None:
    ann, ben = visitor().join(site, "Ann"), visitor().join(site, "Ben")
    of_ann = ann.task
    assert ben.get(f"/judge/{of_ann}").status_code == 403
    ben.get("/judge")
    token = ben.field("csrf")
    assert ben.post(f"/judge/{of_ann}", {"csrf": token, "preference.choice": "tie"}).status_code == 403
    assert judged(site.store) == 0
    ann.judge(preference__choice="tie")
    ben.get("/mine")
    assert "Question" not in ben.page
    ben.get("/judge")
    ben.post("/undo")
    assert judged(site.store) == 1, "what Ann judged is not Ben's to undo"


def test_code_in_every_text_is_text(visitor: Visitors, site: Site) -> None:
    add_tasks(
        site.store, [Task(CODE, (CODE + "1", CODE + "2"), {"subset": CODE, "extra": {"own": CODE}})], in_order=True
    )
    with site.store.writing() as connection:
        connection.execute(tasks.update().where(tasks.c.id == 11).values(priority=1.0))
    ann = visitor().join(site, CODE[:40])
    pages = [ann.page]
    ann.judge(preference__choice="tie")
    pages.append(ann.get("/mine").text)
    pages.append(ann.get(f"/language/zh?back={CODE}").text)
    pages.append(ann.post("/sign-in", {"name": CODE, "password": CODE}).text)
    assert "alert(1)" in "".join(pages)
    for page in pages:
        assert not re.search(
            r"<script(?! src=\"/static/)|<img|<svg|onerror=[^&]|href=\"javascript", re.sub(r"&lt;.*?&gt;", "", page)
        )
        assert not re.search(r"(src|href)=\"(?!/|https?://e\.org/b\.png)", page.replace('href="#content"', ""))


def test_pages_may_load_nothing_from_elsewhere(visitor: Visitors) -> None:
    answer = visitor().get("/sign-in")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "evil", ["' OR '1'='1", "'; DROP TABLE judgements; --", '" OR ""="', "1) UNION SELECT password FROM people --"]
)
def test_sql_in_every_field(visitor: Visitors, site: Site, evil: str) -> None:
    ann = visitor().join(site, "Ann")
    with site.store.reading() as connection:
        before = connection.execute(select(func.count()).select_from(people)).scalar_one()
    for fields in (
        {"preference.choice": evil},
        {"token": evil, "preference.choice": "tie"},
        {"skip": evil},
        {"guidelines": evil},
    ):
        ann.get("/judge")
        ann.post(f"/judge/{ann.task}", fields)
    ann.get(f"/judge/{evil}")
    ann.get(f"/invitation/{evil}")
    assert visitor().post("/sign-in", {"name": evil, "password": evil}).status_code == 403
    with site.store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(people)).scalar_one() == before
        assert connection.execute(text("SELECT count(*) FROM judgements")).scalar_one() >= 0


@pytest.mark.parametrize(
    "path",
    [
        "../collect_config.py",
        "..%2f..%2fstore.py",
        "%2e%2e/%2e%2e/etc/passwd",
        "collect.css/../../store.py",
        "....//store.py",
    ],
)
def test_paths_out_of_the_static_folder(visitor: Visitors, path: str) -> None:
    answer = visitor().client.get(f"/static/{path}")
    assert answer.status_code == 404
    assert "import" not in answer.text


def test_passwords_cannot_be_tried_out(visitor: Visitors, site: Site) -> None:
    visitor().join(site, "Ann")
    guesser = visitor()
    guesser.get("/sign-in")
    answers = [guesser.post("/sign-in", {"name": "Ann", "password": f"guess {n}"}).status_code for n in range(15)]
    assert answers == [403] * 10 + [429] * 5
    assert guesser.post("/sign-in", {"name": "Ann", "password": PASSWORD}).status_code == 429
    links = visitor()
    found = [links.client.get(f"/invitation/{n}").status_code for n in range(210)]
    assert found == [404] * 198 + [429] * 12, "Ann came by a link too"


def test_an_unknown_name_takes_as_long(site: Site) -> None:
    accept(site.store, invite(site.store, "annotator"), "Ann", PASSWORD)
    times = {}
    for name in ("Ann", "Nobody"):
        took = []
        for _ in range(3):
            started = time.perf_counter()
            with pytest.raises(Exception, match="sign_in_wrong"):
                sign_in(site.store, name, "a wrong password")
            took.append(time.perf_counter() - started)
        times[name] = min(took)
    assert times["Nobody"] > 0.3 * times["Ann"]


def test_the_store_keeps_no_key(visitor: Visitors, site: Site) -> None:
    token = invite(site.store, "admin")
    ann = visitor().join(site, "Ann")
    session = ann.client.cookies[site.cookie]
    with site.store.reading() as connection:
        kept = str([connection.execute(select(table)).all() for table in (invitations, sessions, people)])
    assert token not in kept
    assert session not in kept
    assert PASSWORD not in kept
    assert token_digest(token) in kept
    assert "$argon2id$" in kept


def test_cookies_are_out_of_reach(visitor: Visitors, site: Site) -> None:
    guest = visitor()
    guest.client.follow_redirects = False
    path = f"/invitation/{invite(site.store, 'annotator')}"
    guest.get(path)
    answer = guest.client.post(
        path, data={"name": "Ann", "password": PASSWORD, "again": PASSWORD}, headers={"origin": ORIGIN}
    )
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert "SameSite=lax" in answer.headers["set-cookie"]


def test_an_invitation_is_good_once(visitor: Visitors, site: Site) -> None:
    path = f"/invitation/{invite(site.store, 'annotator')}"
    first = visitor()
    first.get(path)
    assert first.post(path, {"name": "Ann", "password": PASSWORD, "again": PASSWORD}).status_code == 200
    assert visitor().get(path).status_code == 404
    late = f"/invitation/{invite(site.store, 'annotator', days=-1)}"
    assert visitor().get(late).status_code == 404


@pytest.mark.parametrize(
    ("name", "password", "again", "fault"),
    [
        ("Ann", "short", "short", "at least 10"),
        ("", PASSWORD, PASSWORD, "visible characters"),
        ("A\u200bnn", PASSWORD, PASSWORD, "visible characters"),
        ("ANN", PASSWORD, PASSWORD, "is taken"),
        ("Ben", PASSWORD, "another password", "differ"),
    ],
)
def test_names_and_passwords_that_will_not_do(
    visitor: Visitors, site: Site, name: str, password: str, again: str, fault: str
) -> None:
    accept(site.store, invite(site.store, "annotator"), "Ann", PASSWORD)
    guest = visitor()
    path = f"/invitation/{invite(site.store, 'annotator')}"
    guest.get(path)
    answer = guest.post(path, {"name": name, "password": password, "again": again})
    assert answer.status_code == 422
    assert fault in answer.text


def test_who_is_let_go_is_out_at_once(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    set_active(site.store, 1, False)
    assert "Sign in" in ann.get("/judge").text
    assert ann.post("/sign-in", {"name": "Ann", "password": PASSWORD}).status_code == 403


def test_a_model_cannot_sign_in(visitor: Visitors, site: Site) -> None:
    ensure_person(site.store, "longest", "model")
    guest = visitor()
    assert guest.post("/sign-in", {"name": "longest", "password": ""}).status_code == 403


def test_the_link_of_ones_own_machine(lite: CollectStore, me: object) -> None:
    site = Site(lite, lite.secret(), link_token="secret link", owner=ensure_person(lite, "me", "admin"), url=ORIGIN)
    app = create_app(site, [ORIGIN])
    stranger = Visitor(app)
    assert "printed" in stranger.get("/judge").text
    assert stranger.get("/?token=wrong").status_code == 403
    assert "Question" not in stranger.page
    assert stranger.post("/sign-in", {"name": "me", "password": ""}).status_code == 403
    owner = Visitor(app)
    assert "Question" in owner.get("/?token=secret link").text
    assert owner.judge(preference__choice="1-3").status_code == 200
    assert judged(lite) == 1


def test_language_links_lead_nowhere_else(visitor: Visitors) -> None:
    guest = visitor()
    guest.client.follow_redirects = False
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nx: y"):
        answer = guest.client.get("/language/zh", params={"back": back})
        assert answer.headers["location"] == "/", back
