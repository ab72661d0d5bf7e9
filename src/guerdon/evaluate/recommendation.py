"""Which candidate to take, said with its evidence, and what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from guerdon.evaluate.advice import CandidateResult
from guerdon.evaluate.cheap_candidates import CHEAP, RULES_OF_LENGTH
from guerdon.evaluate.counted_pairs import Measured
from guerdon.evaluate.learning_curve import Gain
from guerdon.metrics import format_interval, format_value
from guerdon.rewards.judged import JudgedResponses
from guerdon.train.cross_validation import BLEND
from guerdon.types import AnyRow, Rating, prompt_text

CLEARLY = 2.0
"""Standard errors by which another candidate must lead."""
FEW_VALUES = 5
"""Ratings of so few values are classes."""


def choose(measured: Measured) -> str:
    """The candidate with the least regret to expect: the blend, unless another is better by two standard errors.

    The blend chooses and weighs its members out of fold, and hands all to one of them that is better by a standard
    error, so before any measurement it is the best guess; of six others one is ahead by chance often enough.
    """
    best = max(measured.accuracy, key=lambda name: (measured.accuracy[name].point, name == BLEND))
    gain = measured.accuracy[best].point - measured.accuracy[BLEND].point
    return best if gain > CLEARLY * measured.standard_error(best, BLEND) else BLEND


WHAT_TO_DO = (
    "What to do: have more responses judged, best of equal length, and say in the instructions what counts; or use the "
    "rule, knowing what it is."
)


@dataclass(frozen=True, slots=True)
class WorthOfAdvice:
    """What the recommendation is worth."""

    trustworthy: bool
    headline: str
    evidence: tuple[str, ...]


def worth_of(recommended: str, results: Mapping[str, CandidateResult], measured: Measured) -> WorthOfAdvice:
    """Whether the recommended candidate knows more than length, and the sentences that say why it is recommended."""
    one = results[recommended]
    rule = max(RULES_OF_LENGTH, key=lambda name: results[name].accuracy.point)
    evidence = []
    if one.state == "estimated":
        evidence.append(
            f"{recommended}, on {one.rows_learnt} rows alone and one split, is ahead of {one.against}, which learnt "
            f"from the same rows: accuracy {format_interval(one.minus, signed=True)}."
        )
        return WorthOfAdvice(True, f"Take {recommended}, by an estimate: {one.about}.", tuple(evidence))
    lead = measured.difference(recommended, rule)
    if recommended in RULES_OF_LENGTH:
        headline = f"No trustworthy reward found: {recommended} wins, and nothing here knows more than length."
        evidence.append(f"{recommended} reaches accuracy {format_interval(one.accuracy)} without reading a word.")
        return WorthOfAdvice(False, headline, (*evidence, WHAT_TO_DO))
    if not one.accuracy.low > 0.5:
        headline = f"No trustworthy reward found: not even {recommended} is clearly better than guessing."
        evidence.append(f"{recommended} reaches accuracy {format_interval(one.accuracy)}; guessing gets 0.5.")
        return WorthOfAdvice(False, headline, (*evidence, WHAT_TO_DO))
    if not measured.knows_more_than_length(recommended, rule):
        headline = f"No trustworthy reward found: {recommended} knows little more than length."
        evidence.append(f"{recommended} minus {rule}: accuracy {format_interval(lead, signed=True)}.")
        evidence.append(
            f"Where length decides nothing it is right in {format_interval(measured.balanced(recommended))} of the "
            "pairs; guessing gets 0.5."
        )
        return WorthOfAdvice(False, headline, (*evidence, WHAT_TO_DO))
    evidence.append(f"{recommended} reaches accuracy {format_interval(one.accuracy)} on groups that it has not seen.")
    evidence.append(f"{recommended} minus {rule}, the better rule of length: {format_interval(lead, signed=True)}.")
    others = [name for name in measured.accuracy if name not in (recommended, rule)]
    nearest = max(others, key=lambda name: measured.accuracy[name].point)
    difference = measured.difference(recommended, nearest)
    evidence.append(
        f"{recommended} minus {nearest}, the best of the others: {format_interval(difference, signed=True)}."
    )
    if not difference.low > 0 and list(CHEAP).index(nearest) < list(CHEAP).index(recommended):
        evidence.append(f"{nearest} is simpler, and may serve as well.")
    return WorthOfAdvice(True, f"Take {recommended}: {one.about}.", tuple(evidence))


def gain_sentence(gain: Gain, what: str) -> str:
    """`300 more pairs: +1 to +3 points of accuracy`."""
    low, high = (f"{round(100 * end):+d}".replace("+0", "0").replace("-0", "0") for end in (gain.low, gain.high))
    return f"{gain.more:,} more {what}: {low} to {high} points of accuracy (80% band)."


def task_notes(rows: Sequence[AnyRow], judged: JudgedResponses, recommended: CandidateResult) -> list[str]:
    """What to know of the task: where something plainer than a reward model does the job."""
    notes = []
    prompts = {prompt_text(row.prompt) for row in rows}
    if all(isinstance(row, Rating) for row in rows) and judged.objective == "ratings":
        values = np.unique(judged.target)
        plain = "classifier" if len(values) <= FEW_VALUES else "regression"
        about = f"{len(values)} values" if len(values) <= FEW_VALUES else "a scale"
        same = " of one prompt" if len(prompts) == 1 else ""
        notes.append(
            f"These are ratings{same} on {about}, hardly any two of one prompt: a plain {plain} of the rating serves "
            "as well, and what is fitted here is one (ridge regression)."
        )
    share = recommended.length_correlation
    if abs(share) > 0.5:
        longer = "longer" if share > 0 else "shorter"
        notes.append(
            f"The reward of {recommended.name} goes with length (rank correlation {format_value(share, signed=True)}): "
            f"whoever optimises it gets {longer} responses."
        )
    return notes


def next_commands(
    recommended: str, data: str, costly: Mapping[str, str], options: str, encoder: str
) -> list[tuple[str, str]]:
    """What to type next; `costly` has the commands of the candidates that take minutes."""
    source = shlex.quote(data)
    if recommended in ("longest", "shortest", "cosine"):
        name = recommended if recommended != "cosine" or encoder == "minilm" else f"cosine:{encoder}"
        return [("Score with the rule, which needs no training", f"guerdon score {name} {source} --out scores.jsonl")]
    out = "my-reward"
    if recommended in costly:
        command = costly[recommended].format(data=source, out=out)
    else:
        members = "" if recommended == BLEND else f" --members {recommended}"
        other = "" if encoder == "minilm" else f" --encoder {shlex.quote(encoder)}"
        command = f"guerdon fit {source}{members}{other} --out {out}"
    return [("Make the reward from all of the data", command + options)]
