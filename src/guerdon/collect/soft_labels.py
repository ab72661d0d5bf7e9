"""What was judged several times as one row for each item, with how sure its label is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from guerdon.collect.collect_config import Pooling
from guerdon.collect.label_agreement import crowd_strengths_of, dawid_skene_of
from guerdon.collect.labelled import MOST_CATEGORIES, Labelled
from guerdon.collect.rows_out import OWN_COLUMNS
from guerdon.errors import ConfigError
from guerdon.metrics import Floats, sigmoid
from guerdon.types import AnyRow, Comparison, Rating, Steps, prompt_text


def soft_rows(labelled: Sequence[Labelled], pooling: Pooling) -> list[AnyRow]:
    """One row for each pair of texts, rated text or solution, from all that was judged of it.

    Of a pair the preference is P(the better one is preferred), ties and both bad counted half each way; of a rating it
    is the expected value of each attribute; of a step P(it is right).

    Args:
        labelled: the judgements by question; strengths take no part.
        pooling: `votes`: shares and means; `dawid-skene`: its posterior; `bradley-terry`: of comparisons, the sigmoid
            of the difference of crowd Bradley-Terry's strengths.

    Raises:
        ConfigError: `pooling` is not for what was judged.
    """
    rows: list[AnyRow] = []
    scores: dict[tuple[str, str], tuple[dict[str, Any], dict[str, float]]] = {}
    labels: dict[tuple[str, tuple[str, ...]], tuple[dict[str, Any], dict[int, float]]] = {}
    for one in labelled:
        if one.kind == "strength":
            continue
        for item, value in enumerate(_expected(one, pooling).tolist()):
            row, texts = one.rows[item], one.texts[item]
            about = {name: getattr(row, name) for name in ("prompt", "reference", "subset", "group", "id")}
            about["extra"] = {name: kept for name, kept in row.extra.items() if name not in OWN_COLUMNS}
            if one.kind == "pair":
                about["extra"] |= _votes(one, item, swapped=value < 0.5)
                better, worse = texts if value >= 0.5 else texts[::-1]
                rows.append(Comparison(chosen=better, rejected=worse, preference=max(value, 1 - value), **about))
            elif one.kind == "score":
                scores.setdefault((prompt_text(row.prompt), texts[0]), (about, {}))[1][one.name] = value
            elif isinstance(row, Steps):
                labels.setdefault((prompt_text(row.prompt), row.steps), (about, {}))[1][len(texts) - 1] = value
    rows += [Rating(response=text, scores=given, **about) for (_, text), (about, given) in scores.items()]
    rows += [
        Steps(steps=steps, labels=tuple(given.get(at) for at in range(len(steps))), **about)
        for (_, steps), (about, given) in labels.items()
    ]
    return rows


def _expected(one: Labelled, pooling: Pooling) -> Floats:
    """Of each item P(the first is preferred), the expected score, or P(the step is right); shape (n,)."""
    if pooling == "bradley-terry":
        if one.kind != "pair":
            raise ConfigError(f"{one.name} was not compared, and has no strengths. Fix: --pooling dawid-skene or votes")
        fitted, first, second = crowd_strengths_of(one)
        return sigmoid(fitted.strengths[first] - fitted.strengths[second])
    if pooling == "dawid-skene":
        if len(one.values) > MOST_CATEGORIES:
            raise ConfigError(f"{one.name} has {len(one.values)} different scores, no categories. Fix: --pooling votes")
        chances = dawid_skene_of(one).posterior
    else:
        counts = one.counts()
        chances = counts / counts.sum(axis=1, keepdims=True)
    if one.kind != "pair":
        return np.asarray(chances @ one.values)
    return np.asarray(chances @ np.where(one.values < 2, 1 - one.values, 0.5))  # first, second, tie, both bad


def _votes(one: Labelled, item: int, *, swapped: bool) -> dict[str, Any]:
    """Votes for chosen, for rejected and for neither, and who gave them."""
    own = one.items == item
    first, second, *neither = np.bincount(one.said[own], minlength=len(one.values)).tolist()
    found: dict[str, Any] = {"votes": [second, first, sum(neither)] if swapped else [first, second, sum(neither)]}
    if one.is_named:
        found["annotators"] = [one.annotators[code] for code in one.who[own]]
    return found
