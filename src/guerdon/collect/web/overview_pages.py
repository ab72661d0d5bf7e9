"""For reviewers and admins: how the collection stands, who judges how, and what was judged as a file."""

from __future__ import annotations

import io
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from guerdon.collect.quality import collection_figures
from guerdon.collect.rows_out import judged_rows
from guerdon.collect.web.guarding import CHART_POLICY
from guerdon.collect.web.site import Admin, Reviewer
from guerdon.data.write import write_rows
from guerdon.errors import DataError
from guerdon.report.charts import Line, line_chart

router = APIRouter()
_POINTS = 200


@router.get("/overview")
def overview(ask: Reviewer) -> Response:
    """Figures and a chart."""
    with ask.site.store.reading() as connection:
        questions = ask.site.store.questions(connection)
        found = collection_figures(connection, questions)
    chart = None
    if len(found.times) > 1:
        step = max(1, len(found.times) // _POINTS)
        hours = found.times[-1] >= 2 * 3600
        points = tuple((at / (3600 if hours else 60), count + 1.0) for count, at in enumerate(found.times))[::step]
        title = ask.text["chart_judged"]
        chart = line_chart(title, ask.text["chart_hours" if hours else "chart_minutes"], [Line(title, points)])
    answer = ask.page("overview.html.j2", found=found, questions=questions, chart=chart)
    answer.headers["content-security-policy"] = CHART_POLICY
    return answer


@router.get("/export/{question}")
def export(ask: Admin, question: str, pool: bool = False) -> Response:
    """The rows of a question as JSON Lines."""
    try:
        rows = judged_rows(ask.site.store, question=question, pool=pool)
    except DataError:
        ask.refuse(404, "nothing_judged")
    lines: Any = io.BytesIO()
    write_rows(rows, lines)
    named = {"content-disposition": f'attachment; filename="{question}{"-pooled" * pool}.jsonl"'}
    return Response(lines.getvalue(), media_type="application/jsonl", headers=named)
