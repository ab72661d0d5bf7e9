"""The pages, asked without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import pytest
from sqlalchemy import select

from collection import ORIGIN, PASSWORD, Visitor
from guerdon.collect.kinds.asking import Task
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.rendering import markdown_html
from guerdon.collect.rows_out import judged_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import judgements
from guerdon.collect.tasks import add_tasks
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.site import Site
from guerdon.types import Comparison, Message

Visitors = Callable[[], Visitor]


def test_joining_signing_out_and_in(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    assert "Question" in ann.page
    ann.post("/sign-out")
    assert "Sign in" in ann.get("/judge").text
    assert ann.post("/sign-in", {"name": " Ann ", "password": PASSWORD}).status_code == 200
    assert "Question" in ann.page


def test_what_is_chosen_on_the_page_is_what_is_stored(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    for _ in range(10):
        first = re.search(r'id="answer-0".*?<p>(\w+)', ann.page, re.DOTALL)
        assert first
        ann.judge(preference__choice="0-2" if first[1] == "Good" else "1-2", seconds="1.5")
    assert "Nothing is left" in ann.page
    rows = judged_rows(site.store)
    assert len(rows) == 10
    for row in rows:
        assert isinstance(row, Comparison)
        assert row.chosen.startswith("Good")
    assert {row.extra["shown_first"] for row in rows} == {"chosen", "rejected"}


def test_a_form_without_an_answer_is_shown_again(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    answer = ann.judge(preference__choice="")
    assert answer.status_code == 422
    assert "Please answer every question" in answer.text
    assert judged_count(site.store) == 0


def judged_count(store: CollectStore) -> int:
    with store.reading() as connection:
        return len(connection.execute(select(judgements.c.id)).all())


def test_reload_after_sending_stores_once(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    sent = {"csrf": ann.field("csrf"), "token": ann.field("token"), "preference.choice": "tie"}
    path = f"/judge/{ann.task}"
    for _ in range(3):
        assert ann.client.post(path, data=sent, headers={"origin": ORIGIN}).status_code == 200
    assert judged_count(site.store) == 1


def test_undo_shows_what_was_chosen(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    task = ann.task
    ann.judge(preference__choice="1-3")
    ann.post("/undo")
    assert ann.task == task
    assert re.search(r'value="1-3"[^>]* checked', ann.page)


def test_skipping(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    ann.judge(skip="harmful")
    with site.store.reading() as connection:
        row = connection.execute(select(judgements.c.state, judgements.c.answer)).one()
    assert (row.state, row.answer) == ("skip", {"reason": "harmful"})
    assert "Skipped" in ann.get("/mine").text


def test_looking_back_and_changing(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    task = ann.task
    ann.judge(preference__choice="0-1")
    assert f'href="/judge/{task}"' in ann.get("/mine").text
    ann.get(f"/judge/{task}")
    ann.judge(preference__choice="tie")
    (row,) = judged_rows(site.store)
    assert isinstance(row, Comparison)
    assert row.preference == 0.5


def test_several_questions_on_one_page(visitor: Visitors, site: Site) -> None:
    questions = ({"kind": "pairwise", "name": "preference"}, {"kind": "rating", "attributes": ["brief", "kind"]})
    site.store.set_project(Project(questions=tuple(map(parse_question, questions)), guidelines="Be **fair**."))
    ann = visitor().join(site, "Ann")
    assert "<strong>fair</strong>" in ann.page
    ratings = {f"quality.{place}.{at}": str(1 + place + at) for place in range(2) for at in range(2)}
    assert ann.post(f"/judge/{ann.task}", ratings).status_code == 422
    assert ann.post(f"/judge/{ann.task}", ratings | {"preference.choice": "tie"}).status_code == 200
    with site.store.reading() as connection:
        rows = connection.execute(select(judgements).order_by(judgements.c.id)).all()
    assert [row.question for row in rows] == ["preference", "quality"]
    assert [row.guidelines for row in rows] == [2, 2]
    in_order = [{"brief": 1, "kind": 2}, {"brief": 2, "kind": 3}]
    assert rows[1].answer == [in_order[rows[1].shown.index(place)] for place in range(2)]


def test_dialogues_and_markdown(visitor: Visitors, site: Site) -> None:
    prompt = (Message("system", "Be brief."), Message("user", "Sort *this*:\n\n```python\nx = [2, 1]\n```"))
    add_tasks(site.store, [Task(prompt, ("| a |\n|---|\n| 1 |", "**no**"))], in_order=True)
    ann = visitor().join(site, "Ann")
    while "Be brief." not in ann.page:
        ann.judge(preference__choice="tie")
    for part in (
        "System",
        '<code class="language-python">x = [2, 1]',
        "<table>",
        "<strong>no</strong>",
        "<em>this</em>",
    ):
        assert part in ann.page


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [("", "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"), ("", "fr,de", "en"), ("zh", "en", "zh-CN"), ("xx", "en", "en")],
)
def test_language(visitor: Visitors, chosen: str, accepted: str, language: str) -> None:
    guest = visitor()
    if chosen:
        guest.client.cookies.set("language", chosen)
    page = guest.get("/sign-in", headers={"accept-language": accepted}).text
    assert f'<html lang="{language}">' in page


def test_every_page_says_it_in_chinese_too(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    for path, words in {"/judge": "哪个回答更好", "/mine": "我的标注", "/nowhere": "没有这个页面"}.items():
        ann.client.get("/language/zh")
        assert words in ann.get(path).text


@pytest.mark.parametrize(
    ("path", "heading", "said"),
    [
        ("/nowhere", "Not found", "There is no such page."),
        ("/undo", "Not found", "There is no such page."),
        ("/judge/99", "Not allowed", "This task is not yours."),
        ("/overview", "Not allowed", "Your role may not see this."),
        ("/invitation/none", "Not found", "This invitation is not valid"),
    ],
)
def test_a_fault_has_a_heading_of_its_kind(visitor: Visitors, site: Site, path: str, heading: str, said: str) -> None:
    page = visitor().join(site, "Ann").get(path).text
    assert f"<h1>{heading}</h1>" in page
    assert said in page


def test_too_many_attempts_are_told_to_wait(visitor: Visitors) -> None:
    guest = visitor()
    guest.get("/sign-in")
    for _ in range(11):
        guest.post("/sign-in", {"name": "Ann", "password": "wrong"})
    assert "<h1>Please wait</h1>" in guest.page


def test_lists_show_the_last_message_of_a_dialogue(visitor: Visitors, site: Site) -> None:
    system = Message("system", "The same in every dialogue. " * 20)
    add_tasks(site.store, [Task((system, Message("user", "How many eggs?")), ("two", "three"))], in_order=True)
    ann = visitor().join(site, "Ann")
    while "How many eggs?" not in ann.page:
        ann.judge(preference__choice="tie")
    ann.judge(preference__choice="tie")
    assert ">How many eggs?</a>" in ann.get("/mine").text


def test_the_script_is_told_where_to_go(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    path = f"/judge/{ann.task}"
    assert ann.post(path, {"preference.choice": ""}, **{"x-guerdon": "1"}).json() == {
        "fault": "Please answer every question, or skip."
    }
    assert ann.post(path, {"preference.choice": "tie"}, **{"x-guerdon": "1"}).json() == {"next": "/judge"}


def test_time_is_what_the_page_measured_within_reason(visitor: Visitors, site: Site) -> None:
    ann = visitor().join(site, "Ann")
    for seconds in ("0.5", "1e9", "-3", "nan", "soon", ""):
        ann.judge(preference__choice="tie", seconds=seconds)
    with site.store.reading() as connection:
        found = connection.execute(select(judgements.c.seconds).order_by(judgements.c.id)).scalars().all()
    assert found[0] == 0.5
    assert 0 < found[1] < 60
    assert found[2:] == [0, None, None, None]


def test_a_store_is_seen_in_two_apps(site: Site) -> None:
    """Two processes that serve one store hand out different tasks."""
    first, second = (Visitor(create_app(site, [ORIGIN])) for _ in range(2))
    assert first.join(site, "Ann").task != second.join(site, "Ben").task


@pytest.mark.parametrize("text", ["<b>x</b>", "&amp;", "<!-- x -->"])
def test_html_is_shown_as_it_was_written(text: str) -> None:
    assert "&" in str(markdown_html(text))
    assert "<b>" not in str(markdown_html(text))


def test_serving_loads_no_model_library() -> None:
    """So that the link is there in seconds."""
    heavy = "{'torch', 'matplotlib', 'sklearn', 'pyarrow'}"
    code = f"import sys, guerdon.collect.web.collect_app; print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
