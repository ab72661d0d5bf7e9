"""The pages of docs/: the page of all options is what the program prints, and the stage pages have one shape."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from guerdon.perturbations.table import PERTURBATIONS

DOCS = Path(__file__).parent.parent / "docs"
STAGES = (
    "quickstart",
    "data",
    "advise",
    "fit",
    "judges",
    "rubric_judges",
    "train",
    "process",
    "evaluate",
    "compare",
    "repair",
    "explain",
    "audit",
    "score",
    "contract",
    "optimize",
    "recipes",
    "worlds",
    "collect",
    "what_to_ask",
)


def test_every_option_is_in_the_docs() -> None:
    """Run as `make docs` runs it, so that no width or colour of this terminal matters."""
    code = "import runpy; print(runpy.run_path('docs/write_cli.py')['page'](), end='')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=DOCS.parent)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (DOCS / "cli.md").read_text(encoding="utf-8"), "docs/cli.md is old: run `make docs`"


@pytest.mark.parametrize("stage", STAGES)
def test_stage_pages_have_one_shape(stage: str) -> None:
    text = (DOCS / f"{stage}.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("## ").lower() for line in text.splitlines() if line.startswith("## ")]
    for part in ("what it is", "can i use it?", "equation", "example", "measured"):
        assert any(part in heading for heading in headings), f"{stage}.md has no part {part!r}; it has {headings}"
    assert "<!-- example -->" not in text


def test_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in sorted(DOCS.glob("*.md")):
        assert page.name == "README.md" or f"({page.name})" in index, f"docs/README.md does not link to {page.name}"


def test_every_perturbation_that_training_can_be_shown_is_in_the_docs() -> None:
    page = (DOCS / "repair.md").read_text(encoding="utf-8")
    for name, one in PERTURBATIONS.items():
        kind = {"no": "rejected", "same": "a tie", "depends": None}[one.liked]
        row = next((line for line in page.splitlines() if line.startswith(f"| `{name}` |")), None)
        assert (row is None) if kind is None else (row is not None and row.endswith(f"| {kind} |")), name


def test_every_page_that_the_program_names_is_there() -> None:
    root = DOCS.parent
    texts = [path.read_text(encoding="utf-8") for path in (root / "src").rglob("*.py")]
    named = {name for text in texts for name in re.findall(r"[\w/]+\.md\b", text)} - {"README.md", "model_card.md"}
    assert "docs/repair.md" in named
    assert [name for name in sorted(named) if not (DOCS / Path(name).name).exists()] == []
