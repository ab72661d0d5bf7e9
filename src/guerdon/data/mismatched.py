"""Comparisons that ask what the prompt was: a preferred response against one to another prompt."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from guerdon.data.preferences import TIE, row_preferences
from guerdon.types import AnyRow, Comparison, Prompt, group_key, prompt_text

_TRIES = 20
"""Draws of another prompt until one of another group is found."""


class _Preferred(NamedTuple):
    prompt: Prompt
    responses: list[str]
    row: AnyRow


def mismatched_comparisons(rows: Sequence[AnyRow], seed: int) -> list[Comparison]:
    """For each prompt, a response that was preferred there is better than one that was preferred elsewhere.

    Responses to one prompt are mostly on its topic, so that judgements of them seldom teach that a response must be
    (Liu et al. 2024, RRM, arXiv:2409.13156, who call them non-contextual). The other prompt is of the same subset,
    where there is one of another group.

    Args:
        rows: rows of any kinds.
        seed: of what is drawn.

    Returns:
        One comparison for each prompt with a preference, in the group and subset of the prompt's row. Prompts for
        which no response of another group can be found have none.
    """
    preferred: dict[str, _Preferred] = {}
    for group in row_preferences(rows):
        if group.preference == TIE or max(group.grades) == min(group.grades):
            continue
        best = group.grades.index(max(group.grades))
        key = prompt_text(group.prompt)
        preferred.setdefault(key, _Preferred(group.prompt, [], group.rows[best])).responses.append(
            group.responses[best]
        )
    by_subset: dict[str, list[_Preferred]] = defaultdict(list)
    for one in preferred.values():
        by_subset[one.row.subset].append(one)
    rng = random.Random(seed)
    everywhere = list(preferred.values())
    found = []
    for one in everywhere:
        own = rng.choice(one.responses)
        other = _other(one, by_subset[one.row.subset], rng) or _other(one, everywhere, rng)
        if other is not None and (text := rng.choice(other.responses)) != own:
            found.append(
                Comparison(
                    prompt=one.prompt, chosen=own, rejected=text, group=group_key(one.row), subset=one.row.subset
                )
            )
    return found


def _other(one: _Preferred, among: Sequence[_Preferred], rng: random.Random) -> _Preferred | None:
    """One of another group, by chance; None where there seems to be none."""
    drawn = (rng.choice(among) for _ in range(_TRIES))
    return next((other for other in drawn if group_key(other.row) != group_key(one.row)), None)
