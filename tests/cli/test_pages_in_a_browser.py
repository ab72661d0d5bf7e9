"""The pages that verbs write fit a phone and a desk, light and dark, and can be read: WCAG 2.2 AA by axe."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from browsing import look, new_page
from guerdon.cli.main import main

pytestmark = pytest.mark.slow

SPILLS = """() => [...document.querySelectorAll("main *")].filter(one => {
    for (let box = one; box !== document.body; box = box.parentElement)
        if (getComputedStyle(box).overflowX !== "visible") return false;
    const card = one.closest("section");
    return card && one.getBoundingClientRect().right > card.getBoundingClientRect().right + 1;
}).map(one => one.outerHTML.slice(0, 200))"""
"""Elements that stand out of their card, where nothing around them scrolls."""

WORDS = """
class Words:
    def score(self, prompts, responses, *, references=None):
        return [float(len(text.split())) for text in responses]

words = Words()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Verb -> address of the page that it wrote of a reward on English comparisons with long names and long words."""
    folder = tmp_path_factory.mktemp("pages")
    (folder / "reward_of_words.py").write_text(WORDS, encoding="utf-8")
    sentence = "It is just a fact that nobody who has ever boiled an egg for eight minutes would say anything else. "
    rows = [
        {
            "prompt": f"Question {i // 3}: how long is an egg boiled?",
            "chosen": sentence * (1 + i % 4) + "See https://example.org/" + "egg" * 30,
            "rejected": "Egg. " + sentence * (1 + (i * 5) % 3),
            "subset": f"a-rather-long-name-of-a-subset-number-{i % 3}_and-what-it-stands-for",
        }
        for i in range(60)
    ]
    data = folder / "comparisons.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    reward, other = "reward_of_words:words", "tfidf:starter:train:en"
    commands = {
        "evaluate": [reward, str(data), "--page"],
        "compare": [reward, other, str(data), "--page"],
        "explain": [reward, str(data), "--rows", "2", "--sample", "20", "--page"],
        "doctor": [reward, "--page"],
        "audit": [reward, str(data), "--time", "0.2", "--out"],
        "repair": [reward, str(data), "--out"],
    }
    made = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(folder)
        for verb, arguments in commands.items():
            page = folder / verb / f"{verb}.html"
            target = page.parent if arguments[-1] == "--out" else page
            page.parent.mkdir()
            main([verb, *arguments, str(target)])
            made[verb] = page.as_uri()
        yield made


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_fits_and_can_be_read(width: int, scheme: str, pages: dict[str, str], chromium: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    found, spilt = [], {}
    for verb, address in pages.items():
        page = new_page(chromium, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        page.goto(address)
        found += look(axe, page, verb, width)
        spilt[verb] = page.evaluate(SPILLS)
        assert page.faults == []
        page.context.close()
    assert {verb: where for verb, where in spilt.items() if where} == {}
    assert found == []
