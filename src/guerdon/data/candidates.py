"""Prompts with their candidate responses, judged or not: what there is to score, to pick from, to sample for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple, TypeVar, Unpack

from guerdon.data.data_options import ColumnOptions
from guerdon.data.formats import read_record
from guerdon.data.json_files import Record
from guerdon.data.layouts import CONTEXT, PROMPTS, RESPONSES, LayoutError, dialogue, take_prompt
from guerdon.data.pair_layouts import are_texts
from guerdon.data.published_sets import find_set
from guerdon.data.read import STARTER_PARTS, Faults, load_rows, read_each, refuse_map
from guerdon.data.source import Source
from guerdon.data.values import Fields, chat_prompt, items, number, plain, response, structured, turns
from guerdon.data.write import row_record
from guerdon.errors import DataError
from guerdon.types import (
    AnyRow,
    Candidates,
    Comparison,
    Origin,
    Prompt,
    Ranking,
    Rating,
    Reference,
    Steps,
    prompt_text,
    response_texts,
)

_T = TypeVar("_T")

REJECTED = ("rejected_response", "rejected_messages")
_PAIR_COLUMNS = (*PROMPTS, *CONTEXT, *RESPONSES, *REJECTED, "messages", "chosen", "rejected")
OTHER_SCORES = ("bm25",)
"""Columns in which data brings along how another system scored each response."""


class CandidateRecord(NamedTuple):
    """The candidates of one record of a source."""

    record: Record
    """The record as it was read, JSON-ready; of layouts without columns of their own for responses, in Guerdon's."""
    candidates: Candidates
    columns: tuple[str, ...]
    """The column that holds each response: `response`, `responses`, `chosen`, `rejected`, `reference`,
    `generated`, or `steps` for all of them as one."""


def all_candidates(source: str, **columns: Unpack[ColumnOptions]) -> Iterator[CandidateRecord]:
    """Streams the candidates of every record of a source; after a faulty record none follow.

    A record needs a prompt and a response, `responses`, or chosen and rejected; judgements are not needed. Source and
    columns are as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: records have no candidates (all faults as one, at the end), or there is no record.
    """
    refuse_map(source, columns.get("map"))
    if source in STARTER_PARTS:
        from guerdon.data.starter import starter_rows

        yield from map(_of_row, starter_rows(**STARTER_PARTS[source]))
        return
    if find_set(source):
        yield from map(_of_row, load_rows(source))
        return
    faults, good = Faults[CandidateRecord](), 0
    known = Source(columns.get("question"), source)
    for one in faults.left_out(
        read_each(source, lambda record, origin: record_candidates(record, origin, known), known, columns.get("map"))
    ):
        good += 1
        if not faults.count:
            known.see(one.candidates)
            yield one
    known.warn()
    if faults.count:
        lines = [f"{source}: {faults.count} of {good + faults.count} rows cannot be scored; the first:"]
        raise DataError("\n  ".join([*lines, *map(str, faults.first)]))
    faults.raise_if_any(source, good)


def read_candidates(source: str, **columns: Unpack[ColumnOptions]) -> list[Candidates]:
    """The candidates of a source by prompt (and reference, where there is one), in the order of the prompts.

    Rows of one prompt are joined. Equal responses are separate samples, except that a response which several
    comparisons of a prompt name is one. What the rows of a prompt agree on (`id`, `subset`, own columns) is kept as it
    is; own columns and ids that differ become lists of one value per response (`id` as `ids`).

    Args:
        source: rows with `responses`, or one or several rows to a prompt; judged or not. `score` or `scores` is what
            the data thinks of the responses, `system` who wrote them, `bm25` how a search engine scored them.
        columns: as for `guerdon.data.read.iter_rows`.

    Raises:
        DataError: a row cannot be used, or there is none.
    """
    found: dict[tuple[str, str | None], list[CandidateRecord]] = {}
    for one in all_candidates(source, **columns):
        found.setdefault((prompt_text(one.candidates.prompt), one.candidates.reference), []).append(one)
    return [_joined(parts) for parts in found.values()]


