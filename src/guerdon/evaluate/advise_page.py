"""The page of `guerdon advise`: one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from guerdon.evaluate.advice import Advice
from guerdon.report.charts import Chart, Line, line_chart
from guerdon.report.drawing import SERIES
from guerdon.report.templating import write_page

TEMPLATE = "advise.html.j2"


def curve_charts(advice: Advice) -> list[Chart]:
    """Accuracy by judgements learnt from, the best four candidates in one chart; none where nothing was measured."""
    drawn = [one for one in advice.candidates if one.curve]
    drawn.sort(key=lambda one: -one.accuracy.point)
    lines = [Line(one.name, one.curve, colour) for one, colour in zip(drawn, SERIES, strict=False)]
    return [line_chart("Accuracy on unseen groups", f"{advice.objective} learnt from", lines)] if lines else []


def write_advice_page(advice: Advice, path: Path) -> None:
    """Writes the page. Raises OutputError."""
    chosen = advice.candidate(advice.recommended)
    write_page(path, TEMPLATE, advice=advice, chosen=chosen, charts=curve_charts(advice))
