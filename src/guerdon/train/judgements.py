"""Rows to judgements over a table of texts.

Whatever people said becomes one of three judgements, and each names its texts by their index in one table: a text that
several judgements speak of is tokenized once, and computed once wherever they meet in a batch.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from guerdon.data.preferences import TIE, GradedGroup, row_preferences
from guerdon.errors import ConfigError, DataError
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference, prompt_text


@dataclass(frozen=True, slots=True)
class Compared:
    """Text `chosen` was preferred to text `rejected`."""

    chosen: int
    rejected: int
    preference: float = 1.0
    """P(chosen preferred)."""
    margin: float = 0.0
    weight: float = 1.0

    @property
    def texts(self) -> tuple[int, ...]:
        """The texts this judgement speaks of."""
        return (self.chosen, self.rejected)


@dataclass(frozen=True, slots=True)
class Rated:
    """One text and its standardised value of every attribute; NaN where not rated, but not everywhere."""

    text: int
    targets: tuple[float, ...]

    @property
    def texts(self) -> tuple[int, ...]:
        """The texts this judgement speaks of."""
        return (self.text,)


@dataclass(frozen=True, slots=True)
class Listed:
    """Texts for one prompt with a grade each; higher is better."""

    members: tuple[int, ...]
    grades: tuple[float, ...]
    contrastive: bool = False
    """Fit by the contrastive loss, the first text being the reference; otherwise by Plackett-Luce."""

    @property
    def texts(self) -> tuple[int, ...]:
        """The texts this judgement speaks of."""
        return self.members


Judgement = Compared | Rated | Listed


class TextTable:
    """Distinct (prompt, response) texts, in the order first seen."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self.responses: list[str] = []
        self.prompt_keys: list[str] = []
        self._index: dict[tuple[str, str], int] = {}

    def add(self, prompt: Prompt, response: str) -> int:
        """The index of a text, new or known."""
        key = (prompt_text(prompt), response)
        if key not in self._index:
            self._index[key] = len(self.responses)
            self.prompts.append(prompt)
            self.responses.append(response)
            self.prompt_keys.append(key[0])
        return self._index[key]

    def __len__(self) -> int:
        return len(self.responses)


@dataclass(frozen=True, slots=True)
class Scale:
    """Mean and deviation that standardise the ratings of one attribute."""

    mean: float
    std: float


@dataclass(frozen=True, slots=True)
class HeadOutputs:
    """The outputs that the model's head needs."""

    names: tuple[str, ...]
    preference: int
    """The output that pairs and lists are judged by."""
    rated: tuple[str, ...]
    """Those fitted to ratings."""


PREFERENCE = "preference"


def resolve_objectives(rows: Sequence[AnyRow], config: TrainConfig) -> dict[type, tuple[str, ...]]:
    """Which objectives each kind of row feeds.

    Raises:
        ConfigError: the objective asked for cannot be had from these rows.
    """
    able: dict[type, dict[str, tuple[str, ...]]] = {
        Comparison: {"auto": ("pairs",), "bradley-terry": ("pairs",), "plackett-luce": ("lists",), "both": ("pairs",)},
        Rating: {
            "auto": ("ratings",), "regression": ("ratings",), "bradley-terry": ("pairs",), "plackett-luce": ("lists",),
            "both": ("ratings", "pairs"),
        },
        Ranking: {
            "auto": ("lists",), "bradley-terry": ("pairs",), "plackett-luce": ("lists",), "regression": ("ratings",),
            "both": ("ratings", "pairs"),
        },
        Reference: {"auto": ("contrast",), "contrastive": ("contrast",), "bradley-terry": ("pairs",)},
    }  # fmt: skip
    kinds = {type(row) for row in rows}
    unfit = sorted(kind.__name__.lower() + "s" for kind in kinds if config.objective not in able[kind])
    if unfit:
        choices = sorted(set.intersection(*(set(able[kind]) for kind in kinds)))
        raise ConfigError(
            f"--objective {config.objective} cannot be fitted to {' and '.join(unfit)}; "
            f"this data allows: {', '.join(choices)}"
        )
    return {kind: able[kind][config.objective] for kind in kinds}


@dataclass(frozen=True, slots=True)
class JudgedData:
    """All that the rows say, over one table of texts."""

    table: TextTable
    outputs: HeadOutputs
    scales: dict[str, Scale]
    """Attribute -> what standardised its ratings."""
    training: list[Judgement]
    validation: list[Judgement]
    """Empty where nothing is held out."""


def judge_rows(rows: Sequence[AnyRow], held_out: Sequence[AnyRow], config: TrainConfig) -> JudgedData:
    """Rows to judgements; those held out are standardised as the training ones are.

    Raises:
        ConfigError: the objective asked for cannot be had from these rows.
        DataError: nothing can be learnt from the rows under this objective.
    """
    objectives = resolve_objectives(rows, config)
    outputs = head_outputs(rows, objectives)
    scales = rating_scales(rows, outputs)
    table = TextTable()
    training = judgements(rows, table, objectives, outputs, scales, config)
    if config.balance_length:
        training = _balance_length(training, table)
    validation: list[Judgement] = []
    if held_out:
        validation = judgements(held_out, table, resolve_objectives(held_out, config), outputs, scales, config)
    return JudgedData(table, outputs, scales, training, validation)