def read_prompts(source: str, **columns: Unpack[ColumnOptions]) -> list[Candidates]:
    """The distinct prompts of a source, without responses; judgements are not needed, and not read.

    Source and columns are as for `guerdon.data.read.iter_rows`; what the question prefers is the demonstration.

    Raises:
        DataError: a row has no prompt (the message lists the faults with file and line), or there is no row.
    """
    refuse_map(source, columns.get("map"))
    if source in STARTER_PARTS:
        from guerdon.data.starter import starter_items

        return [
            Candidates(prompt=item.prompt, reference=item.tests, group=item.id, demonstration=item.reference)
            for item in starter_items(**STARTER_PARTS[source])
        ]
    if find_set(source):
        return [replace(one, responses=(), scores=None) for one in read_candidates(source)]
    faults, found, known = Faults[Candidates](), dict[str, Candidates](), Source(columns.get("question"), source)
    for one in faults.left_out(
        read_each(source, lambda record, origin: [_prompt_of(record, origin, known)], known, columns.get("map"))
    ):
        found.setdefault(prompt_text(one.prompt), one)
    known.warn()
    faults.raise_if_any(source, len(found))
    return list(found.values())


def record_candidates(
    record: Record, origin: Origin | None = None, reading: Source | None = None
) -> list[CandidateRecord]:
    """The candidates of one record; judgements are not needed, and not read where they could reorder responses.

    Raises:
        DataError: there is no response, or a column holds what it must not.
    """
    columns = {name for name, value in record.items() if value is not None}
    own = plain(record)
    fields = Fields(record, origin, reading)
    several = are_texts(record.get("chosen")) and are_texts(record.get("rejected"))
    if ({"chosen", "rejected"} <= columns and not several) or columns & set(REJECTED):
        # Votes and margins are left out: they could make chosen and rejected change places.
        bare = {name: record[name] for name in _PAIR_COLUMNS if name in columns}
        (row,) = read_record(bare, origin, reading)
        assert isinstance(row, Comparison)
        for name in bare.keys() - row.extra.keys():
            fields.take(name)
        one = Candidates(prompt=row.prompt, responses=(row.chosen, row.rejected), **fields.base())
        return [CandidateRecord(own, one, ("chosen", "rejected"))]
    if "messages" in columns and columns.isdisjoint(PROMPTS):
        prompt, text = dialogue(fields)
        return [CandidateRecord(own, _unjudged(fields, prompt, (text,)), ("response",))]
    if not columns.isdisjoint(PROMPTS) and "responses" in columns:
        values = items(fields.take("responses"), "responses")
        if not values:
            raise DataError("column 'responses' is an empty list")
        texts = tuple(response(value, f"responses[{i}]") for i, value in enumerate(values))
        return [CandidateRecord(own, _unjudged(fields, take_prompt(fields), texts), ("responses",) * len(texts))]
    if not columns.isdisjoint(PROMPTS) and not columns.isdisjoint(RESPONSES):
        prompt, (name, value) = take_prompt(fields), fields.first(*RESPONSES)
        return [CandidateRecord(own, _unjudged(fields, prompt, (response(value, name),)), (name,))]
    try:
        return [_of_row(row) for row in read_record(record, origin, reading)]
    except LayoutError:
        found = ", ".join(map(str, record)) or "none"
        raise DataError(
            "there is nothing to score: a row needs a prompt and one of response, responses, or chosen and rejected; "
            f"columns found: {found}"
        ) from None


def _unjudged(fields: Fields, prompt: Prompt, responses: tuple[str, ...]) -> Candidates:
    """Candidates with what the data says of each of them."""
    count = len(responses)
    scores = _take(fields, ("scores", "score"), _numbers, count)
    systems = _take(fields, ("systems", "system"), _names, count)
    others = {name: _take(fields, (name,), _numbers, count) for name in OTHER_SCORES}
    return Candidates(
        prompt=prompt,
        responses=responses,
        scores=scores,
        systems=systems or (),
        other_scores={name: values for name, values in others.items() if values},
        **fields.base(),
    )


def _take(
    fields: Fields, names: Sequence[str], parse: Callable[[Sequence[Any]], tuple[_T, ...] | None], count: int
) -> tuple[_T, ...] | None:
    """One value for each response from the first column that has them; other columns stay where they are."""
    for name in names:
        value = structured(fields.left.get(name))
        values = value if isinstance(value, list) else [value]
        if len(values) == count and (parsed := parse(values)) is not None:
            fields.take(name)
            return parsed
    return None


def _numbers(values: Sequence[Any]) -> tuple[float, ...] | None:
    try:
        return tuple(number(one, "scores") for one in values if not isinstance(one, bool)) or None
    except DataError:
        return None


def _names(values: Sequence[Any]) -> tuple[str, ...] | None:
    return tuple(values) if all(isinstance(value, str) for value in values) else None


