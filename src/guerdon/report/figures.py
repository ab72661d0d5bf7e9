"""Figures of what the stages found, drawn without pyplot: no window system and no global state is touched."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from guerdon.errors import ConfigError
from guerdon.evaluate.results import Evaluation, PartResult, Section
from guerdon.files import atomic_write
from guerdon.metrics import METRICS, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_SUBSETS = 12
"""With more subsets only the whole is drawn: the bars would be too thin to read."""

FORMATS = ("png", "svg", "pdf")

# Strong colours for the models; greys and tans for what they must beat, in the order of the baselines. Legible without
# colour too: the models come first in every cluster of bars.
_MODELS = ("#2563a8", "#b45f06", "#4d7c0f", "#7a4b9a")
_BASELINES = ("#b8b8b8", "#d9d4c7", "#8a8578", "#c9a66b", "#6f6a5f")
_CJK_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "PingFang SC", "Hiragino Sans GB", "Microsoft YaHei",
    "SimHei", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei", "Arial Unicode MS", "Droid Sans Fallback",
)  # fmt: skip


def accuracy_figure(evaluation: Evaluation) -> Figure:
    """The models beside the baselines in the primary metric of each kind of rows, bars with 95% intervals.

    A dashed line is what guessing gets. One panel for each section, with a cluster of bars for the whole and, up to
    12, for each subset. The length-balanced accuracy of the whole stands beside it, because a plain accuracy hides a
    reward that only reads length.
    """
    from matplotlib.figure import Figure

    sections = evaluation.sections
    widest = max(len(_clusters(section)) for section in sections)
    width = min(16.0, max(6.4, 1.3 * widest + 2.4))
    figure = Figure(figsize=(width, 3.6 * len(sections) + 0.5), layout="constrained")
    axes = figure.subplots(len(sections), 1, squeeze=False)[:, 0]
    for axis, section in zip(axes, sections, strict=True):
        _draw(axis, section)
    handles, labels = axes[0].get_legend_handles_labels()
    readable = [readable_label(label, f"system {i + 1}") for i, label in enumerate(labels)]
    across = max(1, int(11 * width / (max(map(len, readable)) + 6)))  # about 11 characters fit an inch
    columns = min(len(labels), across)
    legend = figure.legend(handles, readable, loc="outside lower center", ncols=columns, frameon=False)
    for text in legend.get_texts():
        text.set_fontfamily(_families())
    return figure


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


def readable_label(text: str, fallback: str) -> str:
    """The text where the fonts of this machine have all its characters, else the fallback (not a row of boxes)."""
    return text if all(_has_glyph(character) for character in text) else fallback


def _clusters(section: Section) -> list[tuple[str, PartResult, str]]:
    """What one panel shows: label, part of the data, metric of each cluster of bars."""
    clusters = [(f"all\n{METRICS[section.primary].heading}", section.overall, section.primary)]
    if section.primary != "length_balanced":
        clusters.append(("all\nlength-balanced", section.overall, "length_balanced"))
    if len(section.subsets) <= MAX_SUBSETS:
        clusters += [
            (readable_label(part.subset, f"subset {i + 1}"), part, section.primary)
            for i, part in enumerate(section.subsets)
        ]
    return clusters


def _draw(axis: Axes, section: Section) -> None:
    clusters = _clusters(section)
    systems = section.overall.systems
    bar = 0.8 / len(systems)
    colours = {False: itertools.cycle(_MODELS), True: itertools.cycle(_BASELINES)}
    for i, system in enumerate(systems):
        intervals = [part.systems[i].metrics.get(metric, Interval(math.nan)) for _, part, metric in clusters]
        heights = [0.0 if math.isnan(interval.point) else interval.point for interval in intervals]
        # An interval without bounds draws no whisker rather than one of no length.
        errors = [[_gap(v.point - v.low) for v in intervals], [_gap(v.high - v.point) for v in intervals]]
        places = [place + (i - (len(systems) - 1) / 2) * bar for place in range(len(clusters))]
        axis.bar(places, heights, bar * 0.92, label=system.name, color=next(colours[system.is_baseline]), zorder=2)
        axis.errorbar(places, heights, yerr=errors, fmt="none", ecolor="#333333", elinewidth=1, capsize=2, zorder=3)
    for place, (_, _, metric) in enumerate(clusters):
        chance = METRICS[metric].chance
        if chance is not None:
            axis.hlines(chance, place - 0.45, place + 0.45, color="#555555", lw=0.9, ls="--", zorder=4)
    whole = sum(part is section.overall for _, part, _ in clusters)
    if whole < len(clusters):
        axis.axvline(whole - 0.5, color="#dddddd", linewidth=1, zorder=1)
    many = len(clusters) > 4
    axis.set_xticks(
        range(len(clusters)),
        [_shorten(label) for label, _, _ in clusters],
        rotation=25 if many else 0,
        ha="right" if many else "center",
        fontsize=9,
        fontfamily=_families(),
    )
    axis.set_ylim(min(0.0, axis.get_ylim()[0]), 1.0)
    axis.grid(axis="y", color="#eeeeee", zorder=0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_ylabel("agreement with people")
    part = section.overall
    kind = readable_label(section.kind, "ratings")
    axis.set_title(f"{kind}: {part.rows:,} rows, {part.clusters:,} {part.unit}s", loc="left", fontsize=10)
    axis.title.set_fontfamily(_families())


def _gap(length: float) -> float:
    return length if length >= 0 else float("nan")


def _shorten(label: str, most: int = 28) -> str:
    return label if len(label) <= most or "\n" in label else label[: most - 1] + "…"


def _families() -> list[str]:
    """The default font, and a Chinese font behind it where this machine has one."""
    from matplotlib import font_manager

    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *[name for name in _CJK_FONTS if name in installed][:1]]


def _has_glyph(character: str) -> bool:
    from matplotlib import font_manager

    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in _families()]
    return character == "\n" or any(font.get_char_index(ord(character)) != 0 for font in fonts)
