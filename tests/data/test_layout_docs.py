"""The table of layouts in docs/data.md is what the code reads: every layout, its columns, and a record of each."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from guerdon.data.formats import LAYOUTS, read_record
from guerdon.data.layouts import CONTEXT, DIALOGUES, PROMPTS, RESPONSES
from guerdon.data.source import Source

PAGE = (Path(__file__).parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## What is read of each layout")[2].partition("\n## ")[0]
ROWS = [[cell.strip() for cell in line.split(" |")] for line in re.findall(r"^\| (.*) \|$", SECTION, re.M)][1:]
NAMES = list(dict.fromkeys(layout.name for layout in LAYOUTS))
EVERYWHERE = {"subset", "group", "id", "reference", *CONTEXT, *PROMPTS, *RESPONSES, *DIALOGUES}


def examples() -> list[tuple[str, str, dict[str, Any]]]:
    """Whose it is, its layout, and the record."""
    found = re.findall(r"^# (.*): (.*)\n(\{.*\})$", SECTION, re.M)
    return [(who, layout, json.loads(record)) for who, layout, record in found]


def known_by(name: str) -> str:
    """The columns that a layout needs, as the table has them."""
    alike = [layout for layout in LAYOUTS if layout.name == name]
    cells = []
    for needed in zip(*(layout.needs for layout in alike), strict=True):
        columns = list(dict.fromkeys(column for one in needed for column in one))
        if set(PROMPTS) <= set(columns):
            cells.append("a prompt" + "".join(f" or `{column}`" for column in columns if column not in PROMPTS))
        elif tuple(columns) == RESPONSES:
            cells.append("a response")
        else:
            cells.append(" or ".join(f"`{column}`" for column in columns[:3]) + " ..." * (len(columns) > 3))
    if alike[0].endings:
        cells.append("a column ending in " + " or ".join(f"`{ending}`" for ending in alike[0].endings))
    return ", ".join(cells)


def quoted(names: dict[str, None]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def test_the_table_has_every_layout_in_the_order_in_which_they_are_tried() -> None:
    assert [row[0] for row in ROWS] == NAMES
    assert {layout for _, layout, _ in examples()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_row_of_the_table_is_what_is_read(name: str) -> None:
    _, known, also, gives, kept, _ = next(row for row in ROWS if row[0] == name)
    assert known == known_by(name)
    needed = {column for layout in LAYOUTS if layout.name == name for one in layout.needs for column in one}
    read_too: dict[str, None] = {}
    left: dict[str, None] = {}
    for who, layout, record in examples():
        if layout != name:
            continue
        source = Source()
        (row,) = read_record(record, None, source)
        assert list(source.layouts) == [name], who
        assert type(row).__name__.lower() in gives, who
        beside = dict.fromkeys(column for column in record if column in row.extra and column != "votes")
        left |= beside
        read_too |= dict.fromkeys(
            column
            for column, value in record.items()
            if value is not None and column not in {*beside, *needed, *EVERYWHERE}
        )
    assert also == quoted(read_too)
    assert kept == quoted(left)
