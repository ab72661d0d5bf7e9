"""Worked examples for a report: prompts with responses in the order of the reward, chosen by rule, not by taste."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from guerdon.data.preferences import TIE, GradedGroup, row_preferences
from guerdon.metrics import sigmoid
from guerdon.optimize.best_of_n import rewards_of
from guerdon.recipes.policy_responses import evenly
from guerdon.text.language import is_chinese
from guerdon.types import AnyRow, Candidates, Comparison, Prompt, Reference, Scorer, prompt_text

MAX_RESPONSES = 5
_MAX_CHARACTERS = 3000
"""Longer examples are taken only where there are no shorter ones."""
_MOST_PROMPTS = 400
"""Number of prompts that are looked at: with all of a large test set, choosing would take longer than evaluating."""


@dataclass(frozen=True, slots=True)
class ExampleResponse:
    """One response of an example."""

    text: str
    score: float
    preferred: bool
    """Whether people (or the data's construction) put it above the others shown."""
    human_score: float | None
    """None where the data has none."""
    p_beaten: float
    """The model's P(the preferred response is preferred to this one); 0.5 for the preferred one itself."""


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """A prompt and some responses, the highest reward first."""

    prompt: Prompt
    subset: str
    chinese: bool
    """Whether the responses are written in Chinese characters."""
    responses: tuple[ExampleResponse, ...]

    def best(self, *, preferred: bool) -> ExampleResponse:
        """The preferred response, or the one with the highest reward of the others."""
        return next(one for one in self.responses if one.preferred is preferred)

    @property
    def lead(self) -> float:
        """Reward of the preferred response less the highest of the others."""
        return self.best(preferred=True).score - self.best(preferred=False).score

    @property
    def right(self) -> bool:
        """Whether the highest reward goes to the preferred response, alone."""
        return self.lead > 0


def choose_examples(scorer: Scorer, rows: Sequence[AnyRow], *, temperature: float = 1.0) -> list[WorkedExample]:
    """Up to four examples: for Chinese and for other responses, one that the model gets right and one it gets wrong.

    Of the candidates of each sort the one with the median lead is taken: neither the best nor the worst. Right ones
    come before wrong ones. P(a preferred to b) = sigmoid((R(a) - R(b)) / temperature).
    """
    candidates = prompts_with_a_best(rows)
    short = [one for one in candidates if _characters(one) <= _MAX_CHARACTERS]
    shown = (short or sorted(candidates, key=_characters))[:_MOST_PROMPTS]
    sorts: dict[tuple[bool, bool], list[WorkedExample]] = defaultdict(list)
    for example in _scored(scorer, shown, temperature):
        sorts[example.chinese, not example.right].append(example)
    by_lead = [sorted(sorts[sort], key=lambda example: example.lead) for sort in sorted(sorts)]
    return [examples[len(examples) // 2] for examples in by_lead]


def _characters(one: Candidates) -> int:
    return len(prompt_text(one.prompt)) + sum(map(len, one.responses))


def _scored(scorer: Scorer, candidates: Sequence[Candidates], temperature: float) -> Iterator[WorkedExample]:
    for one, rewards in zip(candidates, rewards_of(scorer, candidates), strict=True):
        scores = rewards.values.tolist()
        if any(map(math.isnan, scores)):  # there is no order to show
            continue
        human = one.scores or (None,) * len(scores)
        responses = [
            ExampleResponse(text, score, place == 0, human[place], float(sigmoid((scores[0] - score) / temperature)))
            for place, (text, score) in enumerate(zip(one.responses, scores, strict=True))
        ]
        chinese = is_chinese(" ".join(one.responses))
        ordered = tuple(sorted(responses, key=lambda response: -response.score))
        yield WorkedExample(one.prompt, one.subset, chinese, ordered)


def prompts_with_a_best(rows: Sequence[AnyRow]) -> list[Candidates]:
    """The prompts of which one response stands above others, in the order of their first row; that one comes first.

    `scores` are the human scores of ratings and rankings, and None for comparisons.
    """
    compared: dict[str, list[GradedGroup]] = defaultdict(list)
    found: dict[str, list[Candidates]] = {prompt_text(row.prompt): [] for row in rows}
    for group in row_preferences(rows):
        if group.kind is Comparison:
            compared[prompt_text(group.prompt)].append(group)
        elif group.kind is not Reference:
            found[prompt_text(group.prompt)] += _best_graded(group)
    for prompt, groups in compared.items():
        found[prompt] = [*_unbeaten(groups), *found[prompt]]
    return [one for several in found.values() for one in several]


def _unbeaten(groups: Sequence[GradedGroup]) -> Iterator[Candidates]:
    """The unbeaten response of a prompt that won most comparisons, and those that it won against."""
    won = [group.responses for group in groups if group.preference != TIE]
    lost = {rejected for _, rejected in won}
    unbeaten = [chosen for chosen in dict.fromkeys(chosen for chosen, _ in won) if chosen not in lost]
    for best in sorted(unbeaten, key=lambda text: -sum(chosen == text for chosen, _ in won))[:1]:
        others = tuple(dict.fromkeys(rejected for chosen, rejected in won if chosen == best))[: MAX_RESPONSES - 1]
        yield Candidates(prompt=groups[0].prompt, subset=groups[0].rows[0].subset, responses=(best, *others))


def _best_graded(group: GradedGroup) -> Iterator[Candidates]:
    """The response with the one highest grade, and others spread over the rest."""
    grades = dict(zip(group.responses, group.grades, strict=True))
    best, *rest = sorted(grades, key=lambda text: -grades[text])
    if rest and grades[best] > grades[rest[0]]:
        shown = (best, *evenly(rest, MAX_RESPONSES - 1))
        scores = tuple(grades[text] for text in shown)
        yield Candidates(prompt=group.prompt, subset=group.rows[0].subset, responses=shown, scores=scores)
