"""How far annotators agree, how good each is, and how much of what they say is noise, for each question."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from guerdon.collect.labelled import LEVELS, MOST_CATEGORIES, Labelled
from guerdon.metrics import (
    CrowdStrengths,
    DawidSkene,
    Floats,
    Interval,
    Ints,
    cluster_codes,
    clustered_bootstrap,
    clustered_mean,
    cohen_kappa,
    crowd_bradley_terry,
    dawid_skene,
    fleiss_kappa,
    krippendorff_alpha,
    label_noise,
    observed_agreement,
)
from guerdon.types import prompt_text


@dataclass(frozen=True, slots=True)
class PairKappa:
    """Cohen's kappa of two annotators."""

    first: str
    second: str
    items: int
    """That both judged."""
    kappa: Interval


@dataclass(frozen=True, slots=True)
class AnnotatorQuality:
    """How good one annotator is, of the items that others judged too."""

    name: str
    judged: int
    """Items, also those that nobody else judged."""
    agreement: Interval
    """Share of the judgements of others, of the same items, that are the same."""
    accuracy: Interval
    """Share of the judgements that are right, as Dawid-Skene sees it."""
    reliability: Interval | None
    """Share of the judgements that say what the strengths of crowd Bradley-Terry say; None where there are none, or
    where texts are compared so seldom that strengths would follow each judgement."""
    confusion: tuple[tuple[float, ...], ...]
    """P(says the column where the row is true), of Dawid-Skene."""
    gold: Interval | None = None
    """Share of the gold questions that were answered rightly."""


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """What the judgements of one question say of those who made them, and of the question."""

    name: str
    kind: str
    categories: tuple[str, ...]
    items: int
    judgements: int
    annotators: int
    """0 where they are not named."""
    several: int
    """Items with two judgements or more; all that follows is of these."""
    agreement: Interval
    """Share of the pairs of judgements of an item that are equal."""
    alpha: Mapping[str, Interval]
    """Level -> Krippendorff's alpha."""
    fleiss: Interval
    cohen: Interval
    """The mean of Cohen's kappa over pairs of annotators, weighed by the items that they share."""
    noise: Interval
    """Share of the judgements that are wrong, were all annotators and errors alike."""
    noise_dawid_skene: Interval
    """Share of the judgements that are wrong, as Dawid-Skene sees it."""
    pooled_noise: float
    """Share of the items whose likeliest category is wrong, as Dawid-Skene sees it."""
    pairs: tuple[PairKappa, ...]
    """Pairs of annotators, those who share the most items first."""
    quality: tuple[AnnotatorQuality, ...]


_NOTHING = Interval(float("nan"))


def question_agreements(
    labelled: Sequence[Labelled],
    gold: Mapping[str, Interval] | None = None,
    *,
    kappas: bool = True,
    resamples: int = 1000,
) -> tuple[LabelAgreement, ...]:
    """`label_agreement` of each question; strengths give one more alpha of their preferences."""
    strengths = {one.name: one for one in labelled if one.kind == "strength"}
    return tuple(
        label_agreement(
            one, strength=strengths.get(f"{one.name}: strength"), gold=gold, kappas=kappas, resamples=resamples
        )
        for one in labelled
        if one.kind != "strength"
    )


def label_agreement(
    labelled: Labelled,
    *,
    strength: Labelled | None = None,
    gold: Mapping[str, Interval] | None = None,
    kappas: bool = True,
    resamples: int = 1000,
) -> LabelAgreement:
    """Agreement, quality and noise of one question.

    Where an item compares two texts, each judgement counts in both orders: which of them comes first is nobody's
    choice. Intervals draw prompts (or groups), with all their items.

    Args:
        labelled: the judgements.
        strength: how strong they are, where they are comparisons.
        gold: annotator -> share of gold questions answered rightly.
        kappas: Cohen's too, whose pairs are many where annotators are.
        resamples: of the intervals.
    """
    counts, clusters = _of_several_in_both_orders(labelled)
    interval = partial(clustered_bootstrap, clusters=clusters, resamples=resamples)
    few = len(labelled.values) <= MOST_CATEGORIES
    model = dawid_skene_of(labelled) if few else None
    agreement = interval(lambda w: observed_agreement(counts, w))
    pairs, cohen = _kappas(labelled, resamples) if few and kappas else ((), _NOTHING)
    return LabelAgreement(
        name=labelled.name,
        kind=labelled.kind,
        categories=labelled.categories,
        items=len(labelled.rows),
        judgements=len(labelled.items),
        annotators=len(labelled.annotators) if labelled.is_named else 0,
        several=int((labelled.counts().sum(axis=1) >= 2).sum()),
        agreement=agreement,
        alpha=_alphas(labelled, resamples) | (_alphas(strength, resamples) if strength is not None else {}),
        fleiss=interval(lambda w: fleiss_kappa(counts, w)) if few else _NOTHING,
        cohen=cohen,
        noise=_noise(agreement, len(labelled.values)) if few else _NOTHING,
        noise_dawid_skene=_wrong(model, labelled) if model is not None else _NOTHING,
        pooled_noise=_pooled_noise(model, labelled) if model is not None else float("nan"),
        pairs=pairs,
        quality=_annotator_quality(labelled, model, gold or {}) if labelled.is_named and model is not None else (),
    )


def _of_several_in_both_orders(labelled: Labelled) -> tuple[Ints, Ints]:
    """Counts by category, and clusters, of items judged more than once; those that compare are there in both orders."""
    counts = labelled.counts()
    several = counts.sum(axis=1) >= 2
    counts, clusters = counts[several], cluster_codes(labelled.clusters[several].tolist())
    if labelled.swap is None:
        return counts, clusters
    return np.concatenate([counts, counts[:, labelled.swap]]), np.concatenate([clusters, clusters])


