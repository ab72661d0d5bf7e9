"""Writes docs/cli.md: the help of every verb, as the program prints it. `make docs` runs this; a test compares."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path

PAGE = Path(__file__).parent / "cli.md"
COLUMNS = 100
INTRODUCTION = """# Every option of every verb

`guerdon VERB --help` prints the same. This page is written by `make docs`; do not edit it.
"""


def page() -> str:
    """The page as Markdown."""
    os.environ |= {"COLUMNS": str(COLUMNS), "NO_COLOR": "1", "TERM": "dumb"}
    from guerdon.cli.main import VERBS, usage

    parts = [INTRODUCTION, f"```text\n{usage()}\n```\n"]
    for name, verb in VERBS.items():
        function = f"From Python: `guerdon.{verb.function}`."
        parts.append(f"## guerdon {name}\n\n{function}\n\n```text\n{help_of(name)}\n```\n")
    return "\n".join(parts)


def help_of(verb: str) -> str:
    """What `guerdon VERB --help` prints."""
    from guerdon.cli.main import main

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([*verb.split(), "--help"])
    return "\n".join(line.rstrip() for line in printed.getvalue().strip().splitlines())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
