"""Responses of a language model to held-out prompts: what the reward model gains by picking among them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from guerdon.optimize.best_of_n import BestOfN, pick_by_rewards
from guerdon.optimize.prompts import sample_candidates
from guerdon.policy.decode import Sampling
from guerdon.policy.model import Policy
from guerdon.recipes.readers import scores_of, training_rows
from guerdon.recipes.recipe_config import RecipeConfig
from guerdon.rewards.rules import ChrF, LengthReward, UnitTests
from guerdon.rewards.terms import fit_tfidf
from guerdon.types import Candidates, Scorer

_Item = TypeVar("_Item")


def pick_policy_responses(
    reward: Scorer,
    candidates: Sequence[Candidates],
    kept: Path,
    config: RecipeConfig,
    *,
    seed: int,
    on_prompts: Callable[[int, int], None],
) -> BestOfN:
    """Lets a policy respond to held-out prompts, the reward pick, and the recipe's yardsticks watch.

    The reward has not learned from the candidates, some of whose prompts are taken. The file `kept` keeps the
    responses: those that it has already are not sampled again. `on_prompts` is told how many prompts have their
    responses, and how many there are.

    Raises:
        DataError: a prompt is too long for the policy, or too few responses have a reward.
        ModelError: the policy cannot be loaded.
    """
    policy = Policy.load(config.policy)
    prompts = [
        replace(one, responses=(), scores=None, systems=(), other_scores={}, reference=reference_response(one))
        for one in evenly(candidates, config.num_prompts)
    ]
    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        on_prompts(done, len(prompts))

    sampling = Sampling(config.max_new_tokens, config.temperature)
    sampled = sample_candidates(
        prompts,
        lambda texts, known: policy.sample_texts(
            texts, num_generations=config.num_generations, sampling=sampling, seed=seed, done=known
        ),
        kept,
        advance,
    )
    scorers = {"reward model": reward, **yardsticks(candidates), "characters": LengthReward()}
    return pick_by_rewards(sampled, scorers, seed=seed)[0]


def evenly(items: Sequence[_Item], most: int) -> list[_Item]:
    """At most so many of the items, evenly spread from the first to the last."""
    places = np.linspace(0, len(items) - 1, min(len(items), most)).round().astype(int)
    return [items[place] for place in places]


def reference_response(one: Candidates) -> str:
    """What a new response is checked against: the unit tests, or the candidate with the highest score."""
    return one.reference or one.responses[int(np.argmax(scores_of(one)))]


def yardsticks(candidates: Sequence[Candidates]) -> dict[str, Scorer]:
    """What tells whether responses that no one has judged are good, without what the reward model learned from.

    Unit tests where there are some; else a TF-IDF reward that learned from the judgements of these held-out prompts,
    and nearness to the best candidate.
    """
    if any(one.reference for one in candidates):
        return {"tests passed": UnitTests()}
    return {"gold reward": fit_tfidf(list(training_rows(candidates))), "chrF to the best candidate": ChrF()}