def _alphas(labelled: Labelled, resamples: int) -> dict[str, Interval]:
    counts, clusters = _of_several_in_both_orders(labelled)
    found = {}
    for level in LEVELS[labelled.kind]:
        statistic = partial(krippendorff_alpha, counts, labelled.values, level)
        name = f"{level}, with strength" if labelled.kind == "strength" else level
        found[name] = clustered_bootstrap(statistic, clusters, resamples=resamples)
    return found


def dawid_skene_of(labelled: Labelled) -> DawidSkene:
    """The true categories and the annotators of a question, as Dawid and Skene see them."""
    return dawid_skene(
        labelled.items, labelled.who, labelled.said, categories=len(labelled.values), swap=labelled.swap
    )  # fmt: skip


def crowd_strengths_of(labelled: Labelled) -> tuple[CrowdStrengths, Ints, Ints]:
    """Strengths of the texts of comparisons, and the codes of the two that each item compares, shape (n,) each."""
    first, second = _text_codes(labelled).T
    outcome = np.array([1.0, 0.0, 0.5, 0.5])[labelled.values.astype(int)]
    own = labelled.items
    return crowd_bradley_terry(first[own], second[own], labelled.who, outcome[labelled.said]), first, second


def _text_codes(labelled: Labelled) -> Ints:
    """Numbers of the texts that items compare, shape (n, 2); the same text of two prompts has two."""
    two = zip(labelled.rows, labelled.texts, strict=True)
    return cluster_codes([(prompt_text(row.prompt), text) for row, texts in two for text in texts]).reshape(-1, 2)


def _annotator_quality(
    labelled: Labelled, model: DawidSkene, gold: Mapping[str, Interval]
) -> tuple[AnnotatorQuality, ...]:
    """The quality of each annotator of one question, in the order of their names."""
    right = model.posterior[labelled.items, labelled.said]
    # Strengths of texts that stand in one pair only would follow each judgement.
    crowded = labelled.kind == "pair" and len(labelled.rows) > _text_codes(labelled).max()
    crowd = crowd_strengths_of(labelled)[0].right if crowded else None
    counts, of_several = labelled.counts(), _of_several(labelled)
    total = counts.sum(axis=1)[labelled.items]
    same = (counts[labelled.items, labelled.said] - 1) / np.maximum(total - 1, 1)
    found = []
    for code, name in enumerate(labelled.annotators):
        own = labelled.who == code
        counted = own & of_several
        found.append(
            AnnotatorQuality(
                name=name,
                judged=int(own.sum()),
                agreement=_mean(same, counted, labelled),
                accuracy=_mean(right, counted, labelled),
                reliability=_mean(crowd, counted, labelled) if crowd is not None else None,
                confusion=tuple(tuple(row) for row in model.confusion[code].tolist()),
                gold=gold.get(name),
            )
        )
    return tuple(found)


def _of_several(labelled: Labelled) -> NDArray[np.bool_]:
    """Which judgements are of items with two or more, shape (m,)."""
    return np.asarray(labelled.counts().sum(axis=1)[labelled.items] >= 2)


def _mean(values: Floats, where: NDArray[np.bool_], labelled: Labelled) -> Interval:
    return clustered_mean(values[where], labelled.clusters[labelled.items][where]).share


def _wrong(model: DawidSkene, labelled: Labelled) -> Interval:
    return _mean(1 - model.posterior[labelled.items, labelled.said], _of_several(labelled), labelled)


def _pooled_noise(model: DawidSkene, labelled: Labelled) -> float:
    several = labelled.counts().sum(axis=1) >= 2
    return float(np.mean(1 - model.posterior[several].max(axis=1))) if several.any() else float("nan")


def _noise(agreement: Interval, categories: int) -> Interval:
    """The noise at an agreement and at the ends of its interval: the more people agree, the less there is."""
    point, low, high = (
        float(label_noise(value, categories)) for value in (agreement.point, agreement.high, agreement.low)
    )
    return Interval(point, low, high)


def _kappas(labelled: Labelled, resamples: int) -> tuple[tuple[PairKappa, ...], Interval]:
    """Cohen's kappa of every two annotators who share items, and its mean."""
    if not labelled.is_named:
        return (), _NOTHING
    said = np.full((len(labelled.annotators), len(labelled.rows)), -1)
    said[labelled.who, labelled.items] = labelled.said
    swap = labelled.swap
    found: list[PairKappa] = []
    shared: list[tuple[Ints, Ints, Ints]] = []
    for a, b in itertools.combinations(range(len(said)), 2):
        both = np.flatnonzero((said[a] >= 0) & (said[b] >= 0))
        if len(both) < 2:
            continue
        one, other, items = said[a, both], said[b, both], both
        if swap is not None:
            one, other = np.concatenate([one, swap[one]]), np.concatenate([other, swap[other]])
            items = np.concatenate([both, both])
        shared.append((one, other, items))
        codes = cluster_codes(labelled.clusters[items].tolist())
        kappa = clustered_bootstrap(partial(cohen_kappa, one, other), codes, resamples=resamples)
        found.append(PairKappa(labelled.annotators[a], labelled.annotators[b], len(both), kappa))

    def mean(weights: Floats) -> Floats:
        kappas = np.stack([cohen_kappa(one, other, weights[:, items]) for one, other, items in shared])
        sizes = np.stack([weights[:, items].sum(axis=1) for _, _, items in shared]) * ~np.isnan(kappas)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.nansum(kappas * sizes, axis=0) / sizes.sum(axis=0))

    overall = clustered_bootstrap(mean, labelled.clusters, resamples=resamples) if shared else _NOTHING
    return tuple(sorted(found, key=lambda pair: -pair.items)), overall
