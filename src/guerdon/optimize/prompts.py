"""Which prompts a run samples responses to, in which order; and several responses to each, kept as they come."""

from __future__ import annotations

import json
import logging
import random
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from guerdon.errors import DataError, ModelError, OutputError, TextError
from guerdon.files import output_error
from guerdon.policy.endpoint import NoResponse
from guerdon.types import Candidates, Prompt

if TYPE_CHECKING:
    from guerdon.policy.model import Policy

logger = logging.getLogger(__name__)

_NAMED = 5
_REFERENCE = re.compile(r"reference|answer|solution|truth|gold|target|expected|label|tests?\b|output", re.IGNORECASE)
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


def too_long(policy: Policy, requests: Sequence[Candidates], *, max_new_tokens: int) -> dict[int, str]:
    """Index of each prompt that leaves the policy no `max_new_tokens` tokens to respond -> where it is, and why."""
    skipped: dict[int, TextError] = {}
    policy.encode_prompts([one.prompt for one in requests], max_new_tokens=max_new_tokens, skipped=skipped)
    return {index: str(error.at(requests[index].origin)) for index, error in skipped.items()}


def without(requests: Sequence[Candidates], faults: Mapping[int, str]) -> list[Candidates]:
    """The prompts that can be responded to; those that are left out are counted and named.

    Raises:
        DataError: none is left.
    """
    if not faults:
        return list(requests)
    first = next(iter(faults.values()))
    if len(faults) == len(requests):
        raise DataError(first)
    logger.warning(
        "%d of %d prompts are left out: %s. The first: %s", len(faults), len(requests), _named(requests, faults), first
    )
    return [one for index, one in enumerate(requests) if index not in faults]


def _named(requests: Sequence[Candidates], places: Collection[int]) -> str:
    """Where the first of them stand."""
    named = [str(requests[at].origin or f"prompt {at + 1}") for at in list(places)[:_NAMED]]
    return ", ".join([*named, *(["..."] if len(places) > _NAMED else [])])


def check_references(scorers: Mapping[str, object], requests: Sequence[Candidates], data: str) -> None:
    """Looks for the references that rules compare responses with, before anything is sampled.

    Where some prompts have none, a warning says how many: their responses get no reward.

    Raises:
        DataError: no prompt has one; the message names the columns that look like it.
    """
    bare = [one for one in requests if not (one.reference and one.reference.strip())]
    needing = {name: needed for name, one in scorers.items() if (needed := needed_reference(one))}
    if not bare or not needing:
        return
    ((name, needed), *_) = needing.items()
    like = list(dict.fromkeys(column for one in bare for column in one.extra if _REFERENCE.search(column)))
    looks = f"; the column {' or '.join(map(repr, like))} looks like it" if like else ""
    fix = f"--map reference={like[0]}" if like else "give it in a column `reference`, or name the column by --map"
    where = f"{data}: {len(bare)} of {len(requests)} prompts lack the {needed} that {name} needs{looks}. Fix: {fix}"
    if len(bare) == len(requests):
        raise DataError(where)
    logger.warning("%s. Their responses have no reward", where)


def needed_reference(scorer: object) -> str:
    """What a scorer, or a part of one that is composed, must have as its reference; empty where it needs none."""
    parts = getattr(scorer, "scorers", None)
    own = str(getattr(scorer, "needs_reference", ""))
    return own or next(filter(None, map(needed_reference, parts.values() if isinstance(parts, Mapping) else ())), "")


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
        ModelError: the server refuses every prompt.
        OutputError: the file cannot be written.
    """
    done = _read_kept(kept, len(prompts))
    on_prompt(len(done))
    refused: list[int] = []
    try:
        with kept.open("a", encoding="utf-8") as file:
            for index, responses in sampler([one.prompt for one in prompts], set(done)):
                texts = [one for one in responses if isinstance(one, str)]
                reasons = [one.reason for one in responses if isinstance(one, NoResponse)]
                done[index] = texts, reasons
                on_prompt(1)
                if not texts and not any(one.final for one in responses if isinstance(one, NoResponse)):
                    refused.append(index)  # and asked again where the run goes on
                    continue
                record = {"index": index, "responses": texts} | ({NO_RESPONSE: reasons} if reasons else {})
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
    except TextError as error:
        raise error.at(prompts[error.index].origin) from None
    except OSError as error:
        raise output_error(kept, error) from error
    if refused and len(refused) == len(prompts):
        raise ModelError(f"every prompt: {done[refused[0]][1][0]}")
    if refused:
        logger.warning("%d of %d prompts are refused: %s", len(refused), len(prompts), _named(prompts, refused))
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
