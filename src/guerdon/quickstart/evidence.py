"""What a handed-over reward rests on: its candidates, their weights, the strongest features, and length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from guerdon.data.values import plain
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.cheap_candidates import RULES_OF_LENGTH
from guerdon.evaluate.counted_pairs import CountedPairs, Measured
from guerdon.evaluate.results import Evaluation, Section
from guerdon.metrics import Interval, format_interval, format_value, spearman_by_group
from guerdon.rewards.blend import Blend
from guerdon.rewards.linear import LinearReward, standardised
from guerdon.rewards.scoring import score_texts
from guerdon.rewards.terms import TermFeatures
from guerdon.text.language import is_chinese
from guerdon.train.cross_validation import BLEND
from guerdon.train.fit_run import FittedReward
from guerdon.types import AnyRow, Prompt, Scorer, prompt_text, response_texts

FEW = 20
"""Rows that a part needs to be measured by itself."""
STRONGEST = 6
"""Features of a member that are shown, of those that raise the reward and of those that lower it."""
_MOST_RESPONSES = 1000
"""Responses that tell how strong features are."""

_LANGUAGES = {"en": "English", "zh": "Chinese"}
_OTHERS = "other languages"
UNTRUSTWORTHY = "No trustworthy reward found"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One kind of reward, cross-validated on the training rows."""

    name: str
    accuracy: Interval
    length_balanced: Interval
    length_correlation: float
    """Rank correlation of differences in reward with differences in length."""
    weight: float
    """Its share of the weights of what is handed over; NaN for the whole."""


@dataclass(frozen=True, slots=True)
class Feature:
    """A feature that a member reads, and what it adds to the reward when it rises by a standard deviation."""

    name: str
    effect: float


