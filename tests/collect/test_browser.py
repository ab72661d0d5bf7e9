"""The app in a real browser: by keyboard alone, interrupted, in both languages; what is exported trains."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from browsing import Server, look, new_page
from collection import PAIRWISE, PASSWORD, judge_all, some_tasks
from guerdon.collect.rows_out import judged_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.tasks import add_tasks
from guerdon.data.read import load_rows
from guerdon.types import Comparison

pytestmark = pytest.mark.slow


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
