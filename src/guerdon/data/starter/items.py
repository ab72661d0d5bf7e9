"""The hand-written items of the starter set: read from the package, and dealt into a training and a test part."""

from __future__ import annotations

import functools
import hashlib
import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal, TypeAlias

from guerdon.types import Message, Prompt

Part: TypeAlias = Literal["train", "test"]

TASKS = ("dialogue", "summarisation", "translation", "code", "question-answering")
LANGUAGES = ("en", "zh")
BEST_GRADE = 4
"""Grade of a reference; hand-written worse answers have 3 (mildly worse) to 0 (useless or harmful)."""
_TEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Worse:
    """A hand-written answer that is worse than the reference."""

    text: str
    grade: int
    """3 mildly worse, 2 clearly worse, 1 bad, 0 useless or harmful."""
    fault: str
    """What is wrong, in a few hyphenated words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One prompt with its good answer, its graded worse answers, and what the operators need."""

    id: str
    task: str
    language: str
    """Language of the response: `en` or `zh`."""
    prompt: Prompt
    reference: str
    worse: tuple[Worse, ...]
    facts: tuple[tuple[str, str], ...]
    """(right, wrong): `right` stands once in the reference; with `wrong` in its place, the answer is wrong. For code,
    an edit that makes `tests` fail."""
    tests: str | None
    """Code only: assertions that the reference passes."""
    part: Part
    usual_length: float
    """Characters of a usual reference: the median of the subset; for translation, of the references' lengths as shares
    of their sources', times the length of this source."""
    elsewhere: tuple[str, ...]
    """References of the other items of the same subset and part: good answers, but to something else."""

    @property
    def subset(self) -> str:
        """Task and language (for translation, both languages), such as `code-en` or `translation-en-zh`."""
        return subset_of(self.id)

    @property
    def source(self) -> str | None:
        """Translation only: the text to translate, which follows the first empty line of the prompt."""
        return source_of(self.task, self.prompt)


@functools.cache
def load_items() -> tuple[Item, ...]:
    """All items, subset by subset, in the order of their ids."""
    records = sorted(_records(), key=lambda record: record["id"])
    parts = deal_parts([record["id"] for record in records])
    references: dict[tuple[str, Part], dict[str, str]] = defaultdict(dict)
    for record in records:
        references[subset_of(record["id"]), parts[record["id"]]][record["id"]] = record["reference"]
    shares: dict[str, list[float]] = defaultdict(list)
    for record in records:
        shares[subset_of(record["id"])].append(len(record["reference"]) / _unit(record))
    usual = {subset: statistics.median(found) for subset, found in shares.items()}
    return tuple(_item(record, parts[record["id"]], usual, references) for record in records)


def phrases_for(part: Part, language: str, bank: str) -> list[str]:
    """The sentences of a bank of `phrases.json` that a part may use, for operators to weave in.

    The first two thirds serve the training part and the rest the test part, so that a model cannot recognise the
    padding, the rudeness or the hedging of the test part by phrases that it learned by heart.
    """
    phrases = _phrase_banks()[bank][language]
    cut = -(-2 * len(phrases) // 3)
    return phrases[:cut] if part == "train" else phrases[cut:]


@functools.cache
def _phrase_banks() -> dict[str, dict[str, list[str]]]:
    banks: dict[str, dict[str, list[str]]] = json.loads(
        resources.files(__package__).joinpath("phrases.json").read_text(encoding="utf-8")
    )
    return banks


def deal_parts(ids: Iterable[str]) -> dict[str, Part]:
    """Puts a fifth of each subset into the test part: the items whose ids have the lowest SHA-256 there.

    The order of a hash has nothing to do with the order in which the items were written.
    """
    by_subset: dict[str, list[str]] = defaultdict(list)
    for item_id in ids:
        by_subset[subset_of(item_id)].append(item_id)
    parts: dict[str, Part] = {}
    for members in by_subset.values():
        members.sort(key=lambda item_id: hashlib.sha256(item_id.encode()).digest())
        tests = round(len(members) * _TEST_SHARE)
        parts |= {item_id: "test" if place < tests else "train" for place, item_id in enumerate(members)}
    return parts


def subset_of(item_id: str) -> str:
    """`translation-en-zh-007` -> `translation-en-zh`."""
    return item_id.rpartition("-")[0]


def source_of(task: str, prompt: Prompt) -> str | None:
    """What a prompt wants translated; None for the other tasks."""
    return prompt.split("\n\n", 1)[1] if task == "translation" and isinstance(prompt, str) else None


def _records() -> Iterator[dict[str, Any]]:
    for file in resources.files(__package__).iterdir():
        if file.name.endswith(".jsonl"):
            yield from map(json.loads, file.read_text(encoding="utf-8").splitlines())


def _unit(record: dict[str, Any]) -> int:
    """What the length of an answer is measured in: characters, or the length of the source."""
    return len(source_of(record["task"], record["prompt"]) or " ")


def _item(
    record: dict[str, Any],
    part: Part,
    usual: Mapping[str, float],
    references: Mapping[tuple[str, Part], Mapping[str, str]],
) -> Item:
    prompt = record["prompt"]
    peers = references[subset_of(record["id"]), part]
    return Item(
        id=record["id"],
        task=record["task"],
        language=record["language"],
        prompt=prompt if isinstance(prompt, str) else tuple(Message(**message) for message in prompt),
        reference=record["reference"],
        worse=tuple(Worse(**worse) for worse in record["worse"]),
        facts=tuple((right, wrong) for right, wrong in record["facts"]),
        tests=record.get("tests"),
        part=part,
        usual_length=usual[subset_of(record["id"])] * _unit(record),
        elsewhere=tuple(text for item_id, text in peers.items() if item_id != record["id"]),
    )
