"""Judgements that cannot all be right: a pair judged both ways, and preferences that run in a circle."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from guerdon.data.preferences import TIE, GradedGroup, row_preferences
from guerdon.types import AnyRow, prompt_text

Circle: TypeAlias = tuple[AnyRow, ...]
"""Rows of which each prefers what the next one has as the worse: a > b, b > c, c > a."""


@dataclass(frozen=True, slots=True)
class Conflicts:
    """What contradicts what."""

    contradictions: Sequence[tuple[AnyRow, AnyRow]]
    """Two rows for each pair of responses of which either was preferred somewhere."""
    circles: Sequence[Circle]
    """For each set of responses whose order runs in circles, a shortest circle; contradicted pairs take no part."""
    in_circles: int
    """Preferences that lie inside such a set."""


def find_conflicts(rows: Sequence[AnyRow]) -> Conflicts:
    """Compares every preference of the rows with all others of its prompt; ties contradict nothing."""
    edges = dict(_edges(rows))
    contradicted = {pair for pair in edges if pair[::-1] in edges}
    contradictions = [(edges[pair], edges[pair[::-1]]) for pair in edges if pair in contradicted and pair < pair[::-1]]
    certain = {pair: row for pair, row in edges.items() if pair not in contradicted}
    inside = _within_components(certain)
    circles, seen = [], set[int]()
    for (better, worse), component in inside.items():
        if component not in seen:
            seen.add(component)
            circles.append(_circle(better, worse, component, inside, certain))
    return Conflicts(contradictions, circles, len(inside))


def _edges(rows: Sequence[AnyRow]) -> Iterable[tuple[tuple[int, int], AnyRow]]:
    """(better, worse), numbers of responses, and a row that says so.

    A response that is judged once alone can stand in no conflict: whatever is above it is above all that is below it.
    So it is left out, and each response is compared with those of the next lower grade that is left.
    """
    number: dict[tuple[str, str], int] = {}
    judged: list[tuple[GradedGroup, list[int]]] = []
    for group in row_preferences(rows):
        if group.preference != TIE:
            key = prompt_text(group.prompt)
            judged.append((group, [number.setdefault((key, text), len(number)) for text in group.responses]))
    times = Counter(own for _, numbers in judged for own in numbers)
    for group, numbers in judged:
        by_grade: dict[float, list[int]] = {}
        for place, own in enumerate(numbers):
            if times[own] > 1:
                by_grade.setdefault(group.grades[place], []).append(place)
        for high, low in itertools.pairwise(sorted(by_grade, reverse=True)):
            for better, worse in itertools.product(by_grade[high], by_grade[low]):
                if numbers[better] != numbers[worse]:
                    yield (numbers[better], numbers[worse]), group.rows[better]


def _within_components(edges: Mapping[tuple[int, int], AnyRow]) -> dict[tuple[int, int], int]:
    """The edges inside the strongly connected components of several nodes -> their component."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    if not edges:
        return {}
    ends = np.array(list(edges), dtype=np.int64)
    count = int(ends.max()) + 1
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    _, component = connected_components(graph, directed=True, connection="strong")
    return {pair: int(component[pair[0]]) for pair in edges if component[pair[0]] == component[pair[1]]}


def _circle(
    better: int,
    worse: int,
    component: int,
    inside: Mapping[tuple[int, int], int],
    edges: Mapping[tuple[int, int], AnyRow],
) -> Circle:
    """A shortest way from `worse` back to `better` inside the component, and the edge that closes it."""
    following: dict[int, list[int]] = {}
    for (start, end), own in inside.items():
        if own == component:
            following.setdefault(start, []).append(end)
    came_from, waiting = {worse: worse}, deque([worse])
    while better not in came_from:
        node = waiting.popleft()
        for end in following[node]:
            if end not in came_from:
                came_from[end] = node
                waiting.append(end)
    way = [better]
    while way[-1] != worse:
        way.append(came_from[way[-1]])
    way = [better, *way[::-1]]
    return tuple(edges[pair] for pair in itertools.pairwise(way))
