"""Split by prompt, fit, pick, and measure beside baselines: the same for every application."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from guerdon.data.split import group_folds
from guerdon.data.values import plain
from guerdon.errors import ConfigError
from guerdon.files import check_writable, write_json
from guerdon.metrics import Floats, Interval, Metric, mean_interval, ndcg, verdict_sentence
from guerdon.models import resolve
from guerdon.optimize.best_of_n import BestOfN, rewards_of
from guerdon.recipes.applications import Recipe, recipe_named
from guerdon.recipes.job_events import JobEvents, JobSteps
from guerdon.recipes.policy_responses import pick_policy_responses
from guerdon.recipes.readers import scores_of, training_rows
from guerdon.recipes.recipe_config import RecipeConfig
from guerdon.rewards.blend import Blend
from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.training_data import TrainingPrompts
from guerdon.train.cross_validation import build_blend, fit_blend
from guerdon.train.fit_config import FitConfig
from guerdon.train.fit_run import read_members
from guerdon.types import AnyRow, Candidates, Scorer, group_key

MODEL, BM25, ORACLE = "reward model", "BM25", "oracle"
ALWAYS = "always the best system in training"
RESULT_FILE = "recipe.json"


@dataclass(frozen=True, slots=True)
class PickingResult:
    """What one way of picking gets."""

    name: str
    value: Interval
    """The value by the recipe's metric, with its 95% interval over groups."""
    difference: Interval | None
    """The reward model's value minus this one's, on the same prompts; None for the reward model itself."""


@dataclass(frozen=True, slots=True)
class RecipeResult:
    """What a recipe found."""

    title: str
    metric: Metric
    systems: tuple[PickingResult, ...]
    """The reward model first; then baselines; last an oracle, which knows the scores."""
    trained_on: int
    """Prompts."""
    measured_on: int
    policy: BestOfN | None = None
    """What picking among a language model's responses to the measured prompts gains, where one responded."""

    @property
    def verdict(self) -> str:
        """Whether the reward model picks better than the best baseline, in plain words."""
        rivals = [one for one in self.systems if one.name not in (MODEL, ORACLE) and one.difference is not None]
        best = max(rivals, key=lambda one: one.value.point)
        return verdict_sentence("The reward model", best.name, self.metric, best.difference or Interval(math.nan))


def run_recipe(
    name: str,
    data: str | Sequence[Candidates],
    out: str | Path,
    config: RecipeConfig | None = None,
    *,
    events: JobEvents | None = None,
) -> RecipeResult:
    """Fits rewards on the judgements of some prompts and lets them pick among the candidates of others.

    The reward is a blend of what suits the application (`Recipe.members`), or the one of them that does best alone, as
    out-of-fold scores of the prompts that are learnt from say. `out/fold-K` holds the reward of each fold,
    `out/recipe.json` the result, `out/answers.jsonl` the responses of a policy.

    Example:
        >>> result = run_recipe("translation", "mqm.jsonl", "recipe")
        >>> {system.name: system.value.point for system in result.systems}
        {'reward model': 0.71, 'random': 0.52, ...}

    Args:
        name: one of `guerdon.recipes.applications.RECIPES`.
        data: a source, or what its reader gives.
        out: folder for everything that is made.
        config: folds, members, and which language model responds to held-out prompts.
        events: told about every step.

    Raises:
        DataError: rows that cannot be used, or fewer groups than folds.
        ConfigError: there is no such recipe, or options do not go with it.
        ModelError: a frozen model or the policy cannot be loaded.
        OutputError: `out` cannot be written.
    """
    recipe, config, events = recipe_named(name), config or RecipeConfig(), events or JobEvents()
    if config.policy and recipe.cross_validated:
        raise ConfigError(f"--policy does not go with {name}, which orders the candidates of the data")
    if config.policy:
        resolve(config.policy)  # a name that means nothing is told before the training, not behind it
    check_writable(Path(out) / RESULT_FILE)
    candidates = recipe.read(data, question=config.question, map=config.map) if isinstance(data, str) else data
    count = sum(len(one.responses) for one in candidates)
    events.noted(f"{len(candidates):,} prompts with {count:,} candidates")
    result = _RecipeRun(recipe, candidates, Path(out), config, events).result()
    write_json(Path(out) / RESULT_FILE, plain(asdict(result)))
    return result


