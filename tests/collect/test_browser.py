"""The app in a real browser: by keyboard alone, interrupted, in both languages; what is exported trains."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from collection import PAIRWISE, PASSWORD, judge_all, some_tasks
from guerdon.collect.rows_out import judged_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.tasks import add_tasks
from guerdon.data.read import load_rows
from guerdon.types import Comparison

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (Debian: apt-get install chromium)"),
]


RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}


class Server:
    """`guerdon collect serve` in a process of its own."""

    started: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self, folder: Path, *options: str, port: int = 0) -> None:
        self.log = folder / "serve.log"
        command = [sys.executable, "-m", "guerdon", "collect", "serve", *options, "--port", str(port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        self.started.append(self.process)
        for _ in range(600):
            if found := re.search(r"Open (http\S+)", self.log.read_text()):
                self.link = found[1]
                return
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        raise AssertionError("the server does not start")

    @property
    def base(self) -> str:
        return self.link.split("/?")[0]

    @property
    def invitation(self) -> str:
        """The link that makes the first admin."""
        found = re.search(r"once: (\S+)", self.log.read_text())
        assert found
        return found[1]

    def stop(self, how: int = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(20)


@pytest.fixture(autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    for process in Server.started:
        process.kill()
        process.wait()
    Server.started.clear()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Forty pairs; one answer of each is polite."""
    path = tmp_path / "pairs.jsonl"
    lines = [
        {"prompt": f"How long for {n} eggs?", "responses": [f"Please boil {n} eggs for 8 minutes.", f"No idea, {n}."]}
        for n in range(40)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def new_page(browser: Any, **options: Any) -> Any:
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(15_000)
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.faults = faults
    return page


def press_better(page: Any) -> None:
    """Prefers the polite answer, wherever it stands, and waits for the next task."""
    task = page.get_attribute("form.judge", "action")
    polite = "Please" in page.inner_text("#answer-0 + .prose")
    page.keyboard.press("2" if polite else "6")
    page.wait_for_function(
        "before => document.querySelector('form.judge')?.getAttribute('action') !== before", arg=task
    )


def test_thirty_by_keyboard_with_a_break(chromium: Any, pairs: Path, tmp_path: Path) -> None:
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    server = Server(tmp_path, str(pairs), "--store", "labels.db", "--url", url, port=port)
    page = new_page(chromium)
    page.goto(server.invitation)
    for text in ("Ann", PASSWORD, PASSWORD):  # the first field has the focus
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/judge")
    press_better(page)
    if os.getloadavg()[0] < 2 * (os.cpu_count() or 1):  # else it is the others' work that takes the time
        assert time.monotonic() - started < 60, "the first label takes at most a minute"
    for _ in range(9):
        press_better(page)
    undone = page.get_attribute("form.judge", "action")
    page.keyboard.press("u")
    page.wait_for_function(
        "before => document.querySelector('form.judge')?.getAttribute('action') !== before", arg=undone
    )
    assert page.is_checked("input[value='0-2']") or page.is_checked("input[value='1-2']"), "what was chosen is shown"
    page.goto(f"{server.base}/judge")
    press_better(page)

    page.context.close()
    server.stop(signal.SIGKILL)
    server = Server(tmp_path, "--store", "labels.db", "--url", url, port=port)
    page = new_page(chromium)
    page.goto(server.link)
    for text in ("Ann", PASSWORD):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/judge")
    assert "10 judged, 30 left" in page.inner_text(".pace")
    for _ in range(20):
        press_better(page)
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('.pace').textContent.includes('9 left')")
    assert page.faults == []
    page.context.close()
    server.stop()

    done = subprocess.run(
        [sys.executable, "-m", "guerdon", "collect", "export", "labels.db", "judged.jsonl"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "30 rows in judged.jsonl" in done.stderr
    rows = load_rows(str(tmp_path / "judged.jsonl"))
    assert all(isinstance(row, Comparison) and row.chosen.startswith("Please") and row.margin == 2 for row in rows)
    assert {row.extra["shown_first"] for row in rows} == {"chosen", "rejected"}
    fit = [sys.executable, "-m", "guerdon", "fit", "judged.jsonl", "--members", "tfidf", "--out", "reward"]
    subprocess.run(fit, cwd=tmp_path, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert (tmp_path / "reward" / "guerdon.json").exists()


QUESTIONS = """
title = "Eggs"
guidelines = "Prefer what a *careful* cook would say."
[[questions]]
kind = "ranking"
[[questions]]
kind = "rating"
attributes = ["clear", "brief"]
"""


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("kind", ["pairwise", "several", "steps", "spans", "rewrite"])
def test_pages_can_be_used_by_everybody(chromium: Any, pairs: Path, tmp_path: Path, kind: str, colours: str) -> None:
    """No fault that axe finds against WCAG 2.2 AA, at the width of a desk and of a phone."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    (tmp_path / "several.toml").write_text(QUESTIONS)
    server = Server(tmp_path, str(pairs), "--questions", "several.toml" if kind == "several" else kind)
    found = []
    for width, locale in ((1280, "en"), (375, "zh-CN")):
        viewport = {"width": width, "height": 800}
        page = new_page(chromium, viewport=viewport, locale=locale, color_scheme=colours)
        page.goto(server.link)
        for path in ("/judge", "/mine", "/overview", "/nowhere") if kind == "pairwise" else ("/judge",):
            page.goto(server.base + path)
            found += look(axe, page, path, width)
    server.stop()
    assert found == []


def test_ranking_and_steps_by_keyboard(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "several.jsonl"
    path.write_text(json.dumps({"prompt": "p", "responses": ["one", "two", "three"]}) + "\n")
    server = Server(tmp_path, str(path), "--questions", "ranking")
    page = new_page(chromium)
    page.goto(server.link)
    shown = [page.inner_text(f"#answer-{place} + .prose") for place in range(3)]
    for word in ("three", "one"):
        page.keyboard.press(str(shown.index(word) + 1))
    page.keyboard.press("Enter")
    page.wait_for_selector(".headline.better")
    server.stop()
    command = [sys.executable, "-m", "guerdon", "collect", "export", "collect.db", "-"]
    row = json.loads(subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout)
    assert dict(zip(row["responses"], row["scores"], strict=True)) == {"three": 1, "one": 0}


def test_cards_are_dragged_into_order(chromium: Any, tmp_path: Path) -> None:
    path = tmp_path / "several.jsonl"
    path.write_text(json.dumps({"prompt": "p", "responses": ["one", "two", "three"]}) + "\n")
    server = Server(tmp_path, str(path), "--questions", "ranking")
    page = new_page(chromium)
    page.goto(server.link)

    def drag(card: int, onto: int) -> list[str]:
        left = {"x": 8, "y": 8}  # beside the field with the rank
        cards = page.locator(".ranks li")
        cards.nth(card).drag_to(cards.nth(onto), source_position=left, target_position=left)
        order: list[str] = page.locator(".ranks b").all_inner_texts()
        return order

    assert drag(2, 0) == ["C", "A", "B"]
    assert drag(0, 2) == ["A", "B", "C"], "to the right as to the left: it takes the place of the other"
    ranks = page.eval_on_selector_all(".ranks select", "all => all.map(one => one.value)")
    assert ranks == ["1", "2", "3"]
    server.stop()


def test_marks_are_seen_in_the_text(chromium: Any, tmp_path: Path) -> None:
    text = "One bad word, and a long rest. " * 30
    path = tmp_path / "texts.jsonl"
    path.write_text(json.dumps({"prompt": "p", "response": text}) + "\n")
    server = Server(tmp_path, str(path), "--questions", "spans")
    for width in (1280, 375):
        page = new_page(chromium, viewport={"width": width, "height": 800})
        page.goto(server.link)
        field = page.locator(".spans textarea")
        field.evaluate("one => { one.focus(); one.setSelectionRange(4, 7); }")
        page.keyboard.press('"')  # no key of a label
        page.keyboard.press("2")
        assert page.locator(".under mark").all_inner_texts() == ["bad"]
        assert page.locator(".under").inner_text() == text
        heights = page.evaluate("['.under', '.spans textarea'].map(name => document.querySelector(name).scrollHeight)")
        assert heights[0] == heights[1], "the marks lie where the words are"
        assert field.evaluate("one => one.scrollHeight - one.clientHeight") == 0, "nothing of the text is hidden"
        page.keyboard.press("s")  # within the text, too, which cannot be written
        assert page.evaluate("document.activeElement.value") == "unclear"
        assert page.faults == []
        page.context.close()
    server.stop()


def test_tables_and_long_dialogues_on_a_phone(chromium: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    columns = [f"Distance{n}" for n in range(8)]
    table = "|".join(columns) + "\n" + "|".join(["---"] * 8) + "\n" + "|".join(["142,984"] * 8)
    turns = [{"role": ("user", "assistant")[n % 2], "content": f"Message {n}. " * 9} for n in range(9)]
    path = tmp_path / "table.jsonl"
    path.write_text(json.dumps({"prompt": turns, "responses": [table, "```\n" + "x = 1; " * 40 + "\n```"]}) + "\n")
    server = Server(tmp_path, str(path))
    page = new_page(chromium, viewport={"width": 375, "height": 800})
    page.goto(server.link)
    assert look(axe, page, "table", 375) == []
    lines = page.eval_on_selector_all("td, th", "all => all.map(one => one.getClientRects()[0].height)")
    assert max(lines) < 40, "no word is broken in two"
    assert (
        page.locator(".turn")
        .last.locator(".eyebrow")
        .evaluate("one => one.getBoundingClientRect().top >= one.closest('.prompt-pane').getBoundingClientRect().top")
    )
    assert page.locator(".prompt-pane").evaluate("one => one.scrollTop") > 0, "the last message is seen first"
    server.stop()


def test_what_a_server_refuses_is_said(chromium: Any, pairs: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, str(pairs))
    page = new_page(chromium)
    page.goto(server.link)
    refused = {"status": 413, "content_type": "text/plain", "body": "Refused: too long"}
    page.route("**/judge/*", lambda route: route.fulfill(**refused))
    page.keyboard.press("1")
    page.wait_for_selector(".fault:not([hidden])")
    assert page.inner_text(".fault") == "Refused: too long"
    server.stop()


def test_a_server_that_is_away_loses_nothing(chromium: Any, pairs: Path, tmp_path: Path) -> None:
    server = Server(tmp_path, str(pairs), "--store", "labels.db")
    page = new_page(chromium)
    page.goto(server.link)
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.wait_for_selector(".fault:not([hidden])")
    assert "Not saved yet" in page.inner_text(".fault")
    page.context.set_offline(False)
    page.wait_for_function("() => document.querySelector('.pace').textContent.includes('1 judged')")
    server.stop()


def look(axe: Any, page: Any, name: str, width: int) -> list[tuple[str, str, str]]:
    """What axe finds on a page, which must not be wider than the screen."""
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= width, f"{name} is {wide} wide"
    violations = axe.run(page, options=RULES).response["violations"]
    return [(name, one["id"], one["nodes"][0]["html"]) for one in violations]


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_signing_in_can_be_used_by_everybody(chromium: Any, pairs: Path, tmp_path: Path, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Server(tmp_path, str(pairs), "--url", f"http://127.0.0.1:{port}", port=port)
    found, admin = [], None
    for width, locale in ((1280, "en"), (375, "zh-CN")):
        viewport = {"width": width, "height": 800}
        page = new_page(chromium, viewport=viewport, locale=locale, color_scheme=colours)
        page.goto(f"{server.base}/sign-in")
        page.keyboard.type("Nobody")
        page.keyboard.press("Enter")  # what is missing is said by the browser
        page.keyboard.press("Tab")
        page.keyboard.type("not the password")
        page.keyboard.press("Enter")
        page.wait_for_selector(".fault")
        assert page.input_value("[name=name]") == "Nobody"
        found += look(axe, page, "sign-in", width)
        if admin is None:
            page.goto(server.invitation)
            found += look(axe, page, "invitation", width)
            for text in ("Ann", PASSWORD, PASSWORD):
                page.keyboard.type(text)
                page.keyboard.press("Tab")
            page.keyboard.press("Enter")
            page.wait_for_url("**/judge")
            admin = page.context.storage_state()
        page.context.close()
        page = new_page(chromium, viewport=viewport, locale=locale, color_scheme=colours, storage_state=admin)
        for path in ("/people", "/mine"):
            page.goto(server.base + path)
            found += look(axe, page, path, width)
        page.context.close()
    server.stop()
    assert found == []


def wait_for_another(page: Any, before: str) -> None:
    """Waits for a disputed task at another address."""
    page.wait_for_url(lambda url: url != before and url.rpartition("/")[2].isdigit())


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_disputes_are_settled_by_keyboard(chromium: Any, tmp_path: Path, colours: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    store = CollectStore.open(tmp_path / "labels.db", create=True)
    store.set_project(PAIRWISE)
    add_tasks(store, some_tasks(8))
    judge_all(store, "Ann", lambda n: 0)
    judge_all(store, "Ben", lambda n: int(n < 3))
    store.close()
    server = Server(tmp_path, "--store", "labels.db")
    found = []
    for width, locale in ((1280, "en"), (375, "zh-CN")):
        viewport = {"width": width, "height": 800}
        page = new_page(chromium, viewport=viewport, locale=locale, color_scheme=colours)
        page.goto(server.link)
        for path in ("/disputed/next", "/overview", "/disputed"):
            page.goto(server.base + path)
            found += look(axe, page, path, width)
        page.keyboard.press("n")
        page.wait_for_url(re.compile(r"/disputed/\d+"))
        first = page.url
        page.keyboard.press("l")
        wait_for_another(page, first)
        second = page.url
        page.keyboard.press("4")
        wait_for_another(page, second)
        page.keyboard.press("u")
        page.wait_for_url(second)
        page.keyboard.press("4")
        wait_for_another(page, second)
        assert page.faults == []
        page.context.close()
    server.stop()
    assert found == []
    store = CollectStore.open(tmp_path / "labels.db")
    rows = judged_rows(store)
    store.close()
    assert sum("adjudicated_by" in row.extra for row in rows) == 2
