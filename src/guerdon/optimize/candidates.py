"""Several responses to each prompt, sampled by a policy."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from guerdon.errors import OutputError, TextError
from guerdon.files import output_error
from guerdon.policy.endpoint import NoResponse
from guerdon.types import Candidates, Prompt

logger = logging.getLogger(__name__)

NO_RESPONSE = "no_response"
"""Extra column of candidates: why responses that were asked for are missing."""

Answering = Callable[[Sequence[Prompt], Collection[int]], Iterator[tuple[int, Sequence[str | NoResponse]]]]
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
        The prompts with their responses, in the same order. Where responses are missing, the reasons are in the extra
        column `NO_RESPONSE`, and a warning says how many.

    Raises:
        DataError: a prompt is too long for the policy.
        OutputError: the file cannot be written.
    """
    said = _read_kept(kept, len(prompts))
    on_prompt(len(said))
    try:
        with kept.open("a", encoding="utf-8") as file:
            for index, responses in answer([one.prompt for one in prompts], set(said)):
                texts = [one for one in responses if isinstance(one, str)]
                reasons = [one.reason for one in responses if isinstance(one, NoResponse)]
                said[index] = texts, reasons
                record = {"index": index, "responses": texts} | ({NO_RESPONSE: reasons} if reasons else {})
                file.write(json.dumps(record, ensure_ascii=False) + "\n")
                file.flush()
                on_prompt(1)
    except TextError as error:
        raise error.at(prompts[error.index].origin) from None
    except OSError as error:
        raise output_error(kept, error) from error
    _warn([reason for _, reasons in said.values() for reason in reasons])
    found = []
    for index, one in enumerate(prompts):
        texts, reasons = said[index]
        extra = {**one.extra, NO_RESPONSE: reasons} if reasons else one.extra
        found.append(replace(one, responses=tuple(texts), extra=extra))
    return found


def _warn(missing: Sequence[str]) -> None:
    if missing:
        (reason, count), *_ = Counter(missing).most_common(1)
        logger.warning("%d responses are missing; %d of them: %s", len(missing), count, reason)


def _read_kept(kept: Path, prompts: int) -> dict[int, tuple[list[str], list[str]]]:
    """What was said before. A last line that was cut short is taken out of the file."""
    if not kept.exists():
        return {}
    said: dict[int, tuple[list[str], list[str]]] = {}
    raw = kept.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if whole != raw:
        with kept.open("r+b") as file:
            file.truncate(len(whole))
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            record = json.loads(line)
            said[record["index"]] = record["responses"], record.get(NO_RESPONSE, [])
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(f"{kept}:{number} cannot be read. Fix: remove the file and start again") from error
    if any(not 0 <= index < prompts for index in said):
        raise OutputError(f"{kept} belongs to other prompts. Fix: remove it, or choose another --out")
    return said
