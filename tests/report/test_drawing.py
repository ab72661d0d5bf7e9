"""A figure is written whole or not at all, and in a page it takes the page's colours and fonts."""

from __future__ import annotations

import re

import pytest

from guerdon.errors import ConfigError, OutputError
from guerdon.report.drawing import AGAINST, MODEL, new_figure, page_svg, plain_axis, save_figure


def figure():
    found = new_figure(3, 2)
    axis = found.subplots()
    axis.plot([0, 1, 2], [3, 1, 2], color=MODEL, marker="o")
    axis.plot([0, 1, 2], [1, 2, 3], color=AGAINST, label="<b>other</b>")
    axis.set_xlabel("step")
    plain_axis(axis)
    axis.legend()
    return found


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_written_by_its_ending_without_a_warning(tmp_path, ending, magic):
    path = tmp_path / "folder" / f"figure.{ending}"
    save_figure(figure(), path)
    assert path.read_bytes().startswith(magic)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_unknown_ending_is_refused_before_drawing(tmp_path):
    with pytest.raises(ConfigError, match="ends in none of them"):
        save_figure(figure(), tmp_path / "figure.docx")
    assert not list(tmp_path.iterdir())


def test_an_unwritable_place_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot write"):
        save_figure(figure(), tmp_path / "file" / "figure.png")


def test_in_a_page_it_has_the_colours_and_the_font_of_the_page():
    text = page_svg(figure(), 'A "title"')
    assert text.startswith('<svg role="img" aria-label="A &#34;title&#34;"')
    assert "var(--model)" in text
    assert "var(--against)" in text
    assert MODEL not in text
    assert "DejaVu" not in text
    assert ">step</text>" in text
    assert "<b>" not in text
    assert not re.search(r"https?:|url\(|<style|<metadata|font:", text)


def test_two_figures_of_one_page_share_no_name():
    names = [set(re.findall(r' id="([^"]+)"', page_svg(figure(), title))) for title in ("first", "second")]
    assert names[0]
    assert not names[0] & names[1]
    assert page_svg(figure(), "first") == page_svg(figure(), "first")
