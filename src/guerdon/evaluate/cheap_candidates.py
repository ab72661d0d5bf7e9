"""Candidates that are fitted in seconds: read once, cross-validated by group, with their learning curves and costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.evaluate.advise_config import AdviseConfig
from guerdon.evaluate.counted_pairs import CountedPairs, Measured
from guerdon.evaluate.learning_curve import SizeCurve, learning_curves
from guerdon.metrics import Floats
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import BLEND, Member, cross_validate
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import read_members

CHEAP = {
    "longest": "the longer response, no training",
    "shortest": "the shorter response, no training",
    "cosine": "nearness of response and prompt, no training",
    "surface": "length, form, overlap with the prompt; linear",
    "tfidf": "words and pieces of words; linear",
    "embedding": "frozen vectors of prompt and response; linear",
    BLEND: "a weighted sum of all of these",
}
"""The cheap candidates, simplest first, and what each is."""
RULES_OF_LENGTH = ("longest", "shortest")
CURVES_SHARE = 0.5
"""Learning curves are left out where they would end after this share of the time."""


@dataclass(frozen=True, slots=True, eq=False)
class CheapResult:
    """What cross-validation found."""

    members: Sequence[Member]
    pairs: CountedPairs
    margins: Mapping[str, Floats]
    """Name -> margins of the observations, out of fold; shape (m,)."""
    measured: Measured
    curves: Mapping[str, SizeCurve]
    """Name of what is fitted -> its learning curve; empty where there was no time."""
    fit_seconds: Mapping[str, float]
    """Name -> seconds to read all responses and fit once."""
    texts_per_second: Mapping[str, float]


def compare_cheap(
    judged: JudgedResponses,
    config: AdviseConfig,
    begin: float,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> CheapResult:
    """Reads, cross-validates and measures the cheap candidates; the advice began at `begin`, by `time.monotonic`."""
    members, reading = _read(judged, config, on_stage)

    def told(what: str) -> Callable[[int, int], None]:
        return lambda done, of: on_stage(f"{what}, part {done} of {of}")

    start = time.monotonic()
    margins, fits = cross_validate(members, judged, seed=config.seed, on_fold=told("cross-validating"))
    validating = time.monotonic() - start
    pairs = CountedPairs.of(judged, seed=config.seed)
    curves: Mapping[str, SizeCurve] = {}
    if time.monotonic() - begin + 2 * validating < CURVES_SHARE * 60 * config.time:
        curves = learning_curves(members, judged, margins, pairs, seed=config.seed, on_part=told("learning curves"))
    on_stage("measuring")
    seconds = dict(reading)
    for member, penalty in zip(members, fits[0].penalties, strict=True):
        start = time.monotonic()
        member.scores(judged, np.arange(len(judged)), penalty)
        seconds[member.name] += time.monotonic() - start
    shared = {name: value for name, value in reading.items() if name != "cosine"}  # it reads what embedding has read
    seconds[BLEND] = sum(shared.values()) + validating / len(fits)
    per_second = {name: len(judged.responses) / max(value, 1e-6) for name, value in reading.items()}
    per_second[BLEND] = len(judged.responses) / max(sum(shared.values()), 1e-6)
    measured = Measured.of(pairs, margins, seed=config.seed)
    return CheapResult(members, pairs, margins, measured, curves, seconds, per_second)


def _read(
    judged: JudgedResponses, config: AdviseConfig, on_stage: Callable[[str], None]
) -> tuple[list[Member], dict[str, float]]:
    """The members, and the seconds in which each was read."""
    began: list[float] = []

    def stage(what: str) -> None:
        began.append(time.monotonic())
        on_stage(what)

    names = ("longest", "shortest", "surface", "tfidf", "embedding", "cosine")
    reader = FitConfig(
        members=names,
        encoder=config.encoder,
        device=config.device,
        trust_remote_code=config.trust_remote_code,
        seed=config.seed,
    )
    members = read_members(judged, reader, stage)
    reading = dict(zip(names, np.diff([*began, time.monotonic()]).tolist(), strict=True))
    reading["cosine"] += reading["embedding"]  # the vectors were there already
    return members, reading
