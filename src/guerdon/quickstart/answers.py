"""What a reward is for: a language model answers prompts that the reward has not seen, and the reward picks.

The reward that picks always rises. Whether the answers got better is told by what did not pick: a gold reward of
another kind (TF-IDF) that learned from the judgements of other prompts than the one that picks, how near the answers
come to the best one that the data has (chrF), and their length, which a reward may be after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from guerdon.data.write import prompt_value
from guerdon.errors import TextError
from guerdon.metrics import Floats, format_bounds, format_interval, format_value, spearman
from guerdon.optimize.best_of_n import BestOfN, best_of_n, rewards_of
from guerdon.policy.decode import Sampling
from guerdon.quickstart.examples import judged
from guerdon.quickstart.plan import UNREADABLE_ROW, unread_share
from guerdon.rewards.rules import ChrF, LengthReward
from guerdon.types import AnyRow, Candidates, Prompt, Reference, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from guerdon.policy.model import Policy
    from guerdon.types import Scorer

PICKS, GOLD, NEAR, LENGTH = "reward model", "gold reward", "chrF to the best known answer", "characters"
"""What is measured of the answers: what picks, what tells whether they got better, and what may explain a gain."""
MOST_PROMPTS = 32
ANSWERS = 8
"""To each prompt, to pick from."""
SAMPLING = Sampling(max_new_tokens=48, temperature=0.7)
"""Two cores sample as many answers in about a minute."""
_LONGEST_PROMPT = 2000
"""In characters; a longer one takes as long as several others."""
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Pick:
    """An answer as the model gives it, and the one that the reward picks."""

    prompt: Prompt
    first: str
    best: str
    rewards: tuple[float, float]
    gold: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Picked:
    """What picking by the reward gained."""

    policy: str
    result: BestOfN
    """Curves of `PICKS`, `GOLD`, `NEAR` and `LENGTH`."""
    gold_length: float
    """Spearman correlation of the gold reward with length, of answers to one prompt."""
    shown: tuple[Pick, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        shown = [asdict(pick) | {"prompt": prompt_value(pick.prompt)} for pick in self.shown]
        return {
            "policy": self.policy,
            "max_new_tokens": SAMPLING.max_new_tokens,
            **self.result.to_dict(),
            "shown": shown,
        }


def questions(rows: Sequence[AnyRow], tokenizer: PreTrainedTokenizerBase, policy: Policy) -> list[Candidates]:
    """Prompts to ask, each with the best answer that the data knows as its reference, and no response yet.

    Args:
        rows: judgements that the reward has not learned from.
        tokenizer: of the reward; prompts whose answers it cannot read are left out.
        policy: who is to answer; prompts that it cannot read whole are left out.

    Returns:
        At most 32, evenly spread over the rows.
    """
    kept = [row for row, lost in zip(rows, unread_share(tokenizer, rows), strict=True) if lost <= UNREADABLE_ROW]
    best = {prompt_text(row.prompt): (row.prompt, row.reference) for row in kept if isinstance(row, Reference)}
    best |= {prompt_text(each.prompt): (each.prompt, each.best) for each in judged(kept)}
    known = [Candidates(prompt=prompt, reference=reference) for text, (prompt, reference) in best.items()]
    short = [one for one in known if len(prompt_text(one.prompt)) <= _LONGEST_PROMPT]
    fits = [one for one in short if _fits(policy, one.prompt)]
    places = np.linspace(0, len(fits) - 1, min(len(fits), MOST_PROMPTS)).round().astype(int)
    return [fits[place] for place in places]


def _fits(policy: Policy, prompt: Prompt) -> bool:
    try:
        policy.encode_prompts([prompt], max_new_tokens=SAMPLING.max_new_tokens)
    except TextError:
        return False
    return True


def pick_answers(
    policy: Policy,
    name: str,
    reward: Scorer,
    gold: Scorer,
    asked: Sequence[Candidates],
    *,
    seed: int,
    on_prompt: Callable[[int], None] = lambda count: None,
) -> Picked:
    """Lets the policy answer 8 times each, and measures what picking by the reward gains.

    Args:
        policy: who answers.
        name: of the policy, for the page.
        reward: what picks.
        gold: what tells whether the answers got better; it must not have learned from what `reward` learned from.
        asked: what `questions` gives, not empty.
        seed: of the sampling and of the intervals.
        on_prompt: called with how many more prompts have their answers.

    Raises:
        DataError: too few answers have a reward.
    """
    said: dict[int, tuple[str, ...]] = {}
    prompts = [one.prompt for one in asked]
    for index, texts in policy.sample_texts(prompts, num_generations=ANSWERS, sampling=SAMPLING, seed=seed):
        said[index] = tuple(texts)
        on_prompt(1)
    candidates = [replace(one, responses=said[index]) for index, one in enumerate(asked)]
    judges = {PICKS: reward, GOLD: gold, NEAR: ChrF(), LENGTH: LengthReward()}
    values = {kind: rewards_of(judge, candidates) for kind, judge in judges.items()}
    result = best_of_n(candidates, values, n=ANSWERS, seed=seed)
    picks = [_pick(*one) for one in zip(candidates, values[PICKS], values[GOLD], strict=True)]
    of_length = [spearman(*pair) for pair in zip(values[GOLD], values[LENGTH], strict=True)]
    return Picked(name, result, float(np.nanmean(of_length)), tuple(_typical([one for one in picks if one])))


def _pick(one: Candidates, rewards: Floats, gold: Floats) -> Pick | None:
    """The first answer and the best; None where one of them has no reward."""
    if np.isnan(rewards[0]):
        return None
    best = int(np.nanargmax(rewards))
    return Pick(
        one.prompt,
        one.responses[0],
        one.responses[best],
        (float(rewards[0]), float(rewards[best])),
        (float(gold[0]), float(gold[best])),
    )


def _typical(picks: Sequence[Pick]) -> Sequence[Pick]:
    """By what the pick gained in gold: one of the upper third of the prompts, one of the middle, one of the lower."""
    changed = sorted((p for p in picks if p.best != p.first), key=lambda pick: pick.gold[1] - pick.gold[0])
    places = np.linspace(0, len(changed) - 1, 2 * _SHOWN + 1).round().astype(int)[1::2]
    return [changed[place] for place in dict.fromkeys(places.tolist())][::-1] if changed else []


def verdict(picked: Picked) -> str:
    """Whether the answers got better, in plain words."""
    gain = next(curve for curve in picked.result.curves if curve.name == GOLD).gains[-1]
    by = format_interval(gain, signed=True, decimals=None)
    if gain.low > 0:
        return f"By the gold reward the picked answers are better: {by}."
    if gain.high < 0:
        return f"By the gold reward the picked answers are worse: {by}."
    return (
        f"Whether they are better cannot be told from {picked.result.prompts} prompts: the gold reward changed by {by}."
    )


def picked_view(picked: Picked) -> dict[str, Any]:
    """Of each value what one answer has, what the best of n has and the gain; and answers before and after."""
    result = picked.result
    return {
        "verdict": verdict(picked),
        "policy": picked.policy,
        "tokens": SAMPLING.max_new_tokens,
        "prompts": result.prompts,
        "ns": result.ns,
        "gold_length": format_value(picked.gold_length, signed=True, decimals=2),
        "kl": f"{result.kl_bounds[-1]:.2f}",
        "rows": [
            {
                "name": curve.name,
                "means": [format_value(mean.point, decimals=None) for mean in curve.means],
                "gain": format_value(curve.gains[-1].point, signed=True, decimals=None),
                "interval": format_bounds(curve.gains[-1], decimals=None),
            }
            for curve in result.curves
        ],
        "shown": [
            {
                "prompt": prompt_text(pick.prompt),
                "answers": [
                    {
                        "what": what,
                        "text": text,
                        "reward": format_value(reward, decimals=2),
                        "gold": format_value(gold, decimals=2),
                    }
                    for what, text, reward, gold in zip(
                        ("The first answer", f"The best of {result.ns[-1]} by reward"),
                        (pick.first, pick.best),
                        pick.rewards,
                        pick.gold,
                        strict=True,
                    )
                ],
            }
            for pick in picked.shown
        ],
    }
