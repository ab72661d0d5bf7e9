"""Roles, invitations by the page, the overview, gold questions, models as annotators."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

import guerdon
from collection import ORIGIN, PAIRWISE, Visitor
from guerdon.cli.main import main
from guerdon.collect.accounts import ensure_person
from guerdon.collect.assigning import next_task
from guerdon.collect.kinds.asking import Task
from guerdon.collect.quality import collection_figures
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.recording import Judged, record
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import judgements, tasks
from guerdon.collect.tasks import add_tasks, read_gold
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.site import Site
from guerdon.errors import ConfigError, DataError
from guerdon.types import Ranking

Visitors = Callable[[], Visitor]
SECRET = bytes(32)


def test_roles(visitor: Visitors, site: Site) -> None:
    seen = {}
    for role in ("annotator", "reviewer", "admin"):
        one = visitor().join(site, role, role)
        one.judge(preference__choice="tie")
        seen[role] = [
            one.client.get(path).status_code for path in ("/judge", "/overview", "/people", "/export/preference")
        ]
    assert seen == {"annotator": [200, 403, 403, 403], "reviewer": [200, 200, 403, 403], "admin": [200] * 4}


def test_an_admin_invites_and_lets_go(visitor: Visitors, site: Site) -> None:
    admin = visitor().join(site, "Eve", "admin")
    admin.get("/people")
    admin.post("/people", {"role": "annotator"})
    link = re.search(rf"{ORIGIN}(/invitation/[\w-]+)", admin.page)
    back = re.search(r'href="(/language/zh[^"]*)"', admin.page)
    assert back
    assert "生成链接" in admin.client.get(back[1]).text, "the page of a sent form is there in the other language too"
    admin.client.get("/language/en")
    assert link
    ann = visitor()
    ann.get(link[1])
    ann.post(link[1], {"name": "Ann", "password": "a long enough password", "again": "a long enough password"})
    assert "Question" in ann.page
    admin.get("/people")
    admin.post("/people/2/active", {"active": "no"})
    assert "Sign in" in ann.get("/judge").text
    assert "(deactivated)" in admin.get("/people").text
    assert admin.post("/people/1/active", {"active": "no"}).status_code == 403
    assert admin.post("/people", {"role": "god"}).status_code == 400


def test_an_annotator_cannot_invite(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    assert ann.post("/people", {"role": "admin"}).status_code == 403
    assert ann.post("/people/1/active", {"active": "no"}).status_code == 403


def test_the_overview_shows_who_judges_how(visitor: Visitors, site: Site) -> None:
    eve = visitor().join(site, "Eve", "admin")
    assert "Nothing is judged yet" in eve.get("/overview").text
    eve.get("/judge")
    for choice in ("0-1", "0-2", "tie"):
        eve.judge(preference__choice=choice, seconds="0.5")
    page = eve.get("/overview")
    assert "Tasks judged: 3 of 10. Judgements by people: 3." in page.text
    assert "<svg" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    rows = [json.loads(line) for line in eve.client.get("/export/preference").text.splitlines()]
    assert [row["annotator"] for row in rows] == ["Eve"] * 3
    assert eve.client.get("/export/nothing").status_code == 404


def judge_all(store: CollectStore, name: str, choice: Callable[[Task], Any], **options: Any) -> None:
    person = ensure_person(store, name, "annotator")
    while (found := next_task(store, SECRET, person.id, **options)) is not None:
        answers = {"preference": choice(found.task)}
        record(store, SECRET, person.id, found.id, Judged(token=f"{name} {found.id}", answers=answers, seconds=0.0))


def test_quality_of_annotators(lite: CollectStore, tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"Gold {n}?", "chosen": "yes", "rejected": "no"}) + "\n" for n in range(4))
    )
    add_tasks(lite, read_gold(str(path), PAIRWISE.questions))

    def good(task: Any) -> dict[str, int]:
        return {"choice": 0, "strength": 1}

    def odd(task: Any) -> dict[str, int]:
        return {"choice": int(task.prompt[-2] in "13579"), "strength": 3}

    judge_all(lite, "Ann", good, overlap=2, gold_every=2)
    judge_all(lite, "Ben", odd, overlap=2, gold_every=2)
    with lite.reading() as connection:
        ann, ben = collection_figures(connection, PAIRWISE.questions).annotators
    assert ann.gold is not None
    assert ann.others is not None
    assert ben.gold is not None
    assert ann.gold.point == 1
    assert ben.gold.point == 0.5
    assert ann.others.point == 0.5, "they differ where the number of the task is odd"
    assert ben.others == ann.others
    assert len(guerdon.load_rows(str(export(lite, tmp_path)))) == 20, "gold tasks do not go out"


def export(store: CollectStore, folder: Path, **options: Any) -> Path:
    guerdon.export_judgements(store.place, folder / "out.jsonl", **options)
    return folder / "out.jsonl"


def test_gold_must_answer_a_question(tmp_path: Path) -> None:
    path = tmp_path / "gold.jsonl"
    path.write_text('{"prompt": "p", "response": "r", "score": 1}\n')
    with pytest.raises(DataError, match="gold.jsonl:1: a Rating answers none of the questions"):
        list(read_gold(str(path), PAIRWISE.questions))


def test_a_reward_as_annotator(lite: CollectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_tasks(lite, [Task("Same?", ("abcd", "efgh"))])
    judge_all(lite, "Ann", lambda task: {"choice": 1, "strength": 2})
    assert main(["collect", "judge", lite.place, "longest"]) == 0
    assert capsys.readouterr().out == "11 tasks judged, 0 without a verdict; 0 were judged before\n"
    again = guerdon.judge_collection(lite.place, "longest")
    assert (again.judged, again.known) == (0, 11)
    people = guerdon.load_rows(str(export(lite, tmp_path)))
    assert {row.extra["annotator"] for row in people} == {"Ann"}
    models = guerdon.load_rows(str(export(lite, tmp_path, who="models")))
    assert [row.extra["annotator_kind"] for row in models] == ["model"] * 11
    assert sum(row.chosen.startswith("Good") for row in models) == 10  # type: ignore[union-attr]
    assert {row.preference for row in models} == {1.0, 0.5}  # type: ignore[union-attr]
    assert {row.margin for row in models} == {None}  # type: ignore[union-attr]
    with lite.reading() as connection:
        assert set(connection.execute(select(tasks.c.taken)).scalars()) == {1}


class Judge:
    """Prefers the second, and says nothing of one question."""

    def compare(self, prompts: Any, a: Any, b: Any, *, references: Any = None) -> np.ndarray:
        return np.array([np.nan if "3" in prompt else 0.25 for prompt in prompts], dtype=np.float32)


def test_a_judge_as_annotator(lite: CollectStore, tmp_path: Path) -> None:
    done = guerdon.judge_collection(lite.place, Judge(), name="my judge")
    assert (done.judged, done.without_verdict) == (9, 1)
    rows = guerdon.load_rows(str(export(lite, tmp_path, who="models")))
    assert all(row.chosen.startswith("Bad") for row in rows)  # type: ignore[union-attr]
    with lite.reading() as connection:
        skipped = connection.execute(select(judgements.c.answer).where(judgements.c.state == "skip")).scalar_one()
    assert "gave nan" in skipped["reason"]


def test_rewards_rank(tmp_path: Path) -> None:
    store = CollectStore.open(tmp_path / "r.db", create=True)
    questions = ({"kind": "ranking"}, {"kind": "rating", "name": "quality"})
    store.set_project(Project(questions=tuple(map(parse_question, questions))))
    add_tasks(store, [Task("p", ("aa", "bbbb", "cc"))])
    guerdon.judge_collection(store.place, "longest", question="order")
    (row,) = guerdon.load_rows(str(export(store, tmp_path, who="models", question="order")))
    assert isinstance(row, Ranking)
    assert row.scores == (0, 1, 0)
    with pytest.raises(ConfigError, match="a reward cannot answer quality"):
        guerdon.judge_collection(store.place, "longest", question="quality")
    with pytest.raises(ConfigError, match="what only compares cannot answer order"):
        guerdon.judge_collection(store.place, Judge(), name="judge", question="order")


def test_a_name_is_a_person_or_a_model(lite: CollectStore) -> None:
    ensure_person(lite, "longest", "annotator")
    with pytest.raises(ConfigError, match="'longest' is the name of a annotator"):
        guerdon.judge_collection(lite.place, "longest")


def test_names_of_people_are_text_in_the_overview(lite: CollectStore) -> None:
    owner = ensure_person(lite, "me", "admin")
    judge_all(lite, "<script>alert(1)</script>", lambda task: {"choice": "tie"})
    site = Site(lite, lite.secret(), link_token="the link", owner=owner, url=ORIGIN)
    me = Visitor(create_app(site, [ORIGIN]))
    me.get("/?token=the link")
    assert "&lt;script&gt;alert(1)" in me.get("/overview").text
    assert "<script>alert" not in me.page
