"""Which prompts a run samples responses to, in which order; and several responses to each, kept as they come."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from guerdon.errors import OutputError, TextError
from guerdon.files import output_error
from guerdon.policy.endpoint import NoResponse
from guerdon.types import Candidates, Prompt

if TYPE_CHECKING:
    from guerdon.policy.model import Policy

logger = logging.getLogger(__name__)

NO_RESPONSE = "no_response"
"""Extra column of candidates: why responses that were asked for are missing."""

ResponseSampler: TypeAlias = Callable[
    [Sequence[Prompt], Collection[int]], Iterator[tuple[int, Sequence[str | NoResponse]]]
]
"""Prompts, and indices of those that are done -> (index, responses) of each other prompt, in any order."""


def prompt_stream(count: int, seed: int, *, skip: int = 0) -> Iterator[int]:
    """Indices of `count` prompts without end, each once before any comes again, from behind the first `skip`."""
    rng = random.Random(seed)
    for _ in range(skip // count):
        rng.sample(range(count), count)
    skip %= count
    while True:
        yield from rng.sample(range(count), count)[skip:]
        skip = 0


def check_lengths(policy: Policy, requests: Sequence[Candidates], *, max_new_tokens: int) -> None:
    """Raises DataError, with its place, where a prompt leaves the policy no `max_new_tokens` tokens to respond."""
    try:
        policy.encode_prompts([request.prompt for request in requests], max_new_tokens=max_new_tokens)
    except TextError as error:
        raise error.at(requests[error.index].origin) from None


def sample_candidates(
    prompts: Sequence[Candidates],
    sampler: ResponseSampler,
    kept: Path,
    on_prompt: Callable[[int], None] = lambda count: None,
) -> list[Candidates]:
    """Samples responses, and keeps them as they come, so that a run that was cut short can go on.

    What `kept` (JSON Lines, one prompt each) holds already is not sampled again. `on_prompt` is told how many more
    prompts have their responses.

    Returns:
        The prompts with their responses, in the same order. Where responses are missing, the reasons are in the extra
        column `NO_RESPONSE`, and a warning says how many.

    Raises:
        DataError: a prompt is too long for the policy.
        OutputError: the file cannot be written.
    """
    done = _read_kept(kept, len(prompts))
    on_prompt(len(done))
    try:
        with kept.open("a", encoding="utf-8") as file:
            for index, responses in sampler([one.prompt for one in prompts], set(done)):
                texts = [one for one in responses if isinstance(one, str)]
                reasons = [one.reason for one in responses if isinstance(one, NoResponse)]
                done[index] = texts, reasons
                record = {"index": index, "responses": texts} | ({NO_RESPONSE: reasons} if reasons else {})
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                on_prompt(1)
    except TextError as error:
        raise error.at(prompts[error.index].origin) from None
    except OSError as error:
        raise output_error(kept, error) from error
    missing = Counter(reason for _, reasons in done.values() for reason in reasons)
    if missing:
        ((reason, count),) = missing.most_common(1)
        logger.warning("%d responses are missing; %d of them: %s", missing.total(), count, reason)
    found = []
    for index, one in enumerate(prompts):
        texts, reasons = done[index]
        extra = {**one.extra, NO_RESPONSE: reasons} if reasons else one.extra
        found.append(replace(one, responses=tuple(texts), extra=extra))
    return found


def _read_kept(kept: Path, prompts: int) -> dict[int, tuple[list[str], list[str]]]:
    """The responses of an earlier run. A last line that was cut short is taken out of the file."""
    if not kept.exists():
        return {}
    done: dict[int, tuple[list[str], list[str]]] = {}
    raw = kept.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with kept.open("r+b") as file:
            file.truncate(len(whole))
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            done[record["index"]] = record["responses"], record.get(NO_RESPONSE, [])
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{kept}:{number} cannot be read. Fix: remove the file and start again") from error
    if any(not 0 <= index < prompts for index in done):
        raise OutputError(f"{kept} belongs to other prompts. Fix: remove it, or choose another --out")
    return done
