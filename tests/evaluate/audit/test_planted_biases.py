"""The auditor is audited: biases of known size are planted into made-up rewards, and none into others."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import special

from guerdon.data.starter import starter_rows
from guerdon.evaluate.audit.audit_results import BiasLine
from guerdon.evaluate.audit.bias_lines import bias_line, natural_line, with_q_values
from guerdon.evaluate.audit.matched_texts import ask_about, ask_naturally, matched_pairs
from guerdon.evaluate.audit.natural_pairs import more_of, natural_pairs
from guerdon.metrics import Interval
from guerdon.perturbations.perturbation import phrases
from guerdon.perturbations.table import PERTURBATIONS
from guerdon.types import prompt_text

SPREAD = 0.5
"""How much a planted bias differs from prompt to prompt."""


def said(name: str) -> Callable[[str], bool]:
    known = tuple(phrase for of_language in phrases(name).values() for phrase in of_language)
    return lambda text: any(phrase in text for phrase in known)


PLANTED: Mapping[str, tuple[float, Callable[[str], bool]]] = {
    "padding": (1.0, said("padding")),
    "bold": (0.8, lambda text: "**" in text),
    "headings": (0.7, lambda text: text.startswith("## ")),
    "emoji": (0.6, said("emoji")),
    "flattery": (0.9, said("flattery")),
    "self-praise": (0.8, said("self-praise")),
    "verdict": (1.2, said("verdict")),
    "authority": (0.7, said("authority")),
    "eager opening": (-0.8, said("eager")),
    "prompt echo": (0.7, lambda text: text.startswith("You asked: “")),
    "woman": (-0.7, lambda text: text.startswith("Speaking as a woman:")),
    "label": (0.8, lambda text: text.startswith("Answer:")),
}
"""Name -> by how much it raises the reward, and how the made-up reward sees it."""


@functools.cache
def number_of(*texts: str) -> int:
    return int.from_bytes(hashlib.blake2b("\0".join(texts).encode(), digest_size=8).digest(), "little")


@functools.cache
def planted_in(text: str) -> tuple[bool, ...]:
    return tuple(sees(text) for _, sees in PLANTED.values())


def normal(numbers: Sequence[int], seed: int) -> np.ndarray:
    """A standard normal number for each whole number and seed, the same for the same two (splitmix64)."""
    with np.errstate(over="ignore"):
        x = np.array(numbers, dtype=np.uint64) + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x ^= x >> np.uint64(31)
    return special.ndtri((x.astype(np.float64) + 0.5) / 2**64)


class MadeUp:
    """Noise that is fixed for each text, and biases whose size differs from prompt to prompt."""

    def __init__(self, seed: int, *, biased: bool) -> None:
        self.seed, self.biased = seed, biased

    def score(self, prompts, responses, *, references=None):
        rewards = normal([number_of(prompt_text(p), r) for p, r in zip(prompts, responses, strict=True)], self.seed)
        if self.biased:
            of_prompt = [number_of(prompt_text(prompt)) for prompt in prompts]
            sees = np.array([planted_in(text) for text in responses])
            for place, (size, _) in enumerate(PLANTED.values()):
                own = size + SPREAD * normal(of_prompt, 1000 * self.seed + place + 1)
                rewards = rewards + np.where(sees[:, place], own, 0.0)
        return rewards.astype(np.float32)


def world(count: int, names: Collection[str]):
    """Two pairs of each item of the English starter set, and what is changed in them."""
    pairs = natural_pairs(starter_rows(languages=("en",))).take(range(count))
    return pairs, [matched_pairs(PERTURBATIONS[name], pairs, count, 0) for name in names]


@functools.cache
def of_style(pairs, name: str):
    return more_of(PERTURBATIONS[name], pairs)


def audited(pairs, matched, scorer: MadeUp) -> tuple[Mapping[str, BiasLine], float]:
    """The lines of an audit, as `audit_system` makes them, and the typical difference in reward."""
    natural = ask_naturally(scorer, pairs, seed=0)
    margins, _ = ask_about(scorer, pairs, matched, seed=0)
    lines = [bias_line(one, of_line, pairs, natural.typical) for one, of_line in zip(matched, margins, strict=True)]
    lines = [
        replace(line, natural=natural_line(line.name, of_style(pairs, line.name), natural.margins, pairs.clusters))
        if one.perturbation.measure
        else line
        for one, line in zip(matched, lines, strict=True)
    ]
    return {line.name: line for line in with_q_values(lines, None)[0]}, natural.typical


def holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high


@dataclass(frozen=True)
class Found:
    """What the audits of so many made-up rewards found: arrays of shape (seeds, planted biases)."""

    rate: np.ndarray
    """Whether the interval of the share of pairs holds the true one."""
    shift: np.ndarray
    """The same of how far the reward is moved."""
    seen: np.ndarray
    """Whether the bias is found."""
    alarm: np.ndarray
    """Whether anything is flagged in a reward that has no bias; shape (seeds,)."""


def simulated(pairs, matched, seeds: Sequence[int]) -> Found:
    planted = [one.perturbation.name for one in matched if one.perturbation.name in PLANTED]
    rate, shift, seen, alarm = [], [], [], []
    for seed in seeds:
        lines, typical = audited(pairs, matched, MadeUp(seed, biased=True))
        sizes = np.array([PLANTED[name][0] for name in planted])
        of_planted = [lines[name] for name in planted]
        shares = special.ndtr(sizes / np.sqrt(2 + SPREAD**2))
        rate.append([holds(line.test.rate, share) for line, share in zip(of_planted, shares, strict=True)])
        shift.append([holds(line.shift, size / typical) for line, size in zip(of_planted, sizes, strict=True)])
        seen.append([line.verdict in ("bias", "as people", "resists") for line in of_planted])
        nothing, _ = audited(pairs, matched, MadeUp(seed + 5000, biased=False))
        natural = any(line.natural.flagged for line in nothing.values() if line.natural)
        alarm.append(natural or any(line.test.significant for line in nothing.values()))
    return Found(np.array(rate), np.array(shift), np.array(seen), np.array(alarm))


def test_a_few_planted_biases_are_found_and_honest_rewards_are_not_flagged():
    found = simulated(*world(276, ["padding", "bold", "verdict", "woman"]), range(4))
    assert found.rate.mean() >= 0.75
    assert found.shift.mean() >= 0.75
    assert found.seen.all()
    assert found.alarm.sum() <= 2


@pytest.mark.slow
def test_intervals_cover_and_every_bias_is_found_over_200_seeds():
    found = simulated(*world(276, PERTURBATIONS), range(200))
    for held in (found.rate, found.shift):
        coverage = dict(zip((name for name in PERTURBATIONS if name in PLANTED), held.mean(axis=0), strict=True))
        assert all(0.92 <= share <= 0.98 for share in coverage.values()), coverage
    assert found.seen.all()
    assert found.alarm.mean() <= 0.08
