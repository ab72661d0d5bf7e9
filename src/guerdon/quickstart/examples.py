"""Worked examples for a report: prompts with their answers in the order of the reward, chosen by rule, not by taste."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from guerdon.metrics import sigmoid
from guerdon.types import AnyRow, Comparison, Prompt, Ranking, Rating, Scorer, prompt_text

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
    """The prompts of which one answer stands above others, in the order of the rows."""
    by_prompt: dict[str, list[AnyRow]] = defaultdict(list)
    for row in rows:
        by_prompt[prompt_text(row.prompt)].append(row)
    return [found for members in by_prompt.values() for found in _judged(members)]


def _judged(rows: Sequence[AnyRow]) -> Iterable[Judged]:
    """One example from the comparisons of a prompt: the unbeaten answer that won most, and those it won against."""
    first = rows[0]
    compared = [row for row in rows if isinstance(row, Comparison) and row.preference > 0.5]
    lost = {row.rejected for row in compared}
    unbeaten = {row.chosen for row in compared} - lost
    for best in sorted(unbeaten, key=lambda text: -sum(row.chosen == text for row in compared))[:1]:
        others = dict.fromkeys(row.rejected for row in compared if row.chosen == best)
        yield Judged(first.prompt, first.subset, best, tuple(others)[: MAX_ANSWERS - 1], {})
    rated = [row for row in rows if isinstance(row, Rating)]
    names = [name for row in rated for name in row.scores]
    if names:
        yield from _best_of(first, {row.response: row.scores[names[0]] for row in rated if names[0] in row.scores})
    for row in rows:
        if isinstance(row, Ranking):
            yield from _best_of(row, dict(zip(row.responses, row.scores, strict=True)))


def _best_of(row: AnyRow, scores: dict[str, float]) -> Iterable[Judged]:
    """The answer with the one highest human score, and others spread over the rest."""
    order = sorted(scores, key=lambda text: -scores[text])
    if len(order) < 2 or scores[order[0]] == scores[order[1]]:
        return
    rest = order[1:]
    count = min(len(rest), MAX_ANSWERS - 1)
    picked = [rest[round(i * (len(rest) - 1) / max(1, count - 1))] for i in range(count)]
    yield Judged(row.prompt, row.subset, order[0], tuple(picked), {text: scores[text] for text in (order[0], *picked)})