def head_outputs(rows: Sequence[AnyRow], objectives: dict[type, tuple[str, ...]]) -> HeadOutputs:
    """The outputs for these rows: one shared `score` where ratings have a single attribute, else one each."""
    rated: set[str] = set()
    for row in rows:
        if "ratings" in objectives[type(row)]:
            rated.update(row.scores if isinstance(row, Rating) else ("score",))
    compared = any(set(wanted) & {"pairs", "lists", "contrast"} for wanted in objectives.values())
    if len(rated) <= 1:
        name = next(iter(rated), "score")
        return HeadOutputs((name,), 0, tuple(rated))
    names = tuple(sorted(rated))
    return HeadOutputs((PREFERENCE, *names), 0, names) if compared else HeadOutputs(names, 0, names)


def rating_scales(rows: Iterable[AnyRow], outputs: HeadOutputs) -> dict[str, Scale]:
    """Attribute -> what standardises it.

    Raises:
        DataError: an attribute has the same value everywhere, so that nothing can be learnt from it.
    """
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for name, value in _ratings(row, outputs):
            values[name].append(value)
    scales = {name: Scale(float(np.mean(seen)), float(np.std(seen))) for name, seen in values.items()}
    if flat := sorted(name for name, scale in scales.items() if scale.std == 0):
        raise DataError(f"every row has the same value of {', '.join(flat)}: there is nothing to learn from it")
    return scales


def _ratings(row: AnyRow, outputs: HeadOutputs) -> Iterator[tuple[str, float]]:
    """Attribute and value of everything rated in a row."""
    if isinstance(row, Rating):
        yield from ((name, value) for name, value in row.scores.items() if name in outputs.rated)
    elif isinstance(row, Ranking) and "score" in outputs.rated:
        yield from (("score", value) for value in row.scores)


def judgements(
    rows: Sequence[AnyRow],
    table: TextTable,
    objectives: dict[type, tuple[str, ...]],
    outputs: HeadOutputs,
    scales: dict[str, Scale],
    config: TrainConfig,
) -> list[Judgement]:
    """Turns rows into judgements, entering their texts into `table`.

    Raises:
        DataError: nothing can be learnt from the rows under this objective (for instance no prompt with two
            responses of different rating).
    """
    found: list[Judgement] = []
    for group in row_preferences(rows):
        wanted = objectives[group.kind]
        indices = tuple(table.add(group.prompt, response) for response in group.responses)
        if "pairs" in wanted:
            found += _pairs(indices, group, config)
        distinct = len(set(group.grades)) > 1
        if "lists" in wanted and distinct:
            found.append(Listed(indices, group.grades))
        if "contrast" in wanted:
            found.append(_contrast(indices, group, config))
    for row in rows:
        if "ratings" in objectives[type(row)]:
            found += _rated(row, table, outputs, scales)
    if not found:
        raise DataError(
            "nothing to learn from: no prompt has two responses of different rating. Fix: use --objective regression, "
            "or data in which responses to one prompt differ"
        )
    return found


def _pairs(indices: tuple[int, ...], group: GradedGroup, config: TrainConfig) -> Iterator[Compared]:
    """Every pair of different grade, and ties where people called one."""
    for better, worse, preference, margin in group.pairs():
        if indices[better] != indices[worse]:
            share = preference if config.soft_labels or preference == TIE else 1.0
            yield Compared(indices[better], indices[worse], share, config.margin_scale * margin)


def _contrast(indices: tuple[int, ...], group: GradedGroup, config: TrainConfig) -> Listed:
    if len(indices) < 2 and not config.in_batch_negatives:
        raise DataError(
            f"the reference of prompt {prompt_text(group.prompt)[:60]!r} has nothing to beat: no generated text. "
            "Fix: add a `generated` column, name a --negatives-policy that generates, or set --in-batch-negatives"
        )
    return Listed(indices, group.grades, contrastive=True)


def _rated(row: AnyRow, table: TextTable, outputs: HeadOutputs, scales: dict[str, Scale]) -> Iterator[Rated]:
    """What a row rates, standardised. Held-out rows may have attributes that training has no scale for."""
    if isinstance(row, Rating):
        rated: Iterable[tuple[str, dict[str, float]]] = [(row.response, dict(row.scores))]
    elif isinstance(row, Ranking):
        rated = [(response, {"score": value}) for response, value in zip(row.responses, row.scores, strict=True)]
    else:
        rated = ()
    for response, values in rated:
        scaled = {name: (values[name] - scale.mean) / scale.std for name, scale in scales.items() if name in values}
        if scaled:
            targets = tuple(scaled.get(name, math.nan) for name in outputs.rated)
            yield Rated(table.add(row.prompt, response), targets)


def _balance_length(found: list[Judgement], table: TextTable) -> list[Judgement]:
    """Weights pairs so that the longer response wins in half of the weight; the mean weight stays 1."""
    longer, shorter = (
        [j for j in found if isinstance(j, Compared) and side * _length_difference(j, table) > 0] for side in (1, -1)
    )
    if not longer or not shorter:
        raise DataError("--balance-length needs pairs won by the longer and pairs won by the shorter response")
    total = len(longer) + len(shorter)

    def weighted(judgement: Judgement) -> Judgement:
        if not isinstance(judgement, Compared) or not (difference := _length_difference(judgement, table)):
            return judgement
        return replace(judgement, weight=total / (2 * len(longer if difference > 0 else shorter)))

    return [weighted(judgement) for judgement in found]


def _length_difference(pair: Compared, table: TextTable) -> int:
    return len(table.responses[pair.chosen]) - len(table.responses[pair.rejected])