def _prompt_of(record: Record, origin: Origin, reading: Source) -> Candidates:
    columns = {name for name, value in record.items() if value is not None}
    if columns.isdisjoint((*PROMPTS, "messages")):
        row = read_record(record, origin, reading)[0]
        demonstration = row.chosen if isinstance(row, Comparison) else row.reference
        return Candidates(prompt=row.prompt, reference=row.reference, demonstration=demonstration, **_about(row))
    fields = Fields(record, origin, reading)
    if "messages" in columns and columns.isdisjoint(PROMPTS):
        chat = turns(record["messages"], "messages") or ()
        if chat and chat[-1].role != "assistant":
            return Candidates(prompt=chat_prompt(chat, "messages"), **fields.base())
        prompt, demonstration = dialogue(fields)
        return Candidates(prompt=prompt, demonstration=demonstration, **fields.base())
    chosen = record.get("chosen")
    prompt, base = take_prompt(fields), fields.base()
    return Candidates(prompt=prompt, demonstration=chosen if isinstance(chosen, str) else base["reference"], **base)


def _of_row(row: AnyRow) -> CandidateRecord:
    """The candidates of a row of another layout, with its record in Guerdon's layout."""
    responses = response_texts(row)
    scores: tuple[float, ...] | None = None
    if isinstance(row, Comparison):
        columns = ["chosen", "rejected"]
    elif isinstance(row, Rating):
        columns, scores = ["response"], (row.scores["score"],) if "score" in row.scores else None
    elif isinstance(row, Ranking):
        columns, scores = ["responses"] * len(responses), row.scores
    elif isinstance(row, Steps):
        columns = ["steps"]
    else:
        columns = ["reference"] * bool(row.reference) + ["generated"] * len(row.generated)
    # A reference that is itself scored must not be shown to a scorer that checks responses against references.
    reference = None if isinstance(row, Reference) else row.reference
    one = Candidates(prompt=row.prompt, responses=responses, scores=scores, reference=reference, **_about(row))
    return CandidateRecord(row_record(row), one, tuple(columns))


def _about(row: AnyRow) -> dict[str, Any]:
    return {name: getattr(row, name) for name in ("subset", "group", "id", "extra", "origin")}


def _joined(records: Sequence[CandidateRecord]) -> Candidates:
    """The candidates of one prompt as one."""
    parts = [record.candidates for record in records]
    if len(parts) == 1:
        return parts[0]
    kept = _places(records)

    def column(of_part: Callable[[Candidates], Sequence[_T] | None], missing: _T) -> tuple[_T, ...]:
        """One value for each response that is kept; empty where no part has any."""
        values = [of_part(part) for part in parts]
        if not any(values):
            return ()
        return tuple(own[at] if own else missing for own, places in zip(values, kept, strict=True) for at in places)

    agreed, extra = _own_columns(parts, [len(places) for places in kept])
    return replace(
        parts[0],
        responses=column(lambda part: part.responses, ""),
        scores=column(lambda part: part.scores, math.nan) or None,
        systems=column(lambda part: part.systems, ""),
        other_scores={
            name: values
            for name in OTHER_SCORES
            if (values := column(lambda part, name=name: part.other_scores.get(name), math.nan))  # type: ignore[misc]
        },
        id=agreed["id"],
        subset=agreed["subset"],
        extra=extra,
    )


def _places(records: Sequence[CandidateRecord]) -> list[list[int]]:
    """Which responses of each record are samples of their own: comparisons name one response several times."""
    seen: set[str] = set()
    kept = []
    for _, one, columns in records:
        judged = columns[0] in ("chosen", "reference")
        kept.append([at for at, text in enumerate(one.responses) if not (judged and text in seen)])
        seen.update(one.responses)
    return kept


def _own_columns(parts: Sequence[Candidates], sizes: Sequence[int]) -> tuple[dict[str, str], dict[str, Any]]:
    """Id and subset where all rows of a prompt agree, and their own columns; what differs as one value per response."""

    def spread(values: Sequence[Any]) -> list[Any]:
        return [value for value, size in zip(values, sizes, strict=True) for _ in range(size)]

    extra: dict[str, Any] = {}
    for name in dict.fromkeys(chain(*(part.extra for part in parts))):
        values = [part.extra.get(name) for part in parts]
        extra[name] = values[0] if all(value == values[0] for value in values) else spread(values)
    agreed = {}
    for name in ("id", "subset"):
        labels = [str(getattr(part, name)) for part in parts]
        agreed[name] = labels[0] if len(set(labels)) == 1 else ""
        if len(set(labels)) > 1:
            extra[f"{name}s"] = spread(labels)
    return agreed, extra
