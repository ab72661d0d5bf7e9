"""For reviewers and admins: how the collection stands, who judges how, and what was judged as a file."""

from __future__ import annotations

import io
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response
from sqlalchemy import Connection

from guerdon.collect.choosing.rounds import latest_round
from guerdon.collect.dashboard import collection_charts
from guerdon.collect.label_agreement import LabelAgreement, question_agreements
from guerdon.collect.labelled import labelled_judgements
from guerdon.collect.quality import collection_figures
from guerdon.collect.rows_out import current_judgements, judged_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.web.guarding import CHART_POLICY
from guerdon.collect.web.site import Admin, Reviewer
from guerdon.data.write import write_rows
from guerdon.errors import DataError

router = APIRouter()
_RESAMPLES = 200


@router.get("/overview")
def overview(ask: Reviewer) -> Response:
    """Charts, figures of everybody, and how far people agree on each question."""
    store = ask.site.store
    with store.reading() as connection:
        questions = store.questions(connection)
        found = collection_figures(connection, questions)
        learnt = latest_round(connection)
    answer = ask.page(
        "overview.html.j2",
        found=found,
        questions=questions,
        charts=collection_charts(found, ask.text),
        learnt=learnt,
        agreements=ask.site.worked_out("agreements", lambda connection: _agreements(store, connection)),
    )
    answer.headers["content-security-policy"] = CHART_POLICY
    return answer


def _agreements(store: CollectStore, connection: Connection) -> list[LabelAgreement]:
    """How far people agree, and who is right how often, of the questions that were judged more than once."""
    labelled = labelled_judgements(current_judgements(connection, "people"), store.questions(connection))
    found = question_agreements(labelled, kappas=False, resamples=_RESAMPLES)
    return [one for one in found if one.several]


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
