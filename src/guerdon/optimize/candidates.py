"""Several responses to each prompt, to pick from: sampled by a policy, or read from a file."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from guerdon.data.requests import Request, read_requests
from guerdon.errors import DataError, OutputError, TextError
from guerdon.files import output_error
from guerdon.types import Candidates, Prompt, prompt_text

Answering = Callable[[Sequence[Prompt], Collection[int]], Iterator[tuple[int, list[str]]]]
"""Prompts, and which of them are done -> (index, responses) of each other prompt, in any order."""


def sample_candidates(
    prompts: Sequence[Candidates], answer: Answering, kept: Path, on_prompt: Callable[[int], None] = lambda count: None
) -> list[Candidates]:
    """Lets a policy answer, and keeps what it said as it comes, so that a run that was cut short can go on.

    Args:
        prompts: what is asked.
        answer: who answers.
        kept: JSON Lines, one prompt each; what it holds already is not asked for again.
        on_prompt: called with how many more prompts have their answers.

    Returns:
        The prompts with their responses, in the same order.

    Raises:
        DataError: a prompt is too long for the policy.
        OutputError: the file cannot be written.
    """
    said = _read_kept(kept, len(prompts))
    on_prompt(len(said))
    try:
        with kept.open("a", encoding="utf-8") as file:
            for index, responses in answer([one.prompt for one in prompts], set(said)):
                said[index] = responses
                file.write(json.dumps({"index": index, "responses": responses}, ensure_ascii=False) + "\n")
                file.flush()
                on_prompt(1)
    except TextError as error:
        raise error.at(prompts[error.index].origin) from None
    except OSError as error:
        raise output_error(kept, error) from error
    return [replace(one, responses=tuple(said[index])) for index, one in enumerate(prompts)]


def _read_kept(kept: Path, prompts: int) -> dict[int, list[str]]:
    """What was said before. A last line that was cut short is taken out of the file."""
    if not kept.exists():
        return {}
    said: dict[int, list[str]] = {}
    raw = kept.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with kept.open("r+b") as file:
            file.truncate(len(whole))
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            said[record["index"]] = record["responses"]
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{kept}:{number} cannot be read. Fix: remove the file and start again") from error
    if any(not 0 <= index < prompts for index in said):
        raise OutputError(f"{kept} belongs to other prompts. Fix: remove it, or choose another --out")
    return said


def read_candidates(source: str) -> list[Candidates]:
    """The responses that a file holds, by prompt (and reference, where there is one).

    Args:
        source: rows with `responses`, or several rows to one prompt; judged or not. A column `score` (or `scores`)
            is what the data thinks of them.

    Raises:
        DataError: a row cannot be used, or no prompt has two responses.
    """
    found: dict[tuple[str, str | None], list[Candidates]] = {}
    for request in read_requests(source):
        one = Candidates(
            prompt=request.prompt,
            responses=request.texts,
            scores=_scores(request),
            reference=request.reference,
            group=request.group,
            origin=request.origin,
        )
        found.setdefault((prompt_text(request.prompt), request.reference), []).append(one)
    joined = [_joined(parts) for parts in found.values()]
    several = [one for one in joined if len(one.responses) > 1]
    if not several:
        raise DataError(
            f"{source}: no prompt has two responses to pick from. Fix: give rows with `responses`, or several rows to "
            "a prompt; or name a --policy that answers the prompts"
        )
    return several


def _scores(request: Request) -> tuple[float, ...] | None:
    value = request.record.get("score") if len(request.texts) == 1 else request.record.get("scores")
    values = value if isinstance(value, list) else [value]
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in values)
    return tuple(map(float, values)) if numbers and len(values) == len(request.texts) else None


def _joined(parts: Iterable[Candidates]) -> Candidates:
    """Candidates of one prompt as one; of equal texts the first stays."""
    first, *_ = parts = list(parts)
    given: dict[str, float] | None = {}
    for part in parts:
        for place, response in enumerate(part.responses):
            if given is not None:
                given = None if part.scores is None else given | {response: given.get(response, part.scores[place])}
    responses = tuple(dict.fromkeys(response for part in parts for response in part.responses))
    scores = None if given is None else tuple(given[response] for response in responses)
    return replace(first, responses=responses, scores=scores)
