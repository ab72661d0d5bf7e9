"""What a row asks to have scored: responses to a prompt, with judgements or without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from guerdon.data.files import Record, iter_records
from guerdon.data.formats import LayoutError, read_record
from guerdon.data.layouts import PROMPTS, RESPONSES, take_prompt
from guerdon.data.read import STARTER_PARTS, Faults
from guerdon.data.values import Fields, items, label, response
from guerdon.data.write import plain, row_record
from guerdon.errors import DataError
from guerdon.types import AnyRow, Candidates, Comparison, Origin, Prompt, Ranking, Rating, prompt_text, response_texts


@dataclass(frozen=True, slots=True)
class Request:
    """The responses that one row asks to have scored."""

    record: Mapping[str, Any]
    """What is written beside the rewards."""
    prompt: Prompt
    texts: tuple[str, ...]
    columns: Mapping[str, int | slice]
    """Column -> which of the rewards it takes: one, or a list."""
    reference: str | None = None
    """What scorers that need one hold a response against: a text, an answer, unit tests."""
    origin: Origin | None = None
    group: str = ""


_ONE: Mapping[str, int | slice] = {"score": 0}
_TWO: Mapping[str, int | slice] = {"score_chosen": 0, "score_rejected": 1}
_MANY: Mapping[str, int | slice] = {"scores": slice(None)}


def iter_requests(source: str) -> Iterator[Request | DataError]:
    """What each record of a source asks to have scored, or what is wrong with it; `source` as for `iter_records`."""
    if source in STARTER_PARTS:
        from guerdon.data.starter import starter_rows

        yield from map(_of_row, starter_rows(**STARTER_PARTS[source]))
        return
    for origin, record in iter_records(source):
        if isinstance(record, DataError):
            yield record
            continue
        try:
            yield from requests_of(record, origin)
        except DataError as error:
            yield DataError(f"{origin}: {error}")


def read_requests(source: str) -> Iterator[Request]:
    """The requests of a source. After a faulty row none follow; all faults are raised as one at the end."""
    faults, good = Faults(), 0
    for request in iter_requests(source):
        if isinstance(request, DataError):
            faults.add(request)
            continue
        good += 1
        if not faults.count:
            yield request
    if faults.count:
        lines = [f"{source}: {faults.count} of {good + faults.count} rows cannot be scored; the first:"]
        raise DataError("\n  ".join([*lines, *map(str, faults.first)]))
    faults.raise_if_any(source, good)


def requests_of(record: Record, origin: Origin | None = None) -> list[Request]:
    """What one record asks to have scored; judgements are not needed, and not read where they are there.

    Raises:
        DataError: there is nothing to score, or a column holds what it must not.
    """
    columns = {name for name, value in record.items() if value is not None}
    own = plain(record)
    about: dict[str, Any] = {
        "reference": label(record.get("reference"), "reference") or None,
        "origin": origin,
        "group": label(record.get("group"), "group"),
    }
    if {"chosen", "rejected"} <= columns:
        # Votes and margins are left out: they could make chosen and rejected change places.
        bare = {name: record[name] for name in (*PROMPTS, "chosen", "rejected") if name in columns}
        (row,) = read_record(bare, origin)
        assert isinstance(row, Comparison)
        return [Request(own, row.prompt, (row.chosen, row.rejected), _TWO, **about)]
    fields = Fields(record, origin)
    if not columns.isdisjoint(PROMPTS) and not columns.isdisjoint(RESPONSES):
        prompt, (name, value) = take_prompt(fields), fields.first(*RESPONSES)
        return [Request(own, prompt, (response(value, name),), _ONE, **about)]
    if not columns.isdisjoint(PROMPTS) and "responses" in columns:
        values = items(record["responses"], "responses")
        if not values:
            raise DataError("column 'responses' is an empty list")
        texts = tuple(response(value, f"responses[{i}]") for i, value in enumerate(values))
        return [Request(own, take_prompt(fields), texts, _MANY, **about)]
    try:
        return [_of_row(row) for row in read_record(record, origin)]
    except LayoutError:
        found = ", ".join(map(str, record)) or "none"
        raise DataError(
            "there is nothing to score: a row needs a prompt and one of response, responses, or chosen and rejected; "
            f"columns found: {found}"
        ) from None


def read_prompts(source: str) -> list[Candidates]:
    """The distinct prompts of a source, without responses; judgements are not needed, and not read.

    Raises:
        DataError: a row has no prompt (the message lists the faults with file and line), or there is no row.
    """
    if source in STARTER_PARTS:
        from guerdon.data.starter import starter_items

        return [
            Candidates(prompt=item.prompt, reference=item.tests, group=item.id, demonstration=item.reference)
            for item in starter_items(**STARTER_PARTS[source])
        ]
    faults, found = Faults(), dict[str, Candidates]()
    for origin, record in iter_records(source):
        try:
            if isinstance(record, DataError):
                raise record
            found_prompt = _prompt_of(record, origin)
        except DataError as error:
            faults.add(error if error is record else DataError(f"{origin}: {error}"))
        else:
            found.setdefault(prompt_text(found_prompt.prompt), found_prompt)
    faults.raise_if_any(source, len(found))
    return list(found.values())


def _prompt_of(record: Record, origin: Origin) -> Candidates:
    columns = {name for name, value in record.items() if value is not None}
    if columns.isdisjoint(PROMPTS):
        return _prompt_of_row(read_record(record, origin)[0])
    fields = Fields(record, origin)
    chosen = record.get("chosen")
    asked, base = take_prompt(fields), fields.base()
    demonstration = chosen if isinstance(chosen, str) else base["reference"]
    return Candidates(prompt=asked, demonstration=demonstration, **base)


def _prompt_of_row(row: AnyRow) -> Candidates:
    return Candidates(
        prompt=row.prompt,
        reference=row.reference,
        demonstration=row.chosen if isinstance(row, Comparison) else row.reference,
        subset=row.subset,
        group=row.group,
        id=row.id,
        extra=row.extra,
        origin=row.origin,
    )


def _of_row(row: AnyRow) -> Request:
    """A row of a layout that has no columns of its own for the rewards, in Guerdon's layout."""
    record = row_record(row)
    about: dict[str, Any] = {"reference": row.reference, "origin": row.origin, "group": row.group}
    if isinstance(row, Comparison):
        return Request(record, row.prompt, (row.chosen, row.rejected), _TWO, **about)
    if isinstance(row, Rating):
        return Request(record, row.prompt, (row.response,), _ONE, **about)
    if isinstance(row, Ranking):
        return Request(record, row.prompt, row.responses, _MANY, **about)
    # The reference is itself scored, so a scorer that needs references must not see it.
    columns: dict[str, int | slice] = {"score_reference": 0} if row.reference else {}
    columns |= {"scores": slice(len(columns), None)} if row.generated else {}
    return Request(record, row.prompt, response_texts(row), columns, **(about | {"reference": None}))