@dataclass(slots=True)
class _RecipeRun:
    """One recipe while it works: what was measured in the folds so far."""

    recipe: Recipe
    candidates: Sequence[Candidates]
    out: Path
    config: RecipeConfig
    events: JobEvents
    tested: list[Candidates] = field(default_factory=list)
    scores: dict[str, list[Floats]] = field(default_factory=dict)
    """System -> its scores of the candidates of each prompt tested."""
    trained_on: int = 0

    def result(self) -> RecipeResult:
        fold_of = group_folds([group_key(one) for one in self.candidates], self.config.folds, self.config.seed)
        held_out = range(self.config.folds) if self.recipe.cross_validated else range(1)
        steps, policy = JobSteps(self.events, len(held_out)), None
        for fold in held_out:
            learnt = [one for one, own in zip(self.candidates, fold_of, strict=True) if own != fold]
            test = [one for one, own in zip(self.candidates, fold_of, strict=True) if own == fold]
            with steps.step(f"fold {fold + 1}", f"fit on {len(learnt):,} prompts, measure on {len(test):,} others"):
                model = self._train(learnt, test, fold)
                if self.config.policy:
                    policy = pick_policy_responses(
                        model,
                        test,
                        self.out / "answers.jsonl",
                        self.config,
                        seed=self.config.seed,
                        on_prompts=partial(self.events.progressed, "responding"),
                    )
        metric = self.recipe.metric
        values = {name: picked_values(scores, self.tested, metric.name) for name, scores in self.scores.items()}
        counts = np.all([np.isfinite(own) for own in values.values()], axis=0)
        groups = [group_key(one) for one in self.tested]

        def interval(of: Floats) -> Interval:
            return mean_interval(np.where(counts, of, np.nan), groups)

        return RecipeResult(
            title=self.recipe.title,
            metric=metric,
            systems=tuple(
                PickingResult(name, interval(own), None if name == MODEL else interval(values[MODEL] - own))
                for name, own in values.items()
            ),
            trained_on=self.trained_on // len(held_out),
            measured_on=int(counts.sum()),
            policy=policy,
        )

    def _train(self, learnt: Sequence[Candidates], test: Sequence[Candidates], fold: int) -> Scorer:
        """Fits on some prompts, and lets every system score the candidates of the others."""
        limit = self.config.limit
        learnt = random.Random(self.config.seed).sample(learnt, limit) if 0 < limit < len(learnt) else learnt
        model = self._fit(list(training_rows(learnt)))
        model.save(self.out / f"fold-{fold}")
        for name, own in self._systems(model, learnt, test).items():
            self.scores.setdefault(name, []).extend(own)
        self.tested += test
        self.trained_on += len(learnt)
        return model

    def _fit(self, rows: list[AnyRow]) -> Blend:
        """The reward that out-of-fold scores of these rows speak for; members see the frozen models once."""
        config = FitConfig(
            members=self.config.members or self.recipe.members,
            encoder=self.config.encoder,
            policy=self.config.reader,
            device=self.config.device,
            seed=self.config.seed,
        )
        judged = JudgedResponses.of(rows)
        members = read_members(judged, config)
        found = fit_blend(members, judged, np.arange(len(judged)), config.seed)
        reward = build_blend(members, judged, found)
        reward.training_prompts = TrainingPrompts.of(row.prompt for row in rows)
        return reward

    def _systems(
        self, model: Scorer, learnt: Sequence[Candidates], test: Sequence[Candidates]
    ) -> dict[str, list[Floats]]:
        """How each way of picking scores the candidates of every prompt; equal scores share a pick."""
        found = {MODEL: _rewards(model, test)}
        if all("bm25" in one.other_scores for one in self.candidates):
            found[BM25] = [np.array(one.other_scores["bm25"]) for one in test]
        found["random"] = [np.zeros(len(one.responses)) for one in test]
        found["longest"] = _rewards(LengthReward(), test)
        found["TF-IDF (same training data)"] = _rewards(fit_tfidf(list(training_rows(learnt))), test)
        if any(one.systems for one in self.candidates):
            best = best_system(learnt)
            writers = [one.systems or ("",) * len(one.responses) for one in test]
            found[ALWAYS] = [np.array([float(name == best) for name in own]) for own in writers]
        found[ORACLE] = [np.array(scores_of(one)) for one in test]
        return found


def _rewards(scorer: Scorer, candidates: Sequence[Candidates]) -> list[Floats]:
    return [np.asarray(one.values, dtype=np.float64) for one in rewards_of(scorer, candidates)]


def best_system(candidates: Sequence[Candidates]) -> str:
    """The system with the highest mean score, among those that most prompts have; empty where none is known."""
    scores: dict[str, list[float]] = {}
    for one in candidates:
        for name, score in zip(one.systems, scores_of(one), strict=bool(one.systems)):
            scores.setdefault(name, []).append(score)
    common = {name: own for name, own in scores.items() if len(own) >= len(candidates) / 2}
    return max(common, key=lambda name: float(np.mean(common[name])), default="")


def picked_values(rewards: Sequence[Floats], candidates: Sequence[Candidates], metric: str) -> Floats:
    """What picking by these rewards is worth for each prompt, shape (prompts,)."""
    return np.array([picked_value(own, scores_of(one), metric) for own, one in zip(rewards, candidates, strict=True)])


def picked_value(rewards: Floats, scores: Sequence[float], metric: str) -> float:
    """What picking by these rewards is worth: the mean score of the highest, or nDCG@10; NaN without any reward."""
    if np.isnan(rewards).all():
        return float("nan")
    known = np.where(np.isnan(rewards), -np.inf, rewards)
    if metric == "ndcg":
        return ndcg(known, scores)
    return float(np.mean(np.asarray(scores)[known == known.max()]))
