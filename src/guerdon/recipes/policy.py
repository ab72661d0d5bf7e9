"""Answers of a language model to held-out prompts: what the reward model gains by picking among them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from guerdon.optimize.best_of_n import BestOfN, best_of_n, rewards_of
from guerdon.optimize.candidates import Answering, sample_candidates
from guerdon.recipes.choices import Choice, training_rows
from guerdon.rewards.rules import ChrF, LengthReward, UnitTests
from guerdon.rewards.tfidf import TfidfReward
from guerdon.types import Candidates, Scorer


def pick_answers(
    model: Scorer,
    choices: Sequence[Choice],
    answering: Answering,
    kept: Path,
    *,
    asked: int,
    seed: int,
) -> BestOfN:
    """Lets a policy answer, the model pick, and the recipe's yardsticks watch.

    Args:
        model: the reward that picks.
        choices: that it has not learned from.
        answering: who answers.
        kept: where the answers are kept; what is there already is not asked for again.
        asked: at most so many prompts, evenly spread.
        seed: of the intervals.

    Raises:
        DataError: a prompt is too long for the policy, or too few answers have a reward.
    """
    places = np.unique(np.linspace(0, len(choices) - 1, min(asked, len(choices))).round().astype(int))
    requests = [
        Candidates(prompt=choice.prompt, reference=choice.reference, group=choice.key)
        for choice in (choices[place] for place in places)
    ]
    candidates = sample_candidates(requests, answering, kept)
    judges = {"reward model": model, **yardsticks(choices), "characters": LengthReward()}
    values = {name: [one.values for one in rewards_of(judge, candidates)] for name, judge in judges.items()}
    return best_of_n(candidates, values, seed=seed)


def yardsticks(choices: Sequence[Choice]) -> dict[str, Scorer]:
    """What tells whether answers that no one has judged are good, without what the reward model learned from.

    Unit tests where there are some; else a TF-IDF reward that learned from the judgements of these held-out prompts,
    and nearness to the best candidate.
    """
    if any(choice.tests for choice in choices):
        return {"tests passed": UnitTests()}
    return {"gold reward": TfidfReward.fit(list(training_rows(choices))), "chrF to the best candidate": ChrF()}
