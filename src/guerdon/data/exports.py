"""Exports of annotation tools: Argilla (1.x and 2.x) and Label Studio, several annotators and questions a record.

The annotators' responses to a question are pooled: comparisons become a preference share, with the votes for chosen,
for rejected and for neither beside it; ratings and ranks become a mean.
Drafts, discarded and cancelled ones do not count; a record that nobody judged is a fault, not a judgement.

Questions that rate a single response are its attributes, by name. Of several questions that could each say which
response is preferred, none is taken unless the user chooses; what is not taken (free text too) is kept as `extra`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from guerdon.data.layouts import CONTEXT, PROMPTS, ranked, take_prompt
from guerdon.data.pair_layouts import pair, response_pair
from guerdon.data.values import Fields, items, mapping, number, response
from guerdon.data.verdicts import verdict_share
from guerdon.errors import DataError
from guerdon.types import AnyRow, Prompt, Rating

_RESPONSE_NAME = re.compile(
    r"(chosen|rejected|(response|answer|generation|completion|output|reply|text)[-_ ]?(\d+|[a-z])?)"
)
_COUNTED = ("submitted", None)
_CONTROLS = ("selected", "choices", "rating", "number", "text", "ranker")
"""Where a value of Label Studio keeps what was judged."""


def label_studio(fields: Fields) -> list[AnyRow]:
    """Label Studio JSON: `data` {prompt, answer1, answer2}, `annotations` [{result: [{from_name, value: {...}}]}].

    A value holds `selected` (Pairwise), `choices`, `rating`, `number` or `text`.
    """
    shown = mapping(fields.take("data"), "data")
    questions: dict[str, list[Any]] = {}
    for annotation in _objects(fields.take("annotations"), "annotations"):
        results = [] if annotation.get("was_cancelled") else _objects(annotation.get("result"), "result")
        for result in results:
            value = result.get("value")
            value = value if isinstance(value, dict) else {}
            control = next((name for name in _CONTROLS if name in value), None)
            if control is not None:
                name = result.get("from_name") or ("score" if control == "rating" else control)
                questions.setdefault(str(name), []).append(_unpacked(value[control]))
    _keep(fields, shown)
    task = Fields(shown)
    asked = take_prompt(task)
    responses = {
        name: response(shown[name], f"data.{name}") for name in response_pair(task) or _response_names(shown)[:1]
    }
    return [_judged(fields, asked, responses, questions)]


def _objects(value: Any, name: str) -> list[dict[str, Any]]:
    return [mapping(one, name) for one in items(value, name)]


def _unpacked(value: Any) -> Any:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def argilla_records(fields: Fields) -> list[AnyRow]:
    """Argilla 2 `records.to_json()`: `fields` {...}, `responses` {question: [{value, status}]}."""
    shown = mapping(fields.take("fields"), "fields")
    answers = {
        question: [entry.get("value") for entry in _objects(entries, question) if entry.get("status") in _COUNTED]
        for question, entries in mapping(fields.take("responses"), "responses").items()
    }
    _keep(fields, shown)
    return _argilla(fields, shown, answers)


def argilla_table(fields: Fields) -> list[AnyRow]:
    """Argilla as a table.

    1.x has a column for each question, of {user_id, value, status}; 2.x has `QUESTION.responses` and
    `QUESTION.responses.status`.
    """
    columns = fields.left
    answers: dict[str, list[Any]] = {}
    for name, value in list(columns.items()):
        if name.endswith(".responses"):
            status = columns.get(f"{name}.status") or [None] * len(items(value, name))
            answers[name.removesuffix(".responses")] = [
                given for given, state in zip(items(value, name), status, strict=False) if state in _COUNTED
            ]
        elif (entries := _old_entries(value)) is not None:
            answers[name] = [entry.get("value") for entry in entries if entry.get("status") in _COUNTED]
    shown = {name: value for name, value in columns.items() if isinstance(value, str) or name in PROMPTS}
    for name in answers:
        for column in [column for column in columns if column == name or column.startswith((f"{name}.", f"{name}-"))]:
            columns.pop(column)
            shown.pop(column, None)
    return _argilla(fields, shown, answers)


def _old_entries(value: object) -> list[dict[str, Any]] | None:
    """The answers in an Argilla 1.x column (a list of objects, or an object of lists), None for another column."""
    if isinstance(value, dict) and {"value", "status"} <= value.keys() and isinstance(value["value"], list):
        return [
            {"value": given, "status": state} for given, state in zip(value["value"], value["status"], strict=False)
        ]
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "value" in entry for entry in value):
        return value if "status" in value[0] else None
    return None


def _argilla(fields: Fields, shown: Mapping[str, Any], questions: dict[str, list[Any]]) -> list[AnyRow]:
    if not any(questions.values()):  # told before what is wrong with the texts
        raise _nothing_judged(questions)
    asked = take_prompt(Fields(shown))
    responses = {name: response(shown[name], name) for name in _response_names(shown)}
    for name in (*responses, *PROMPTS):
        fields.take(name)
    return [_judged(fields, asked, responses, questions)]


def _judged(fields: Fields, asked: Prompt, responses: Mapping[str, str], questions: Mapping[str, list[Any]]) -> AnyRow:
    """The row of a record: the responses by name, and for each question what each annotator who finished it chose.

    `fields` come without the questions; those that do not judge the responses are put back as extra.
    """
    finished = {name: values for name, values in questions.items() if values}
    chosen = fields.reading.chosen
    if not finished:
        raise _nothing_judged(questions)
    if chosen is not None and chosen not in finished:
        raise DataError(f"nobody finished the question {chosen!r}; finished: {', '.join(finished)}")
    if len(responses) == 1:
        return _rating(fields, asked, next(iter(responses.values())), finished)
    question = _preference_question(fields, responses, finished)
    values = finished.pop(question)
    _keep(fields, finished)
    ranks = [_ranks(value) for value in values]
    if all(ranks):
        names = [name for name in responses if all(name in rank for rank in ranks)]
        scores = [-fmean(number(rank[name], question) for rank in ranks) for name in names]
        return ranked(fields, asked, [responses[name] for name in names], scores, question)
    first, second = responses
    shares = [verdict_share(value, question, (first, second)) for value in values]
    share = fmean(shares)
    if len(shares) > 1:
        ahead, behind = (sum(one > 0.5 for one in shares), sum(one < 0.5 for one in shares))
        votes = (ahead, behind) if share >= 0.5 else (behind, ahead)
        _keep(fields, {"votes": [*votes, len(shares) - ahead - behind]})
    return pair(fields, asked, responses[first], responses[second], preference=share)


def _nothing_judged(questions: Mapping[str, list[Any]]) -> DataError:
    return DataError(
        f"no finished judgement: no submitted answer to any question ({', '.join(questions) or 'no question found'}); "
        "export finished records only, or skip the others"
    )


def _rating(fields: Fields, asked: Prompt, text: str, finished: dict[str, list[Any]]) -> Rating:
    asked_for = (fields.reading.chosen,) if fields.reading.chosen else tuple(finished)
    numeric = [name for name, values in finished.items() if all(isinstance(value, int | float) for value in values)]
    rated = [name for name in numeric if name in asked_for]
    if not rated:
        raise DataError(f"no question rates the response with a number (questions: {', '.join(finished)})")
    scores = {name: fmean(number(value, name) for value in finished.pop(name)) for name in rated}
    _keep(fields, finished)
    return Rating(prompt=asked, response=text, scores=scores, **fields.base())


def _preference_question(fields: Fields, responses: Mapping[str, str], finished: Mapping[str, list[Any]]) -> str:
    """The question that says which response is preferred.

    Raises:
        DataError: there is none, or several could be it and the user has not chosen.
    """
    if fields.reading.chosen is not None:
        return fields.reading.chosen
    possible = [name for name, values in finished.items() if all(_prefers(value, responses) for value in values)]
    if not possible:  # a single question that cannot be read is named with what it holds
        if len(responses) == 2 and len(finished) == 1:
            return next(iter(finished))
        raise DataError(
            f"{len(responses)} response fields ({', '.join(responses) or 'none'}) and no ranking of them, or choice "
            f"between two (questions: {', '.join(finished)})"
        )
    worded = [name for name in possible if not all(isinstance(value, int | float) for value in finished[name])]
    return fields.reading.only(worded or possible)


def _prefers(value: Any, responses: Mapping[str, str]) -> bool:
    """Whether a value ranks the responses, or chooses one of two."""
    if ranks := _ranks(value):
        return any(name in ranks for name in responses)
    if len(responses) != 2:
        return False
    try:
        verdict_share(value, "", tuple(responses))  # type: ignore[arg-type]  # two names
    except DataError:
        return False
    return True


def _ranks(value: object) -> dict[str, Any]:
    """Field -> rank (1 best) from the value of a ranking question; empty if it is not one."""
    if isinstance(value, dict) and isinstance(value.get("value"), list) and isinstance(value.get("rank"), list):
        return dict(zip(value["value"], value["rank"], strict=False))
    if isinstance(value, list) and value and all(isinstance(entry, dict) and "value" in entry for entry in value):
        # Argilla 2 may leave the rank out: then the order of the list is the ranking.
        return {entry["value"]: entry.get("rank") or at for at, entry in enumerate(value, start=1)}
    return {}


def _response_names(shown: Mapping[str, Any]) -> list[str]:
    return [name for name in shown if name not in PROMPTS and _RESPONSE_NAME.fullmatch(name)]


def _keep(fields: Fields, values: Mapping[str, Any]) -> None:
    """Keeps what does not judge beside the row: what else annotators were shown or asked."""
    used = {*PROMPTS, *CONTEXT, *_response_names(values)}
    for name, value in values.items():
        if name not in used and name not in fields:
            fields.left[name] = _unpacked(value)
