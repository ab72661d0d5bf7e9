"""`guerdon score`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from guerdon.data.files import Record, iter_records
from guerdon.data.formats import LayoutError, read_record
from guerdon.data.layouts import PROMPTS, RESPONSES, take_prompt
from guerdon.data.read import STARTER_PARTS, Faults
from guerdon.data.values import Fields, items, label, response
from guerdon.data.write import plain, row_record
from guerdon.errors import DataError, TextError
from guerdon.types import AnyRow, Comparison, Origin, Prompt, Ranking, Rating, Scorer

if TYPE_CHECKING:
    from rich.console import Console

CHUNK_TEXTS = 4096
"""Texts that are held, sorted by length and scored together: memory stays flat however long the data is."""


def score(
    model: Annotated[Positional[str], arg(metavar="MODEL")],
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    out: str = "-",
    overlong: Literal["cut-prompt", "cut", "error"] = "cut-prompt",
    device: str | None = None,
    dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    trust_remote_code: bool = False,
) -> None:
    """Give every response its reward: JSON Lines, one object for each row of DATA, in the same order.

    DATA needs no judgements: a prompt with a response, with responses, or with chosen and rejected will do. Each row
    keeps its columns and gets score, scores (a list), or score_chosen and score_rejected. Where it has a column of
    that name already, the new one is called reward, rewards, reward_chosen ... Rows of other layouts are written in
    Guerdon's own. A response without a reward gets null, and its row a reason.

    Args:
        model: a folder, a hub name, longest, shortest, or module:object.
        data: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), starter, or -
            for JSON Lines on standard input.
        out: a file for the JSON Lines, or - for standard output.
        overlong: texts that are too long: cut the prompt from its left (a response that does not fit alone is an
            error), cut the response's end as well, or refuse.
        device: cpu, cuda, cuda:1, mps ...; default: a GPU where there is one.
        dtype: auto is bfloat16 on a GPU and float32 elsewhere.
        trust_remote_code: run code that comes with the model; only for models you trust.
    """
    from guerdon.cli.progress import terminal
    from guerdon.files import check_writable

    if out != "-":
        check_writable(out)
    with terminal() as console:
        from guerdon.rewards.load import load_scorer

        scorer = load_scorer(model, device=device, dtype=dtype, overlong=overlong, trust_remote_code=trust_remote_code)
        rows, texts = score_source(scorer, data, out, console)
        console.print(f"{texts:,} responses of {rows:,} rows scored" + ("" if out == "-" else f", in {out}"))


def score_source(scorer: Scorer, source: str, out: str, console: Console) -> tuple[int, int]:
    """Scores a source into a file or, with `-`, standard output.

    A file is read twice: faults come to light, and texts are counted, before the first of them is scored.

    Returns:
        Rows written, responses scored.

    Raises:
        DataError: rows that cannot be scored, listed as `load_rows` lists them; a file is then not written.
    """
    from guerdon.cli.progress import text_progress, watch

    twice = source in STARTER_PARTS or Path(source).is_file()
    total = sum(len(request.texts) for request in usable(source)) if twice else None
    rows = texts = 0
    with text_progress(console, "scoring", total) as advance, _sink(out) as write:
        counts = watch(scorer, advance)
        for chunk in chunks(usable(source), CHUNK_TEXTS):
            for record in score_requests(scorer, chunk):
                write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            done = sum(len(request.texts) for request in chunk)
            rows, texts = rows + len(chunk), texts + done
            if not counts:
                advance(done)
    return rows, texts


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
    origin: Origin | None = None


_ONE: Mapping[str, int | slice] = {"score": 0}
_TWO: Mapping[str, int | slice] = {"score_chosen": 0, "score_rejected": 1}
_MANY: Mapping[str, int | slice] = {"scores": slice(None)}


def iter_requests(source: str) -> Iterator[Request | DataError]:
    """What each record of a source asks to have scored, or what is wrong with it; `source` as for `iter_records`."""
    if source in STARTER_PARTS:
        from guerdon.data.starter import starter_rows

        yield from map(_of_row, starter_rows(STARTER_PARTS[source]))
        return
    for origin, record in iter_records(source):
        if isinstance(record, DataError):
            yield record
            continue
        try:
            yield from requests_of(record, origin)
        except DataError as error:
            yield DataError(f"{origin}: {error}")


def usable(source: str) -> Iterator[Request]:
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
    own, reference = plain(record), label(record.get("reference"), "reference") or None
    if {"chosen", "rejected"} <= columns:
        # Votes and margins are left out: they could make chosen and rejected change places.
        bare = {name: record[name] for name in (*PROMPTS, "chosen", "rejected") if name in columns}
        (row,) = read_record(bare, origin)
        assert isinstance(row, Comparison)
        return [Request(own, row.prompt, (row.chosen, row.rejected), _TWO, reference, origin)]
    fields = Fields(record, origin)
    if not columns.isdisjoint(PROMPTS) and not columns.isdisjoint(RESPONSES):
        prompt, (name, value) = take_prompt(fields), fields.first(*RESPONSES)
        return [Request(own, prompt, (response(value, name),), _ONE, reference, origin)]
    if not columns.isdisjoint(PROMPTS) and "responses" in columns:
        values = items(record["responses"], "responses")
        if not values:
            raise DataError("column 'responses' is an empty list")
        texts = tuple(response(value, f"responses[{i}]") for i, value in enumerate(values))
        return [Request(own, take_prompt(fields), texts, _MANY, reference, origin)]
    try:
        return [_of_row(row) for row in read_record(record, origin)]
    except LayoutError:
        found = ", ".join(map(str, record)) or "none"
        raise DataError(
            "there is nothing to score: a row needs a prompt and one of response, responses, or chosen and rejected; "
            f"columns found: {found}"
        ) from None


def _of_row(row: AnyRow) -> Request:
    """A row of a layout that has no columns of its own for the rewards, in Guerdon's layout."""
    record = row_record(row)
    if isinstance(row, Comparison):
        return Request(record, row.prompt, (row.chosen, row.rejected), _TWO, row.reference, row.origin)
    if isinstance(row, Rating):
        return Request(record, row.prompt, (row.response,), _ONE, row.reference, row.origin)
    if isinstance(row, Ranking):
        return Request(record, row.prompt, row.responses, _MANY, row.reference, row.origin)
    # The reference is itself scored, so a scorer that needs references must not see it.
    columns: dict[str, int | slice] = {"score_reference": 0} if row.reference else {}
    columns |= {"scores": slice(len(columns), None)} if row.generated else {}
    texts = (*([row.reference] if row.reference else []), *row.generated)
    return Request(record, row.prompt, texts, columns, origin=row.origin)


