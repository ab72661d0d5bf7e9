"""Disputed tasks: which they are, who settles them, what goes out then."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import guerdon
from collection import ORIGIN, PAIRWISE, SECRET, Visitor, judge_all
from guerdon.cli.main import main
from guerdon.collect.accounts import ensure_person
from guerdon.collect.adjudicating import final_labels, settle, take_back
from guerdon.collect.assigning import next_task
from guerdon.collect.disputes import find_disputes
from guerdon.collect.kinds.asking import Task
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.recording import Judged, record
from guerdon.collect.rows_out import judged_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import adjudications
from guerdon.collect.tasks import add_tasks
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.site import Site
from guerdon.types import Comparison

CODE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'><svg onload=alert(1)>[a](javascript:alert(1))"
Visitors = Callable[[], Visitor]


@pytest.fixture
def disputed(store: CollectStore) -> CollectStore:
    """Ann and Ben agree but of tasks 3 and 4; Cyd says nothing of any."""
    judge_all(store, "Ann", lambda n: 0)
    judge_all(store, "Ben", lambda n: 1 if n == 3 else "tie" if n == 4 else 0)
    return store


def queue(store: CollectStore) -> list[tuple[Any, int]]:
    with store.reading() as connection:
        return [(one.prompt, one.people) for one in find_disputes(connection, PAIRWISE.questions)]


def number(store: CollectStore, prompt: str) -> int:
    with store.reading() as connection:
        return next(one.task for one in find_disputes(connection, PAIRWISE.questions) if one.prompt == prompt)


@pytest.mark.parametrize(
    ("kind", "one", "other", "apart"),
    [
        ("pairwise", {"choice": 0, "strength": 3}, {"choice": 0, "strength": 1}, 0.0),
        ("pairwise", {"choice": 0, "strength": 1}, {"choice": "bad"}, 0.5),
        ("pairwise", {"choice": "tie"}, {"choice": "bad"}, 0.0),
        ("pairwise", {"choice": 0, "strength": 1}, {"choice": 1, "strength": 1}, 1.0),
        ("rating", [{"score": 1}, {"score": 5}], [{"score": 2}, {"score": 3}], 0.5),
        ("ranking", [1, 2, 3], [3, 2, 1], 1.0),
        ("ranking", [1, 2, 3], [1, 3, 2], 1 / 3),
        ("ranking", [1, 2, None], [1, 1, 2], 0.5),
        ("ranking", [1, 2, None], [None, 1, 2], 0.0),
        ("steps", [1, 0, None], [1, 0, 1], 0.0),
        ("steps", [1, 0, None], [1, 1, 0], 1.0),
        ("spans", [{"start": 0, "end": 4, "label": "minor"}], [{"start": 2, "end": 4, "label": "minor"}], 1 / 3),
        ("spans", [], [], 0.0),
        ("rewrite", "one", "other", 0.0),
    ],
)
def test_how_far_answers_differ(kind: str, one: Any, other: Any, apart: float) -> None:
    question = parse_question({"kind": kind})
    assert question.apart(one, other) == pytest.approx(apart)
    assert question.apart(other, one) == pytest.approx(apart)


def test_who_differs_is_in_the_queue(disputed: CollectStore) -> None:
    assert sorted(queue(disputed)) == [("Question 3?", 2), ("Question 4?", 2)]
    judge_all(disputed, "Cyd", lambda n: 0)
    found = queue(disputed)
    assert ("Question 3?", 3) in found, "also where most agree"


def test_models_and_single_judgements_dispute_nothing(lite: CollectStore) -> None:
    judge_all(lite, "Ann", lambda n: 0)
    guerdon.judge_collection(lite.place, "shortest")
    assert queue(lite) == []


def test_a_final_label_stands_and_nothing_is_deleted(disputed: CollectStore) -> None:
    eve, task = ensure_person(disputed, "Eve", "reviewer"), number(disputed, "Question 3?")
    decided = {"preference": {"choice": 1, "strength": 2}}
    for token in ("one", "one"):  # a form that is sent twice
        settle(disputed, eve.id, task, decided, token=token, shown=(1, 0), guidelines=1)
    assert queue(disputed) == [("Question 4?", 2)]
    other = ensure_person(disputed, "Fay", "admin")
    settle(disputed, other.id, task, {"preference": {"choice": "tie"}}, token="two", shown=(0, 1), guidelines=1)
    with disputed.reading() as connection:
        (final,) = final_labels(connection).values()
    assert (final.reviewer, final.answer) == ("Fay", {"choice": "tie"})
    assert take_back(disputed, eve.id, "three") is None, "hers stands no more"
    for token in ("four", "four"):
        assert take_back(disputed, other.id, token) == task
    assert ("Question 3?", 2) in queue(disputed)
    with disputed.reading() as connection:
        rows = connection.execute(select(adjudications).order_by(adjudications.c.id)).all()
    assert [(row.state, row.supersedes) for row in rows] == [("final", None), ("final", 1), ("undone", 2)]


def test_what_was_decided_goes_out(disputed: CollectStore, place: str, tmp_path: Path) -> None:
    eve = ensure_person(disputed, "Eve", "reviewer")
    answer = {"preference": {"choice": 1, "strength": 3}}
    settle(disputed, eve.id, number(disputed, "Question 3?"), answer, token="one", shown=(1, 0), guidelines=1)
    for pool, count in ((False, 19), (True, 10)):
        rows = [row for row in judged_rows(disputed, pool=pool) if isinstance(row, Comparison)]
        assert len(rows) == count
        (row,) = (row for row in rows if row.prompt == "Question 3?")
        assert (row.chosen, row.margin, row.preference) == ("Bad answer 3.", 3.0, 1.0)
        assert row.extra["adjudicated_by"] == "Eve"
        assert row.extra["annotators"] == ["Ann", "Ben"]
        assert row.extra["shown_first"] == "chosen"
    assert len(judged_rows(disputed, final=False)) == 20
    out = tmp_path / "out.jsonl"
    assert main(["collect", "export", place, str(out), "--no-final"]) == 0
    assert len(out.read_text().splitlines()) == 20
    found = guerdon.annotator_agreement(place)
    assert found.questions[0].judgements == 20, "agreement is that of the judgements"


def test_a_reviewer_settles(visitor: Visitors, site: Site) -> None:
    names = {}
    for name, role in (("Ann", "annotator"), ("Ben", "reviewer"), ("Eve", "reviewer")):
        names[name] = visitor().join(site, name, role)
    judge_all(site.store, "Ann", lambda n: 0)
    judge_all(site.store, "Ben", lambda n: int(n > 7))
    eve = names["Eve"]
    page = eve.get("/disputed").text
    assert "Disputed tasks: 2." in page
    page = eve.get("/disputed/next").text
    assert "2 disputed" in page
    assert "Ann" in page
    assert "Ben" in page
    task = next(part for part in page.split('"') if part.startswith("/disputed/") and part[10:].isdigit())
    good = page.index("Good answer") < page.index("Bad answer")
    later = eve.get(f"/disputed/next?after={task[10:]}").text
    assert task not in later.split('form class="judge"')[1].split(">")[0], "the other one"
    eve.get(task)
    assert "Please answer every question" in eve.post(task, {}).text
    answer = eve.post(task, {"preference.choice": "0-3" if good else "1-3"})
    assert "1 disputed" in answer.text
    assert "Settled (1)" in eve.get("/disputed").text
    page = eve.get(task).text
    assert "Final label, by Eve: " in page
    assert f"{'A' if good else 'B'} is much better" in page.split("Final label, by Eve: ")[1][:60]
    eve.post("/disputed-undo", {"token": "another one"})
    assert "Disputed tasks: 2." in eve.get("/disputed").text
    with site.store.reading() as connection:
        answers = connection.execute(select(adjudications.c.answer)).scalars().all()
    assert {one["choice"] for one in answers} == {0}, "by its place in the task"


def test_annotators_see_none_of_it(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    judge_all(site.store, "Ann", lambda n: 0)
    judge_all(site.store, "Ben", lambda n: 1)
    for path in ("/disputed", "/disputed/next", "/disputed/1"):
        answer = ann.get(path)
        assert answer.status_code == 403
        assert "Ben" not in answer.text
    ann.get("/judge")
    assert ann.post("/disputed/1", {"preference.choice": "tie"}).status_code == 403
    assert "Disputed" not in ann.get("/judge").text
    eve = visitor().join(site, "Eve", "reviewer")
    assert eve.get("/disputed/999").status_code == 404
    assert eve.client.post("/disputed/1", data={"preference.choice": "tie"}).status_code == 403, "without its token"


QUESTIONS: list[dict[str, Any]] = [
    {"kind": "rating", "attributes": ["clear", "brief"]},
    {"kind": "ranking"},
    {"kind": "steps"},
    {"kind": "spans"},
    {"kind": "pairwise", "strengths": 1},
]


@pytest.mark.parametrize("options", QUESTIONS, ids=lambda one: one["kind"])
def test_every_kind_has_its_page(tmp_path: Path, options: dict[str, Any]) -> None:
    store = CollectStore.open(tmp_path / "labels.db", create=True)
    question = parse_question(options)
    store.set_project(Project(questions=(question,)))
    task = Task("Q?", ("one\n\ntwo",)) if question.takes == "one" else Task("Q?", ("x <b>", "y"))
    add_tasks(store, [task])
    answers: dict[str, tuple[Any, Any]] = {
        "rating": ([{"clear": 1, "brief": 2}] * 2, [{"clear": 5, "brief": 2}] * 2),
        "ranking": ([1, 2], [2, 1]),
        "steps": ([1, 1], [1, 0]),
        "spans": ([], [{"start": 0, "end": 3, "label": "major"}]),
        "pairwise": ({"choice": 0, "strength": 1}, {"choice": 1, "strength": 1}),
    }
    for name, answer in zip(("Ann", "Ben"), answers[question.kind], strict=True):
        person = ensure_person(store, name, "annotator")
        found = next_task(store, SECRET, person.id, overlap=2)
        assert found is not None
        record(store, SECRET, person.id, found.id, Judged(token=name, answers={question.name: answer}))
    site = Site(store, store.secret(), url=ORIGIN)
    eve = Visitor(create_app(site, [ORIGIN])).join(site, "Eve", "reviewer")
    page = eve.get("/disputed/next").text
    for words in {
        "rating": ("clear 5, brief 2",),
        "ranking": ("<b>A</b> &gt; <b>B</b>", "<b>B</b> &gt; <b>A</b>"),
        "steps": ("All steps right", "First error: step 2"),
        "spans": ("Nothing marked", "“one” (Major)"),
        "pairwise": ("A is better", "B is better"),
    }[question.kind]:
        assert words in page.split("<h2>Judgements</h2>")[1].split("</section>")[0]
    fields = {
        "rating": {f"quality.{place}.{at}": "3" for place in "01" for at in "01"},
        "ranking": {"order.0": "1", "order.1": "1"},
        "steps": {"correct.0": "right", "correct.1": "wrong"},
        "spans": {"errors.marks": json.dumps([{"start": 0, "end": 3, "label": "minor"}])},
        "pairwise": {"preference.choice": "tie"},
    }[question.kind]
    assert "Nothing is disputed" in eve.post("/disputed/1", fields).text
    page = eve.get("/disputed/1").text
    assert "Final label, by Eve: " in page
    assert question.kind != "ranking" or "<b>A</b> = <b>B</b>" in page
    assert judged_rows(store)[0].extra["adjudicated_by"] == "Eve"
    store.close()


def test_code_in_texts_and_names_stays_text(tmp_path: Path) -> None:
    store = CollectStore.open(tmp_path / "labels.db", create=True)
    question = parse_question({"kind": "spans", "labels": {"<b>bad</b>": 1.0}})
    store.set_project(Project(questions=(question,), guidelines=CODE))
    add_tasks(store, [Task(CODE, (CODE,))])
    for name, answer in (("<i>Ann</i>", []), ("$x$_{", [{"start": 0, "end": len(CODE), "label": "<b>bad</b>"}])):
        person = ensure_person(store, name, "annotator")
        found = next_task(store, SECRET, person.id, overlap=2)
        assert found is not None
        record(store, SECRET, person.id, found.id, Judged(token=name, answers={question.name: answer}, seconds=1.0))
    site = Site(store, store.secret(), url=ORIGIN)
    eve = Visitor(create_app(site, [ORIGIN])).join(site, "Eve", "reviewer")
    for path in ("/disputed", "/disputed/1", "/overview"):
        answer = eve.get(path)
        assert answer.status_code == 200
        for code in ("<script>alert", "<img src=x", "<svg onload", "<i>Ann", "<b>bad", 'href="javascript:'):
            assert code not in answer.text, (path, code)
    store.close()
