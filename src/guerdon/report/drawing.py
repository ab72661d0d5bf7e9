"""The one way to draw: matplotlib without pyplot, so that no window system and no global state is touched.

The same figure is saved as a file, or written into a page as SVG that follows the page's fonts and its colours in light
and dark.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon.errors import ConfigError
from guerdon.files import atomic_write

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")

MODEL, AGAINST, QUIET, INK, RULE = "#1f5fa8", "#b4581a", "#8b929b", "#5d646d", "#dfe2e6"
"""What is measured, what it stands against, what only helps to read, text, and lines."""
SERIES = (MODEL, AGAINST, "#4d7c0f", "#7a4b9a")
"""Colours of several things that are measured."""
_PAGE_COLOURS = {
    MODEL: "model", AGAINST: "against", SERIES[2]: "third", SERIES[3]: "fourth",
    QUIET: "tick", INK: "soft", RULE: "rule",
}  # fmt: skip
"""Colour of a file -> variable of the pages' style sheet."""
_CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei",
    "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure; sizes in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def plain_axis(axis: Axes) -> None:
    """Horizontal lines to read values by, and no box."""
    axis.grid(axis="y", color=RULE, linewidth=0.8, zorder=0)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.spines["bottom"].set_color(QUIET)
    axis.tick_params(colors=INK, length=0)
    axis.xaxis.label.set_color(INK)
    axis.yaxis.label.set_color(INK)


def save_figure(figure: Figure, path: str | Path) -> None:
    """Writes the figure atomically as the ending says: .png (150 dpi), .svg or .pdf.

    Raises:
        ConfigError: another ending.
        OutputError: the file cannot be written.
    """
    kind = figure_format(path)
    with atomic_write(path, "wb") as file:
        figure.savefig(file, format=kind, dpi=150)


def figure_format(path: str | Path) -> str:
    """The format that a path's ending asks for.

    Raises:
        ConfigError: none of `FORMATS`.
    """
    ending = Path(path).suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ConfigError(f'a figure is written as .png, .svg or .pdf; "{path}" ends in none of them')
    return ending


def page_svg(figure: Figure, title: str) -> Markup:
    """The figure as an element of a page: its text in the page's font, its colours those of the style sheet."""
    import io
    import warnings

    import matplotlib
    from markupsafe import Markup, escape

    text = io.StringIO()
    # Identifiers are hashes of what they name and of the salt, so those of two figures on one page differ.
    with warnings.catch_warnings(), matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser has its own fonts
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(text, format="svg", transparent=True, metadata=none)
    svg = re.sub(r"^.*?<svg[^>]*?(viewBox=\"[^\"]*\")[^>]*>", r"<svg \1>", text.getvalue(), flags=re.DOTALL)
    # What would style or name things of the whole page goes: style sheets, clips (all is drawn inside), unused ids.
    svg = re.sub(r"<style.*?</style>|<clipPath.*?</clipPath>| clip-path=\"[^\"]*\"", "", svg, flags=re.DOTALL)
    svg = svg.replace("xlink:href", "href")
    used = set(re.findall(r"href=\"#([^\"]+)\"", svg))
    svg = re.sub(r" id=\"([^\"]+)\"", lambda found: found[0] if found[1] in used else "", svg)
    svg = re.sub(r"font: [^;\"]*?([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    svg = re.sub(r"; font-family: [^;\"]*", "", svg)
    for colour, name in _PAGE_COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{escape(title)}"', 1))


def readable_label(text: str, fallback: str) -> str:
    """The text where the fonts of this machine have all its characters, else the fallback (not a row of boxes)."""
    from matplotlib import font_manager

    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in font_families()]
    known = (mark == "\n" or any(font.get_char_index(ord(mark)) for font in fonts) for mark in text)
    return text if all(known) else fallback


def font_families() -> list[str]:
    """The default font, and a Chinese font behind it where this machine has one."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *[name for name in _CJK_FONTS if name in installed][:1]]
