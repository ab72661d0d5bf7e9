"""Split by prompt, train, pick, and measure beside baselines: the same for every application."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from guerdon.data.split import group_folds
from guerdon.data.write import plain
from guerdon.files import atomic_write, check_writable
from guerdon.metrics import Floats, Interval, mean_interval, ndcg
from guerdon.optimize.best_of_n import BestOfN
from guerdon.optimize.candidates import Answering
from guerdon.recipes.choices import Choice, training_rows
from guerdon.recipes.policy import pick_answers
from guerdon.recipes.table import Recipe
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.tfidf import TfidfReward
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.log import OnStep
from guerdon.train.config import TrainConfig
from guerdon.train.run import train_reward_model
from guerdon.types import Scorer

MODEL, BM25, BOTH = "reward model", "BM25", "reward model + BM25"
ALWAYS = "always the best system in training"
SHARES = np.linspace(0, 1, 21)
"""Of the reward model in its sum with BM25."""
RESULT_FILE = "recipe.json"


@dataclass(frozen=True, slots=True)
class System:
    """What one way of choosing gets."""

    name: str
    value: Interval
    """By the yardstick, with its 95% interval over groups."""
    difference: Interval | None
    """Of the reward model and this one, on the same choices."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a recipe found."""

    about: str
    yardstick: str
    systems: tuple[System, ...]
    """The reward model first; then baselines; last an oracle, which knows the values."""
    trained_on: int
    measured_on: int
    """Choices."""
    cut: float
    """Share of the measured texts of which the model did not read all."""
    added: Interval | None = None
    """What the reward model adds to BM25, where their sum was measured."""
    answers: BestOfN | None = None
    """What picking among a language model's answers to the measured prompts gains, where one was asked."""


