"""Worked examples for a report: prompts with their answers in the order of the reward, chosen by rule, not by taste."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guerdon.data.preferences import TIE, GradedGroup, row_preferences
from guerdon.metrics import sigmoid
from guerdon.types import AnyRow, Comparison, Prompt, Reference, Scorer, prompt_text

MAX_ANSWERS = 5
_MAX_CHARACTERS = 3000
"""Longer examples are taken only where there are no shorter ones."""
_CANDIDATES = 400
"""Prompts that are looked at: with all of a large test set, choosing would take longer than evaluating."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of an example."""

    text: str
    score: float
    preferred: bool
    """Whether people (or the data's construction) put it above the others shown."""
    judgement: float | None
    """Its human score, where the data has one."""
    beaten: float
    """The model's P(the preferred answer is preferred to this one); 0.5 for the preferred one itself."""


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt and some answers, the highest reward first."""

    prompt: Prompt
    subset: str
    chinese: bool
    """Whether the answers are written in Chinese characters."""
    answers: tuple[Answer, ...]

    @property
    def right(self) -> bool:
        """Whether the highest reward goes to the preferred answer, alone."""
        first, second = self.answers[:2]
        return first.preferred and first.score > second.score

    @property
    def lead(self) -> float:
        """Reward of the preferred answer less the highest of the others; negative where the model is wrong."""
        best = max(answer.score for answer in self.answers if not answer.preferred)
        return next(answer.score for answer in self.answers if answer.preferred) - best


@dataclass(frozen=True, slots=True)
class Judged:
    """What people said about the answers to one prompt: one of them is the best."""

    prompt: Prompt
    subset: str
    best: str
    others: tuple[str, ...]
    judgements: dict[str, float]

    @property
    def size(self) -> int:
        """Characters to read."""
        return len(prompt_text(self.prompt)) + len(self.best) + sum(map(len, self.others))


def choose_examples(scorer: Scorer, rows: Sequence[AnyRow], *, temperature: float = 1.0) -> list[Example]:
    """Up to four examples: for Chinese and for other answers, one that the model gets right and one that it gets wrong.

    Of the candidates of each sort the one with the median lead is taken: neither the best nor the worst.

    Args:
        scorer: the reward.
        rows: judgements that the model has not learned from.
        temperature: P(a preferred to b) = sigmoid((R(a) - R(b)) / temperature).

    Returns:
        Examples, right before wrong; fewer where there are no candidates of a sort.
    """
    candidates = judged(rows)
    short = [each for each in candidates if each.size <= _MAX_CHARACTERS]
    shown = (short or sorted(candidates, key=lambda each: each.size))[:_CANDIDATES]
    sorts: dict[tuple[bool, bool], list[Example]] = defaultdict(list)
    for example in _scored(scorer, shown, temperature):
        sorts[example.chinese, not example.right].append(example)
    return [_median(sorts[sort]) for sort in sorted(sorts)]


def _median(examples: list[Example]) -> Example:
    return sorted(examples, key=lambda example: example.lead)[len(examples) // 2]


def _scored(scorer: Scorer, candidates: Sequence[Judged], temperature: float) -> Iterable[Example]:
    texts = [(each.prompt, text) for each in candidates for text in (each.best, *each.others)]
    if not texts:
        return
    rewards = iter(scorer.score([prompt for prompt, _ in texts], [text for _, text in texts]).tolist())
    for each in candidates:
        scores = {text: next(rewards) for text in (each.best, *each.others)}
        if any(score != score for score in scores.values()):  # NaN: there is no order to show
            continue
        answers = [
            Answer(
                text=text,
                score=score,
                preferred=text == each.best,
                judgement=each.judgements.get(text),
                beaten=float(sigmoid((scores[each.best] - score) / temperature)),
            )
            for text, score in sorted(scores.items(), key=lambda item: -item[1])
        ]
        chinese = is_chinese(" ".join(scores))
        yield Example(each.prompt, each.subset, chinese, tuple(answers))


def is_chinese(text: str) -> bool:
    """Whether at least three in ten letters are Chinese characters."""
    letters = [character for character in text if character.isalpha()]
    return 10 * sum("\u3400" <= character <= "\u9fff" for character in letters) >= 3 * max(1, len(letters))


def judged(rows: Sequence[AnyRow]) -> list[Judged]:
    """The prompts of which one answer stands above others, in the order of their first row."""
    compared: dict[str, list[GradedGroup]] = defaultdict(list)
    found: dict[str, list[Judged]] = {prompt_text(row.prompt): [] for row in rows}
    for group in row_preferences(rows):
        if group.kind is Comparison:
            compared[prompt_text(group.prompt)].append(group)
        elif group.kind is not Reference:
            found[prompt_text(group.prompt)] += _best_of(group)
    for prompt, groups in compared.items():
        found[prompt] = [*_unbeaten(groups), *found[prompt]]
    return [each for several in found.values() for each in several]


def _unbeaten(groups: Sequence[GradedGroup]) -> Iterable[Judged]:
    """One example from the comparisons of a prompt: the unbeaten answer that won most, and those it won against."""
    won = [group.responses for group in groups if group.preference != TIE]
    lost = {rejected for _, rejected in won}
    unbeaten = [chosen for chosen in dict.fromkeys(chosen for chosen, _ in won) if chosen not in lost]
    for best in sorted(unbeaten, key=lambda text: -sum(chosen == text for chosen, _ in won))[:1]:
        others = dict.fromkeys(rejected for chosen, rejected in won if chosen == best)
        yield Judged(groups[0].prompt, groups[0].rows[0].subset, best, tuple(others)[: MAX_ANSWERS - 1], {})


def _best_of(group: GradedGroup) -> Iterable[Judged]:
    """The answer with the one highest grade, and others spread over the rest."""
    scores = dict(zip(group.responses, group.grades, strict=True))
    order = sorted(scores, key=lambda text: -scores[text])
    if len(order) < 2 or scores[order[0]] == scores[order[1]]:
        return
    rest = order[1:]
    count = min(len(rest), MAX_ANSWERS - 1)
    picked = [rest[round(i * (len(rest) - 1) / max(1, count - 1))] for i in range(count)]
    shown = {text: scores[text] for text in (order[0], *picked)}
    yield Judged(group.prompt, group.rows[0].subset, order[0], tuple(picked), shown)
