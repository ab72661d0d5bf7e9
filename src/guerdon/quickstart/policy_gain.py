"""What a reward is for: a language model responds to prompts that the reward has not seen, and the reward picks.

The reward that picks always rises. Whether the responses got better is told by what did not pick: a gold reward of
another family (a fine-tuned encoder) that learned from the judgements of other prompts than the one that picks, how
near the responses come to the best one that the data has (chrF), and their length, which a reward may be after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.data.write import prompt_value
from guerdon.errors import TextError
from guerdon.metrics import Floats, Interval, format_interval, spearman
from guerdon.optimize.best_of_n import BestOfN, pick_by_rewards
from guerdon.policy.decode import Sampling
from guerdon.quickstart.worked_examples import prompts_with_a_best
from guerdon.quickstart.workload import read_by
from guerdon.recipes.policy_responses import evenly
from guerdon.rewards.rules import ChrF, LengthReward
from guerdon.types import AnyRow, Candidates, Prompt, Reference, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from guerdon.policy.model import Policy
    from guerdon.types import Scorer

PICKS, GOLD, NEAR, LENGTH = "reward", "gold reward", "chrF to the best known response", "characters"
"""What is measured of the responses: what picks, what tells whether they got better, and what may explain a gain."""
MOST_PROMPTS = 60
NUM_GENERATIONS = 12
"""Responses to each prompt."""
PICK_FROM = 8
"""Responses that the reward picks from; the mean over every choice of so many of all of them is measured."""
SAMPLING = Sampling(max_new_tokens=48, temperature=0.7)
"""Two cores sample as many responses in two to three minutes."""
_LONGEST_PROMPT = 2000
"""Longest prompt, in characters; a longer one takes as long as several others."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class BeforeAfter:
    """A response as the policy gives it, and the one that the reward picks."""

    prompt: Prompt
    first: str
    best: str
    rewards: tuple[float, float]
    gold: tuple[float, float]


@dataclass(frozen=True, slots=True)
class PolicyGain:
    """What picking responses of a policy by the reward gained."""

    policy: str
    gold: str
    """What the gold reward is."""
    result: BestOfN
    """Curves of `PICKS`, `GOLD`, `NEAR` and `LENGTH`."""
    gold_length: float
    """Spearman correlation of the gold reward with length, of responses to one prompt."""
    shown: tuple[BeforeAfter, ...]

    @property
    def verdict(self) -> str:
        """Whether the responses got better, in plain words."""
        gold, near, length = (self._gain(name) for name in (GOLD, NEAR, LENGTH))
        by = format_interval(gold, signed=True, decimals=None)
        also = (
            f"{NEAR} changed by {format_interval(near, signed=True)}, the length by "
            f"{format_interval(length, signed=True, decimals=None)} characters."
        )
        if gold.low > 0:
            return f"By the gold reward the picked responses are better: {by}; {also}"
        if gold.high < 0:
            return f"By the gold reward the picked responses are worse: {by}; {also}"
        prompts = self.result.prompts
        return f"Whether they are better cannot be told from {prompts} prompts: the gold reward changed by {by}; {also}"

    @property
    def gain_by_gold(self) -> Interval:
        """What the gold reward gained."""
        return self._gain(GOLD)

    def _gain(self, name: str) -> Interval:
        return next(curve for curve in self.result.curves if curve.name == name).gains[-1]

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        shown = [asdict(pick) | {"prompt": prompt_value(pick.prompt)} for pick in self.shown]
        tokens = SAMPLING.max_new_tokens
        return {
            "policy": self.policy,
            "gold": self.gold,
            "max_new_tokens": tokens,
            "num_generations": NUM_GENERATIONS,
            **self.result.to_dict(),
            "shown": shown,
        }


def prompts_for_policy(rows: Sequence[AnyRow], tokenizer: PreTrainedTokenizerBase, policy: Policy) -> list[Candidates]:
    """Prompts for a policy, each with the best response that the data knows as its reference, and no response yet.

    Left out are prompts whose responses the tokenizer of the gold reward cannot read, and those that the policy cannot
    read whole. At most 60, evenly spread over the rows.
    """
    kept = read_by(tokenizer, rows)
    best = {prompt_text(row.prompt): (row.prompt, row.reference) for row in kept if isinstance(row, Reference)}
    best |= {prompt_text(one.prompt): (one.prompt, one.responses[0]) for one in prompts_with_a_best(kept)}
    known = [Candidates(prompt=prompt, reference=reference) for text, (prompt, reference) in best.items()]
    short = [one for one in known if len(prompt_text(one.prompt)) <= _LONGEST_PROMPT]
    return evenly([one for one in short if _fits(policy, one.prompt)], MOST_PROMPTS)


def _fits(policy: Policy, prompt: Prompt) -> bool:
    try:
        policy.encode_prompts([prompt], max_new_tokens=SAMPLING.max_new_tokens)
    except TextError:
        return False
    return True


def measure_policy_gain(
    policy: Policy,
    name: str,
    reward: Scorer,
    gold: Scorer,
    prompts: Sequence[Candidates],
    *,
    gold_name: str,
    seed: int,
    on_prompts: Callable[[int], None],
) -> PolicyGain:
    """Lets the policy respond to each prompt, and measures what picking the best of 8 by the reward gains.

    `gold` tells whether the responses got better, and must not have learned from what `reward` learned from. `prompts`
    are those of `prompts_for_policy`, not empty; `on_prompts` is told how many have their responses.

    Raises:
        DataError: too few responses have a reward.
    """
    candidates, texts = list(prompts), [one.prompt for one in prompts]
    sampled = policy.sample_texts(texts, num_generations=NUM_GENERATIONS, sampling=SAMPLING, seed=seed)
    for done, (index, responses) in enumerate(sampled, start=1):
        candidates[index] = replace(prompts[index], responses=tuple(responses))
        on_prompts(done)
    scorers = {PICKS: reward, GOLD: gold, NEAR: ChrF(), LENGTH: LengthReward()}
    result, rewards = pick_by_rewards(candidates, scorers, n=PICK_FROM, seed=seed)
    pairs = [_before_after(*one) for one in zip(candidates, rewards[PICKS], rewards[GOLD], strict=True)]
    of_length = [spearman(*pair) for pair in zip(rewards[GOLD], rewards[LENGTH], strict=True)]
    return PolicyGain(
        name, gold_name, result, float(np.nanmean(of_length)), tuple(_typical([one for one in pairs if one]))
    )


def _before_after(one: Candidates, rewards: Floats, gold: Floats) -> BeforeAfter | None:
    """The first response and the best of the first 8; None where the first has no reward."""
    if np.isnan(rewards[0]):
        return None
    both = [0, int(np.nanargmax(rewards[:PICK_FROM]))]
    first, best = (one.responses[place] for place in both)
    return BeforeAfter(one.prompt, first, best, tuple(rewards[both].tolist()), tuple(gold[both].tolist()))


def _typical(pairs: Sequence[BeforeAfter]) -> Sequence[BeforeAfter]:
    """By what the pick gained in gold: one of the upper third of the prompts, one of the middle, one of the lower."""
    changed = sorted((one for one in pairs if one.best != one.first), key=lambda one: one.gold[1] - one.gold[0])
    places = np.linspace(0, len(changed) - 1, 2 * _SHOWN + 1).round().astype(int)[1::2]
    return [changed[place] for place in dict.fromkeys(places.tolist())][::-1] if changed else []
