"""The README does what it says: its commands and its Python are run, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest

from guerdon.cli.main import VERBS

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
BLOCK = re.compile(r"^(?P<slow><!-- slow -->\n)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    slow: bool
    line: int
    """In the file, of the opening fence."""


def blocks(text: str) -> list[Block]:
    """Every fenced block that names a language."""
    return [
        Block(
            language=match["language"],
            code=match["code"],
            slow=match["slow"] is not None,
            line=text.count("\n", 0, match.end("slow") if match["slow"] else match.start()) + 1,
        )
        for match in BLOCK.finditer(text)
    ]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


def run(block: Block, folder: Path) -> None:
    """Runs a block as a reader would who has the environment active; fails with what the block printed."""
    if block.language == "bash":
        lines = [line for line in block.code.splitlines() if not line.startswith("make ")]
        command = ["bash", "-euo", "pipefail", "-c", "\n".join(lines)]
    else:
        command = [sys.executable, "-W", "error", "-c", block.code]
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    result = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert result.returncode == 0, f"README.md:{block.line} exits {result.returncode}\n{block.code}\n{result.stdout}"


RUNNABLE = [block for block in blocks(README.read_text(encoding="utf-8")) if block.language in ("bash", "python")]


def test_quick_blocks_run(tmp_path: Path) -> None:
    quick = [block for block in RUNNABLE if not block.slow]
    assert quick
    for block in quick:
        run(block, tmp_path)


@pytest.mark.slow
def test_all_blocks_run(tmp_path: Path) -> None:
    for block in RUNNABLE:
        run(block, tmp_path)


def test_make_targets_exist() -> None:
    named = {name for block in RUNNABLE for name in re.findall(r"^make ([a-z-]+)", block.code, re.MULTILINE)}
    named |= set(re.findall(r"`make ([a-z-]+)", README.read_text(encoding="utf-8")))
    assert {"setup", "demo", "demo-rl"} <= named
    assert named <= make_targets()


def test_links_and_pictures_are_there() -> None:
    for page in [README, ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


def test_contributing_has_the_table_of_verbs() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.findall(r"^\| `([^`]+)` \| `([^`]+:[^`]+)` \| (.*) \|$", text, re.MULTILINE)
    assert table == [(name, verb.command, verb.about) for name, verb in VERBS.items()]


def test_contributing_names_only_what_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    tree = text[text.index("    src/guerdon/\n") : text.index("    tests/ ")]
    for name in re.findall(r"[\w]+\.py|[\w]+/(?=\s)", tree.split("\n", 1)[1]):
        assert (ROOT / "src" / "guerdon" / name).exists(), f"CONTRIBUTING.md names {name}, which is not there"


def test_blocks_are_found_with_their_marks() -> None:
    text = "a\n```bash\nls\n```\n<!-- slow -->\n```python\nx = 1\n```\n```text\n$ not run\n```\n"
    assert blocks(text) == [
        Block("bash", "ls\n", False, 2),
        Block("python", "x = 1\n", True, 6),
        Block("text", "$ not run\n", False, 9),
    ]


def test_failing_block_fails(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"README\.md:7 exits 3\n"):
        run(Block("bash", "make nothing\nexit 3\n", False, 7), tmp_path)
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        run(Block("python", "1 / 0", False, 1), tmp_path)