def chunks(requests: Iterator[Request], texts: int) -> Iterator[list[Request]]:
    """Lists of requests with about `texts` responses each."""
    held: list[Request] = []
    count = 0
    for request in requests:
        held.append(request)
        count += len(request.texts)
        if count >= texts:
            yield held
            held, count = [], 0
    if held:
        yield held


def score_requests(scorer: Scorer, requests: Sequence[Request]) -> Iterator[dict[str, Any]]:
    """The records of the requests with their rewards, all scored in one call."""
    import numpy as np

    prompts = [request.prompt for request in requests for _ in request.texts]
    texts = [text for request in requests for text in request.texts]
    references = [request.reference for request in requests for _ in request.texts]
    given = references if any(reference is not None for reference in references) else None
    try:
        rewards = np.asarray(scorer.score(prompts, texts, references=given), dtype=np.float32)
    except TextError as error:
        owners = [request for request in requests for _ in request.texts]
        raise error.at(owners[error.index].origin) from None
    start = 0
    for request in requests:
        stop = start + len(request.texts)
        yield with_rewards(request, [_shortest(reward) for reward in rewards[start:stop]])
        start = stop


def with_rewards(request: Request, rewards: Sequence[float]) -> dict[str, Any]:
    """The record with a column of rewards; NaN and infinity become null, with a reason."""
    values = [reward if math.isfinite(reward) else None for reward in rewards]
    record = dict(request.record)
    for name, place in request.columns.items():
        record[name if name not in request.record else name.replace("score", "reward")] = values[place]
    if None in values:
        record["reason"] = f"the model gave {rewards[values.index(None)]} instead of a reward"
    return record


def _shortest(value: Any) -> float:
    """The float whose shortest decimals are those of the float32: 0.1 rather than 0.10000000149011612."""
    return float(str(value))


@contextmanager
def _sink(out: str) -> Iterator[Callable[[str], Any]]:
    if out == "-":
        yield sys.stdout.write
        sys.stdout.flush()
        return
    from guerdon.files import atomic_write

    with atomic_write(out) as file:
        yield file.write
