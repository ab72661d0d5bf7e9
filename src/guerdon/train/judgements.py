"""Rows to judgements over a table of texts.

Whatever people said becomes one of three judgements, and each names its texts by their index in one table: a text that
several judgements speak of is tokenized once, and computed once wherever they meet in a batch.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from guerdon.data.preferences import TIE, GradedGroup, row_preferences
from guerdon.errors import ConfigError, DataError
from guerdon.rewards.contract import StepUnit
from guerdon.train.train_config import TrainConfig
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Reference, Steps, prompt_text, step_prefixes


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

    texts: tuple[int, ...]
    grades: tuple[float, ...]
    contrastive: bool = False
    """Fit by the contrastive loss, the first text being the reference; otherwise by Plackett-Luce."""


@dataclass(frozen=True, slots=True)
class Stepped:
    """A solution in steps, and which of them are right."""

    text: int
    labels: tuple[float, ...]
    """P(right) of each step; NaN where nobody judged it."""

    @property
    def texts(self) -> tuple[int, ...]:
        """The texts this judgement speaks of."""
        return (self.text,)


Judgement = Compared | Rated | Listed | Stepped


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
    """The first is the one that pairs and lists are judged by."""
    rated: tuple[str, ...]
    """Those fitted to ratings."""


PREFERENCE = "preference"


def resolve_objectives(rows: Sequence[AnyRow], config: TrainConfig) -> dict[type, tuple[str, ...]]:
    """Which objectives each kind of row feeds; a ConfigError where the rows do not allow the one asked for."""
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
        Steps: {"auto": ("steps",), "process": ("steps",)},
    }  # fmt: skip
    for allowed in able.values():
        if "bradley-terry" in allowed:
            allowed["agreement"] = allowed["bradley-terry"]
    kinds = {type(row) for row in rows}
    if Steps in kinds and len(kinds) > 1:
        raise ConfigError(
            "solutions with judged steps are learnt by themselves, and this data has other rows as well: scores of "
            "steps and of whole responses are two models. Fix: put the other rows into a file of their own"
        )
    unfit = sorted(kind.__name__.lower() + "s" for kind in kinds if config.objective not in able[kind])
    if unfit:
        choices = sorted(set.intersection(*(set(able[kind]) for kind in kinds)))
        raise ConfigError(
            f"--objective {config.objective} cannot be fitted to {' and '.join(unfit)}; "
            f"this data allows: {', '.join(choices) or 'none'}"
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
    step_unit: StepUnit | Literal[""] = ""
    """Of solutions in steps, what is a step; empty for other rows."""


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
    if all(isinstance(one, Compared) and one.preference == TIE for one in training):
        raise DataError(f"nothing to learn from: in none of {len(rows):,} rows did people see a winner, all are ties")
    if config.balance_length:
        training = _balance_length(training, table)
    validation: list[Judgement] = []
    if held_out:
        validation = judgements(held_out, table, resolve_objectives(held_out, config), outputs, scales, config)
    return JudgedData(table, outputs, scales, training, validation, _step_unit([*rows, *held_out]))


def _step_unit(rows: Iterable[AnyRow]) -> StepUnit | Literal[""]:
    steps = [step.strip() for row in rows if isinstance(row, Steps) for step in row.steps]
    if not steps:
        return ""
    return "paragraph" if any("\n" in step for step in steps) else "line"


def head_outputs(rows: Sequence[AnyRow], objectives: dict[type, tuple[str, ...]]) -> HeadOutputs:
    """The outputs for these rows: one shared `score` where ratings have a single attribute, else one each."""
    fitted = [row for row in rows if "ratings" in objectives[type(row)]]
    rated = tuple(sorted({name for row in fitted for _, values in _rated_texts(row) for name in values}))
    compared = any(set(wanted) & {"pairs", "lists", "contrast"} for wanted in objectives.values())
    if len(rated) <= 1:
        return HeadOutputs(rated or ("score",), rated)
    return HeadOutputs((PREFERENCE, *rated) if compared else rated, rated)


def rating_scales(rows: Iterable[AnyRow], outputs: HeadOutputs) -> dict[str, Scale]:
    """Attribute -> what standardises it; a DataError where one has the same value everywhere."""
    values: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        for _, rated in _rated_texts(row):
            for name in rated.keys() & set(outputs.rated):
                values[name].append(rated[name])
    scales = {name: Scale(float(np.mean(seen)), float(np.std(seen))) for name, seen in values.items()}
    if flat := sorted(name for name, scale in scales.items() if scale.std == 0):
        raise DataError(f"every row has the same value of {', '.join(flat)}: there is nothing to learn from it")
    return scales


def _rated_texts(row: AnyRow) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Every response that a row rates, with its values by attribute."""
    if isinstance(row, Rating):
        yield row.response, row.scores
    elif isinstance(row, Ranking):
        for response, value in zip(row.responses, row.scores, strict=True):
            yield response, {"score": value}


def judgements(
    rows: Sequence[AnyRow],
    table: TextTable,
    objectives: dict[type, tuple[str, ...]],
    outputs: HeadOutputs,
    scales: dict[str, Scale],
    config: TrainConfig,
) -> list[Judgement]:
    """Turns rows into judgements, entering their texts into `table`."""
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
        if isinstance(row, Steps):
            labels = tuple(
                math.nan if label is None else label if config.soft_labels else float(label >= 0.5)
                for step, label in zip(row.steps, row.labels, strict=True)
                if step.strip()
            )
            if not all(map(math.isnan, labels)):
                found.append(Stepped(table.add(row.prompt, step_prefixes(row)[-1]), labels))
    if not found:
        raise DataError(
            "nothing to learn from: no prompt has two responses of different rating, and no step is judged. Fix: use "
            "--objective regression, or data in which responses to one prompt differ"
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
    for response, values in _rated_texts(row):
        scaled = {name: (values[name] - scale.mean) / scale.std for name, scale in scales.items() if name in values}
        if scaled:
            targets = tuple(scaled.get(name, math.nan) for name in outputs.rated)
            yield Rated(table.add(row.prompt, response), targets)


def _balance_length(found: list[Judgement], table: TextTable) -> list[Judgement]:
    """Weights pairs so that the longer response wins in half of the weight; the mean weight stays 1."""

    def won_by(judgement: Judgement) -> str:
        if not isinstance(judgement, Compared):
            return ""
        chosen, rejected = (len(table.responses[text]) for text in judgement.texts)
        return "longer" if chosen > rejected else "shorter" if chosen < rejected else ""

    wins = Counter(map(won_by, found))
    if not wins["longer"] or not wins["shorter"]:
        raise DataError("--balance-length needs pairs won by the longer and pairs won by the shorter response")
    half = (wins["longer"] + wins["shorter"]) / 2
    return [
        replace(judgement, weight=half / wins[winner])
        if isinstance(judgement, Compared) and (winner := won_by(judgement))
        else judgement
        for judgement in found
    ]
