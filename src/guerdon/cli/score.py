"""`guerdon score`."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.data.read import STARTER_PARTS
from guerdon.data.requests import Request, read_requests
from guerdon.errors import TextError
from guerdon.types import Scorer

if TYPE_CHECKING:
    from rich.console import Console

CHUNK_TEXTS = 4096
"""Texts that are held, sorted by length and scored together: memory stays flat however long the data is."""


def score(
    model: Model,
    data: Annotated[Positional[str], arg(metavar="DATA")],
    /,
    out: str = "-",
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Give every response its reward: JSON Lines, one object for each row of DATA, in the same order.

    DATA needs no judgements: a prompt with a response, with responses, or with chosen and rejected will do. Each row
    keeps its columns and gets score, scores (a list), or score_chosen and score_rejected. Where it has a column of
    that name already, the new one is called reward, rewards, reward_chosen ... Rows of other layouts are written in
    Guerdon's own. A response without a reward gets null, and its row a reason.

    Args:
        model: the scorer.
        data: a file (.jsonl .json .csv .tsv .parquet, also .gz .zst), a hub name (owner/name[:split]), starter, or -
            for JSON Lines on standard input.
        out: a file for the JSON Lines, or - for standard output.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.cli.progress import terminal
    from guerdon.files import check_writable

    if out != "-":
        check_writable(out)
    with terminal() as console:
        rows, texts = score_source(scorer.named(model).load(), data, out, console)
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
    total = sum(len(request.texts) for request in read_requests(source)) if twice else None
    rows = texts = 0
    with text_progress(console, "scoring", total) as advance, watch(scorer, advance) as counts, _sink(out) as write:
        for chunk in chunks(read_requests(source), CHUNK_TEXTS):
            for record in score_requests(scorer, chunk):
                write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
            done = sum(len(request.texts) for request in chunk)
            rows, texts = rows + len(chunk), texts + done
            if not counts:
                advance(done)
    return rows, texts


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
