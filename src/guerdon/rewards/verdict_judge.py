"""A causal language model asked which of two responses is better, by the logits of its verdict in both orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from guerdon.metrics import Floats, sigmoid
from guerdon.models import lasting_name
from guerdon.rewards.likelihood import response_logps
from guerdon.rewards.rubric import Criterion, Rubric
from guerdon.rewards.scoring import check_lengths
from guerdon.types import Prompts, References, Responses, Rewards

if TYPE_CHECKING:
    from guerdon.policy.model import Policy

QUALITY = Criterion(name="quality", text="It answers the question correctly, clearly and helpfully.")


class VerdictComparer:
    """P(a preferred) = sigmoid((z_ab - z_ba) / 2), with z = log pi(A) - log pi(B) as the next word. A `Comparer`.

    z_ab is asked with a shown first, z_ba with b first: what the model thinks of the letters themselves cancels, and
    P(a, b) = 1 - P(b, a). Nothing is trained.
    """

    def __init__(self, policy: Policy, policy_name: str) -> None:
        self.policy, self.name = policy, f"verdict:{lasting_name(policy_name)}"
        self.rubric = Rubric(endpoint="", model=policy_name, criteria=(QUALITY,))

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> Floats:
        """P(a preferred) of n pairs, NaN where the question is too long for the model."""
        return self.compare_with_reasons(prompts, a, b, references=references).values

    def compare_with_reasons(
        self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None
    ) -> Rewards:
        """As `compare`, with the reason where the question is too long for the model."""
        check_lengths(prompts, a, references)
        check_lengths(prompts, b, references)
        each = references or [None] * len(a)
        shown = [*zip(a, b, strict=True), *zip(b, a, strict=True)]
        questions = [
            self.rubric.question(QUALITY, (), prompt, pair, reference or "")
            for prompt, pair, reference in zip([*prompts, *prompts], shown, [*each, *each], strict=True)
        ]
        asked = [question for question in questions for _ in "AB"]
        found = response_logps(self.policy, asked, ["A", "B"] * len(questions))
        # The last token is the end of the turn, which nobody asked about.
        logps = np.array([np.nan if one.reason else one.given_prompt[:-1].sum() for one in found])
        z = logps[0::2] - logps[1::2]
        whys = [one.reason for one in found[0::2]]
        reasons = tuple(first or second for first, second in zip(whys[: len(a)], whys[len(a) :], strict=True))
        return Rewards(sigmoid((z[: len(a)] - z[len(a) :]) / 2).astype(np.float32), reasons)