def run_recipe(
    recipe: Recipe,
    choices: Sequence[Choice],
    out: str | Path,
    config: TrainConfig,
    *,
    folds: int = 5,
    limit: int = 0,
    answering: Answering | None = None,
    asked: int = 64,
    on_fold: Callable[[int, int], None] = lambda fold, folds: None,
    progress: Callable[[], AbstractContextManager[OnStep | None]] = nullcontext,
) -> Result:
    """Trains reward models on some choices and lets them choose on others.

    Args:
        recipe: a row of the table.
        choices: of the data.
        out: folder; `fold-K` holds the model of each fold, `recipe.json` the result.
        config: of the training; its seed also deals the groups out to folds.
        folds: as many parts; one of them is held out, or each in turn.
        limit: train on about so many choices; 0 takes all.
        answering: a language model whose answers the reward model picks from, too; for recipes that hold one fold out.
        asked: prompts that it is asked, at the most.
        on_fold: called before each fold.
        progress: entered for each training; gives what is called after every step with the figures so far.

    Raises:
        DataError: fewer groups than folds.
        OutputError: `out` cannot be written.
    """
    out = Path(out)
    check_writable(out / RESULT_FILE)
    fold_of = group_folds([choice.key for choice in choices], folds, config.seed).tolist()
    known = {BM25: all(choice.given for choice in choices), ALWAYS: any(choice.systems for choice in choices)}
    held_out = range(folds) if recipe.cross else range(1)
    scores: dict[str, list[Floats]] = {}
    tested: list[Choice] = []
    tested_in: list[int] = []
    trained, cut, texts, answers = 0, 0, 0, None
    for fold in held_out:
        on_fold(fold, len(held_out))
        learnt = [choice for choice, own in zip(choices, fold_of, strict=True) if own != fold]
        learnt = random.Random(config.seed).sample(learnt, limit) if 0 < limit < len(learnt) else learnt
        test = [choice for choice, own in zip(choices, fold_of, strict=True) if own == fold]
        with progress() as on_step:
            model = train_reward_model(list(training_rows(learnt)), out / f"fold-{fold}", config, on_step=on_step)
        if isinstance(model, TransformerReward):
            read = model.encode([c.prompt for c in test for _ in c.responses], [r for c in test for r in c.responses])
            cut, texts = cut + max(read.prompts_cut, read.responses_cut), texts + len(read.tokens)
        for name, own_scores in _systems(model, learnt, test, known).items():
            scores.setdefault(name, []).extend(own_scores)
        tested += test
        tested_in += [fold] * len(test)
        trained += len(learnt)
        if answering is not None and not recipe.cross:
            answers = pick_answers(model, test, answering, out / "answers.jsonl", asked=asked, seed=config.seed)
    if recipe.cross and known[BM25]:
        both = together(scores[MODEL], scores[BM25], tested, tested_in, recipe.metric)
        scores = {MODEL: scores[MODEL], BM25: scores[BM25], BOTH: both} | scores
    result = _measure(recipe, tested, scores, trained // len(held_out), cut / max(texts, 1))
    result = replace(result, answers=answers)
    with atomic_write(out / RESULT_FILE) as file:
        json.dump(plain(asdict(result)), file, indent=2, allow_nan=False)
    return result


def _systems(
    model: Scorer, learnt: Sequence[Choice], test: Sequence[Choice], known: Mapping[str, bool]
) -> dict[str, list[Floats]]:
    """What each way of choosing says of the candidates of every choice; equal scores share a pick.

    `known` says whether the data has what BM25 and the best system need.
    """
    found = {MODEL: _scores(model, test)}
    if known[BM25]:
        found[BM25] = [np.array(choice.given) for choice in test]
    found["random"] = [np.zeros(len(choice.responses)) for choice in test]
    found["longest"] = _scores(LengthReward(), test)
    found["TF-IDF (same training data)"] = _scores(TfidfReward.fit(list(training_rows(learnt))), test)
    if known[ALWAYS]:
        best = _best_system(learnt)
        makers = [choice.systems or ("",) * len(choice.responses) for choice in test]
        found[ALWAYS] = [np.array([float(name == best) for name in own]) for own in makers]
    found["oracle"] = [np.array(choice.values) for choice in test]
    return found


def _scores(scorer: Scorer, choices: Sequence[Choice]) -> list[Floats]:
    prompts = [choice.prompt for choice in choices for _ in choice.responses]
    flat = np.asarray(scorer.score(prompts, [text for choice in choices for text in choice.responses]), dtype=float)
    return np.split(flat, np.cumsum([len(choice.responses) for choice in choices])[:-1])


def together(
    model: Sequence[Floats], base: Sequence[Floats], choices: Sequence[Choice], fold_of: Sequence[int], metric: str
) -> list[Floats]:
    """The weighted sum of two scores, in every fold with the share that is best in the other folds."""
    pairs = [(_standard(own), _standard(other)) for own, other in zip(model, base, strict=True)]
    sums = [[share * own + (1 - share) * other for own, other in pairs] for share in SHARES]
    worth = np.array([[value_of(s, c.values, metric) for s, c in zip(one, choices, strict=True)] for one in sums])
    folds = np.array(fold_of)
    best = {fold: int(np.nanmean(worth[:, folds != fold], axis=1).argmax()) for fold in set(fold_of)}
    return [sums[best[fold]][place] for place, fold in enumerate(fold_of)]


def _standard(values: Floats) -> Floats:
    """Mean 0 and deviation 1, so that two scores weigh alike."""
    if np.isnan(values).all():
        return values
    return np.asarray((values - np.nanmean(values)) / (np.nanstd(values) or 1.0))


def _best_system(choices: Sequence[Choice]) -> str:
    """The system with the highest mean value, among those that most choices have; empty where none is known."""
    values: dict[str, list[float]] = {}
    for choice in choices:
        for name, value in zip(choice.systems, choice.values, strict=bool(choice.systems)):
            values.setdefault(name, []).append(value)
    common = {name: own for name, own in values.items() if len(own) >= len(choices) / 2}
    return max(common, key=lambda name: float(np.mean(common[name])), default="")


def value_of(scores: Floats, values: Sequence[float], metric: str) -> float:
    """What a choice by these scores is worth: the mean value of the highest, or nDCG@10; NaN without any score."""
    if np.isnan(scores).all():
        return float("nan")
    known = np.where(np.isnan(scores), -np.inf, scores)
    if metric == "ndcg":
        return ndcg(known, values)
    return float(np.mean(np.asarray(values)[known == known.max()]))


def _measure(
    recipe: Recipe, choices: Sequence[Choice], scores: dict[str, list[Floats]], trained: int, cut: float
) -> Result:
    worth = {
        name: np.array([value_of(s, c.values, recipe.metric) for s, c in zip(own, choices, strict=True)])
        for name, own in scores.items()
    }
    counts = np.all([np.isfinite(values) for values in worth.values()], axis=0)
    keys = [choice.key for choice in choices]

    def interval(values: Floats) -> Interval:
        return mean_interval(np.where(counts, values, np.nan), keys)

    systems = [
        System(name, interval(values), None if name == MODEL else interval(worth[MODEL] - values))
        for name, values in worth.items()
    ]
    added = interval(worth[BOTH] - worth[BM25]) if BOTH in worth else None
    return Result(recipe.about, recipe.yardstick, tuple(systems), trained, int(counts.sum()), cut, added)