@dataclass(frozen=True, slots=True)
class Evidence:
    """Why this reward and no other was handed over, and how far it can be trusted."""

    candidates: tuple[Candidate, ...]
    """What is handed over first, then its candidates by accuracy."""
    pairs: int
    """Pairs that they were cross-validated on."""
    features: Mapping[str, tuple[Feature, ...]]
    """Member -> its strongest features on unseen responses, from the most positive effect to the most negative."""
    length_correlation: float
    """Mean over unseen prompts of the rank correlation of reward and length."""
    rule: str
    """The better of the rules of length on these pairs, `longest` or `shortest`."""
    over_rule: Interval
    """Accuracy of what is handed over less that of the rule, paired."""
    balanced: Interval
    """Length-balanced accuracy of what is handed over; plain accuracy where length never decides wrongly."""
    trusted: bool
    """Whether the reward clearly knows more than length (`Measured.knows_more_than_length`)."""

    @property
    def doubts(self) -> str:
        """Why the reward is not trusted, in plain words."""
        accuracy = self.candidates[0].accuracy
        right = f"right in {format_interval(accuracy)} of the pairs"
        if not accuracy.low > 0.5:
            return f"it is {right}, and guessing is right in 0.5."
        without = (
            f"where length gives nothing away, it is right in {format_interval(self.balanced)} of them, and guessing "
            "in 0.5."
        )
        if not self.over_rule.low > 0:
            beside = format_interval(self.over_rule, signed=True)
            return f"it is {right}, which is not clearly more than the rule `{self.rule}` gets ({beside}); {without}"
        return without.replace("of them", "of the pairs")

    @property
    def length_sentence(self) -> str:
        """How far the reward follows length."""
        return (
            "Reward and length of the responses to one unseen prompt correlate by "
            f"{format_value(self.length_correlation, signed=True, decimals=2)} (Spearman, mean over prompts)."
        )

    def table(self) -> list[tuple[str, ...]]:
        """The candidates as text, headings first."""
        return [
            ("candidate", "accuracy", "length-balanced", "with length", "weight"),
            *(
                (
                    "handed over" if one.name == BLEND else one.name,
                    format_interval(one.accuracy),
                    format_value(one.length_balanced.point),
                    format_value(one.length_correlation, signed=True, decimals=2),
                    format_value(one.weight, decimals=2),
                )
                for one in self.candidates
            ),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        values: dict[str, Any] = plain(asdict(self))
        return values


def gather_evidence(fitted: FittedReward, scorer: Scorer, unseen: Sequence[AnyRow], *, seed: int) -> Evidence:
    """Compares the candidates on the rows that no member learnt from, and reads what the reward rests on.

    Args:
        fitted: the reward with its candidates.
        scorer: the same reward, which may know its scores already.
        unseen: rows of other prompts.
        seed: seed of the bootstrap.
    """
    pairs = CountedPairs.of(fitted.judged, fitted.measurable, seed)
    lengths = fitted.judged.margins(np.array([len(text) for text in fitted.judged.responses], dtype=np.float64))
    measured = Measured.of(pairs, fitted.margins | {"longest": lengths, "shortest": -lengths}, seed)
    rule = max(RULES_OF_LENGTH, key=lambda name: measured.accuracy[name].point)
    names = [name for name in fitted.margins if name != BLEND]
    shares = fitted.fit.weights / fitted.fit.weights.sum()
    weights = dict(zip(names, shares.tolist(), strict=True)) | {BLEND: float("nan")}
    order = sorted(names, key=lambda name: -measured.accuracy[name].point)
    candidates = tuple(
        Candidate(
            name,
            measured.accuracy[name],
            measured.length_balanced[name],
            measured.length_correlation[name],
            weights[name],
        )
        for name in (BLEND, *order)
    )
    texts = distinct_responses(unseen)
    return Evidence(
        candidates,
        len(pairs.first),
        strongest_features(fitted.reward, texts),
        length_correlation(scorer, texts),
        rule,
        measured.difference(BLEND, rule),
        measured.balanced(BLEND),
        measured.knows_more_than_length(BLEND, rule),
    )


def distinct_responses(rows: Sequence[AnyRow]) -> list[tuple[Prompt, str]]:
    """Each (prompt, response) of some rows once, in their order."""
    return list(
        {(prompt_text(row.prompt), text): (row.prompt, text) for row in rows for text in response_texts(row)}.values()
    )


def length_correlation(scorer: Scorer, texts: Sequence[tuple[Prompt, str]]) -> float:
    """Mean over prompts of the rank correlation of reward and length in characters; NaN where nothing compares."""
    prompts, responses = [prompt for prompt, _ in texts], [text for _, text in texts]
    rewards = score_texts(scorer, prompts, responses).values
    known = np.isfinite(rewards)
    codes = np.unique([prompt_text(prompt) for prompt in prompts], return_inverse=True)[1]
    lengths = np.array([len(text) for text in responses])
    found = spearman_by_group(rewards[known], lengths[known], codes[known])
    found = found[np.isfinite(found)]
    return float(found.mean()) if len(found) else float("nan")


def strongest_features(reward: Blend, texts: Sequence[tuple[Prompt, str]]) -> dict[str, tuple[Feature, ...]]:
    """Of each member that reads words or surface measures, the features with the strongest effects on these texts.

    Pieces of words, which a bag of words has too, are not shown: they say the same in a way that is hard to read.
    """
    shown = texts[:: max(1, len(texts) // _MOST_RESPONSES)]
    found = {}
    for place, (name, member) in enumerate(reward.members.items()):
        if isinstance(member, LinearReward) and member.features.kind in ("surface", "tfidf"):
            unit = reward.scale * reward.weights[place] / reward.deviations[place] * member.scale
            read = member.features.compute([prompt for prompt, _ in shown], [text for _, text in shown])
            values = standardised(read, member.mean, member.deviation)
            mean, squares = values.mean(axis=0), values.multiply(values) if hasattr(values, "multiply") else values**2
            spread = np.sqrt(np.maximum(np.asarray(squares.mean(axis=0) - np.square(mean)).ravel(), 0.0))
            names = member.features.names()
            if isinstance(member.features, TermFeatures):
                names = member.features.words()
            effects = (unit * member.weights * spread)[: len(names)]
            order = np.argsort(-effects)
            ends = [at for at in dict.fromkeys([*order[:STRONGEST], *order[-STRONGEST:]]) if effects[at]]
            found[name] = tuple(Feature(names[at], float(effects[at])) for at in ends)
    return found


def contributions(reward: Blend, prompt: Prompt, responses: Sequence[str]) -> dict[str, list[float]]:
    """What each member adds to the rewards of some responses to one prompt: name -> one value per response."""
    added = reward.contributions([prompt] * len(responses), responses)
    return {name: added[:, place].tolist() for place, name in enumerate(reward.members)}


def evaluate_by_language(
    scorer: Scorer, rows: Sequence[AnyRow], baselines: Mapping[str, Scorer], *, seed: int
) -> dict[str, Evaluation]:
    """The rows of each language, measured by themselves.

    Returns:
        Language, as the column `language` names it, else `Chinese` and `other languages` by what the responses are
        written in -> evaluation; empty where there is one language, or where one has fewer than 20 rows.
    """
    named = [str(row.extra.get("language", "")) for row in rows]
    if not all(named):
        named = ["zh" if is_chinese(" ".join(response_texts(row))) else _OTHERS for row in rows]
    parts: dict[str, list[AnyRow]] = {}
    for row, name in zip(rows, named, strict=True):
        parts.setdefault(_LANGUAGES.get(name, name), []).append(row)
    if len(parts) < 2 or min(map(len, parts.values())) < FEW:
        return {}
    systems = {"model": scorer}
    return {
        name: evaluate_reward(systems, parts[name], baselines=baselines, seed=seed)
        for name in sorted(parts, reverse=True)
    }


def headline(
    evaluation: Evaluation, by_language: Mapping[str, Evaluation], evidence: Evidence, rows: Sequence[AnyRow]
) -> tuple[str, ...]:
    """The first lines of the report: how far the reward can be trusted, in plain words; `rows` were evaluated."""
    prompts = len({prompt_text(row.prompt) for row in rows})
    lines = []
    if not evidence.trusted:
        lines.append(
            f"{UNTRUSTWORTHY}: {evidence.doubts} Do not optimise by it. What to do: check that two people agree on "
            "such pairs; collect some hundred pairs whose responses are of like length; or take the rule, as `longest` "
            "is one, and know that it is a rule."
        )
    for section in evaluation.sections:
        part = section.overall
        unseen = "" if evaluation.seen else "unseen "
        of = f" ({section.kind})" if len(evaluation.sections) > 1 else ""
        unit = "prompt" if prompts == part.clusters else part.unit
        lines.append(
            f"On {part.clusters:,} {unseen}{unit}{'s' * (part.clusters != 1)}{of}, "
            f"{section.sentence('model', 'the reward')}{_apart(section, by_language)}"
        )
    return tuple(lines)


def _apart(section: Section, by_language: Mapping[str, Evaluation]) -> str:
    """The same, language by language, where a section of that kind was measured."""
    found = []
    for name, evaluation in by_language.items():
        own = next((one for one in evaluation.sections if one.kind == section.kind), None)
        verdict = own.verdict("model") if own else None
        if verdict:
            found.append(f"in {name} {format_interval(verdict.difference, signed=True)}")
    return f" Apart: {', '.join(found)}." if found else ""
