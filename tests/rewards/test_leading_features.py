"""A feature that is a reward by itself leads where little can be learnt."""

import numpy as np

from guerdon.rewards.judged import JudgedResponses
from guerdon.rewards.linear import FeatureMatrix, LinearReward
from guerdon.types import Comparison


class _Letters:
    """The number of letters a, and of twenty others, of which the first leads or not."""

    kind = "letters"
    penalties = (300.0,)

    def __init__(self, leading: tuple[str, ...]) -> None:
        self.leading = leading

    def compute(self, prompts, responses):
        counts = [[float(text.count(letter)) for letter in self.names()] for text in responses]
        return FeatureMatrix(np.array(counts), ("",) * len(counts))

    def names(self):
        return list("abcdefghijklmnopqrstu")


def test_a_leading_feature_outweighs_the_noise_of_all_others_under_a_strong_penalty():
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstu"))
    texts = sorted({"".join(rng.choice(letters, size=30)) for _ in range(80)}, key=lambda text: text.count("a"))
    rows = [
        Comparison(prompt=str(number), chosen=texts[-1 - number], rejected=texts[number])
        for number in range(40)
        if texts[-1 - number].count("a") > texts[number].count("a")
    ]
    judged = JudgedResponses.of(rows)

    def share(leading: tuple[str, ...]) -> float:
        reward = LinearReward.fit(_Letters(leading), judged, penalty=300.0)
        effect = np.abs(reward.contributions(judged.prompts, judged.responses)).mean(axis=0)
        return float(effect[0] / effect.sum())

    assert share(()) < 0.5
    assert share(("a",)) > 0.8
