"""Tables on standard output."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_WIDTH_OF_A_FILE = 160
"""Columns where there is no terminal to ask: wide enough that no value is cut."""


def output() -> Console:
    """Standard output, names shown as they are: no [markup], no :emoji:, no colours for numbers in them.

    Sentences in a file or a pipe are not broken into lines, so that a path or a command in them stays whole.
    """
    from rich.console import Console

    class Output(Console):
        """A console whose sentences keep to one line where there is no terminal."""

        def print(self, *objects: Any, **options: Any) -> None:
            if not sys.stdout.isatty() and all(isinstance(one, str) for one in objects):
                options.setdefault("soft_wrap", True)
            super().print(*objects, **options)

    width = None if sys.stdout.isatty() else _WIDTH_OF_A_FILE
    return Output(width=width, markup=False, emoji=False, highlight=False)


def new_table(title: str, *headings: str, **options: Any) -> Table:
    """A table: names in its first column, numbers in the others."""
    from rich.table import Table

    table = Table(title=title, title_justify="left", **options)
    for at, heading in enumerate(headings):
        table.add_column(heading, justify="left" if at == 0 else "right", overflow="fold")
    return table
