"""Each kind of question in a real browser, wide tables and long dialogues, and what is said of a refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from browsing import Server, look, new_page

pytestmark = pytest.mark.slow


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
