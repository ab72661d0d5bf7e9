"""The starter set: comparisons of our own with a known order, so that everything works offline.

Hand-written prompts, references and worse answers (`*.jsonl`), more worse answers by documented operators
(`operators.py`), and a choice of comparisons that length does not give away (`pairs.py`). README.md tells more.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Literal, TypeAlias

from guerdon.data.starter.items import BEST_GRADE, LANGUAGES, TASKS, Item, load_items
from guerdon.data.starter.pairs import Pair, choose_pairs
from guerdon.errors import ConfigError
from guerdon.types import Comparison, Ranking

__all__ = ["LANGUAGES", "TASKS", "Item", "Part", "starter_items", "starter_rankings", "starter_rows"]

Part: TypeAlias = Literal["all", "train", "test"]


def starter_rows(
    part: Part = "all", *, tasks: Collection[str] = TASKS, languages: Collection[str] = LANGUAGES
) -> list[Comparison]:
    """The starter set as comparisons, eleven for each item; the same on every call and machine.

    Args:
        part: `train` (four fifths of the items of each subset), `test` (the others), or `all`.
        tasks: some of `TASKS`.
        languages: the languages of the responses; some of `LANGUAGES`.

    Returns:
        Comparisons with `subset` (`dialogue-en`, `translation-zh-en` ...), `group` (the item), `id`, `margin` (the
        difference of the grades, of which a reference has 4), for code `reference` (its unit tests), and in `extra`
        task, language, and for chosen and rejected the origin (`reference`, `hand`, `operator`) and fault.

    Raises:
        ConfigError: there is no such part, task or language.

    Example:
        >>> train, test = starter_rows("train"), starter_rows("test")
    """
    wanted = {item.id for item in starter_items(part, tasks=tasks, languages=languages)}
    return [_comparison(pair) for pair in _all_pairs() if pair.item.id in wanted]


def starter_rankings(
    part: Part = "all", *, tasks: Collection[str] = TASKS, languages: Collection[str] = LANGUAGES
) -> list[Ranking]:
    """The hand-written answers of each item, reference first, with their grades (4 to 0); else as `starter_rows`."""
    return [
        Ranking(
            prompt=item.prompt,
            responses=(item.reference, *(worse.text for worse in item.worse)),
            scores=(float(BEST_GRADE), *(float(worse.grade) for worse in item.worse)),
            reference=item.tests,
            subset=item.subset,
            group=item.id,
            id=item.id,
            extra={"task": item.task, "language": item.language},
        )
        for item in starter_items(part, tasks=tasks, languages=languages)
    ]


def starter_items(
    part: Part = "all", *, tasks: Collection[str] = TASKS, languages: Collection[str] = LANGUAGES
) -> list[Item]:
    """The items behind the rows: prompt, reference, graded worse answers, facts, unit tests; else as `starter_rows`."""
    _check("part", [part], ("all", "train", "test"))
    _check("task", tasks, TASKS)
    _check("language", languages, LANGUAGES)
    return [
        item
        for item in load_items()
        if part in ("all", item.part) and item.task in tasks and item.language in languages
    ]


@functools.cache
def _all_pairs() -> tuple[Pair, ...]:
    """Chosen once for the whole set, so that a part of it has the same rows as the whole."""
    return tuple(choose_pairs(load_items()))


def _comparison(pair: Pair) -> Comparison:
    item, better, worse = pair.item, pair.better, pair.worse
    return Comparison(
        prompt=item.prompt,
        chosen=better.text,
        rejected=worse.text,
        margin=float(better.grade - worse.grade),
        reference=item.tests,
        subset=item.subset,
        group=item.id,
        id=f"{item.id}/{better.key}>{worse.key}",
        extra={
            "task": item.task,
            "language": item.language,
            "chosen_origin": better.origin,
            "chosen_fault": better.fault,
            "rejected_origin": worse.origin,
            "rejected_fault": worse.fault,
        },
    )


def _check(what: str, given: Collection[str], known: Collection[str]) -> None:
    wrong = sorted(set([given] if isinstance(given, str) else given) - set(known))
    if wrong or not given:
        raise ConfigError(
            f"starter set: no such {what}: {', '.join(wrong) or '(none given)'}. Fix: choose from {', '.join(known)}"
        )
