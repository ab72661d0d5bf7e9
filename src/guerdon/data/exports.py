"""Exports of annotation tools: Argilla (1.x and 2.x) and Label Studio, several annotators a record.

A record's answers are pooled: comparisons become a preference share, ratings and ranks a mean. Drafts, discarded and
cancelled answers do not count; a record that nobody answered is a fault, not a judgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

from guerdon.data.layouts import PROMPTS, RESPONSE_PAIRS, pair, ranked, take_prompt, verdict_share
from guerdon.data.values import Fields, items, mapping, number, response, text
from guerdon.errors import DataError
from guerdon.types import AnyRow, Rating

_RESPONSE_NAME = re.compile(
    r"(chosen|rejected|(response|answer|generation|completion|output|reply|text)[-_ ]?(\d+|[a-z])?)"
)
_COUNTED = ("submitted", None)


def label_studio(fields: Fields) -> list[AnyRow]:
    """Label Studio JSON: `data` {prompt, answer1, answer2}, `annotations` [{result: [{value: ...}]}].

    A value holds `selected` (Pairwise) or `choices`; with one response in `data`, a `rating`.
    """
    shown = mapping(fields.take("data"), "data")
    task = Fields(shown)
    results = [
        mapping(result.get("value"), "value")
        for annotation in items(fields.take("annotations"), "annotations")
        if not annotation.get("was_cancelled")
        for result in items(annotation.get("result"), "result")
        if isinstance(result.get("value"), dict)
    ]
    _keep(fields, shown)
    asked = take_prompt(task)
    names = next((names for names in RESPONSE_PAIRS if names[0] in task and names[1] in task), None)
    if names is not None:
        verdicts = [value for value in results if "selected" in value or "choices" in value]
        share = _mean((verdict_share(value, "annotations", names) for value in verdicts), "annotations")
        first, second = (response(task.take(name), f"data.{name}") for name in names)
        return [pair(fields, asked, first, second, preference=share)]
    said = text(next((shown[name] for name in _response_names(shown)), None), "data.response")
    ratings = [value["rating"] for value in results if "rating" in value]
    score = _mean((number(value, "rating") for value in ratings), "annotations")
    return [Rating(prompt=asked, response=said, scores={"score": score}, **fields.base())]


def argilla_records(fields: Fields) -> list[AnyRow]:
    """Argilla 2 `records.to_json()`: `fields` {...}, `responses` {question: [{value, status}]}."""
    shown = mapping(fields.take("fields"), "fields")
    answers = {
        question: [entry.get("value") for entry in items(entries, question) if entry.get("status") in _COUNTED]
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


def _argilla(fields: Fields, shown: Mapping[str, Any], answers: dict[str, list[Any]]) -> list[AnyRow]:
    given = {question: values for question, values in answers.items() if values}
    if not given:
        raise DataError(f"no submitted answer to any question ({', '.join(answers) or 'no question found'})")
    asked = take_prompt(Fields(shown))
    said = {name: response(shown[name], name) for name in _response_names(shown)}
    for name in (*said, *PROMPTS):
        fields.take(name)
    for question, values in given.items():
        ranks = [_ranks(value) for value in values]
        if all(ranks):
            names = [name for name in said if all(name in rank for rank in ranks)]
            scores = [-fmean(number(rank[name], question) for rank in ranks) for name in names]
            return [ranked(fields, asked, [said[name] for name in names], scores, question)]
    if len(said) == 2:
        (first, second), question = said, next(iter(given))
        share = _mean((verdict_share(value, question, (first, second)) for value in given[question]), question)
        return [pair(fields, asked, said[first], said[second], preference=share)]
    if len(said) != 1:
        raise DataError(f"{len(said)} response fields ({', '.join(said) or 'none'}) and no ranking of them")
    rated = {question: fmean(number(value, question) for value in values) for question, values in given.items()}
    return [Rating(prompt=asked, response=next(iter(said.values())), scores=rated, **fields.base())]


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


def _mean(values: Iterable[float], name: str) -> float:
    found = list(values)
    if not found:
        raise DataError(f"column {name!r} holds no finished judgement; export finished tasks only, or skip the others")
    return fmean(found)


def _keep(fields: Fields, shown: Mapping[str, Any]) -> None:
    """Keeps what else the annotators were shown beside the row, and the usual columns as columns."""
    used = {*PROMPTS, *_response_names(shown)}
    for name, value in shown.items():
        if name not in used and name not in fields:
            fields.put(name, value)
