"""The algorithms, as rows of one table over one learner. To be checked against the papers, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What tells one algorithm from another. The formulas are in `guerdon.losses`."""

    paper: str
    advantage: Literal["gae", "return", "group", "leave-one-out"] = "group"
    """`gae`: by a critic; `return`: the reward still to come; `group`: against the mean of the prompt's responses;
    `leave-one-out`: against the mean of its other responses."""
    scale: Literal["none", "group", "batch"] = "group"
    """Divide advantages by the deviation of the group, or whiten them over all tokens of the batch."""
    ratio: Literal["token", "sequence", "product"] = "token"
    """Importance weight of each token; of the response, as the mean of its log-ratios; or as their sum."""
    clip_low: float = 0.2
    clip_high: float = 0.2
    surrogate: Literal["clipped", "cispo"] = "clipped"
    average: Literal["token", "sequence", "constant"] = "sequence"
    """What has equal weight in the loss: tokens, responses, or tokens over a fixed length."""
    kl: Literal["none", "loss", "reward", "reward-total"] = "none"
    """Where the KL from the reference policy enters: nowhere; in the loss (k3 of each token); in the reward of each
    token (k1); or, summed, in the reward of the response."""
    beta: float = 0.0
    """Weight of the KL."""
    critic: bool = False
    drop_uniform: bool = False
    """Leave out the groups whose rewards are all equal, which teach nothing, and sample others in their place."""


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm(
        "Schulman et al. 2017 (arXiv:1707.06347); for language Ziegler et al. 2019 (arXiv:1909.08593)",
        advantage="gae", scale="batch", average="token", kl="reward", beta=0.05, critic=True,
    ),
    "rloo": Algorithm(
        "Ahmadian et al. 2024 (arXiv:2402.14740)",
        advantage="leave-one-out", scale="none", ratio="product", kl="reward-total", beta=0.05,
    ),
    "reinforce++": Algorithm(
        "Hu et al. 2025 (arXiv:2501.03262)", advantage="return", scale="batch", average="token", kl="reward", beta=0.01
    ),
    "grpo": Algorithm("Shao et al. 2024 (arXiv:2402.03300)", kl="loss", beta=0.04),
    "dr-grpo": Algorithm("Liu et al. 2025 (arXiv:2503.20783)", scale="none", average="constant"),
    "dapo": Algorithm("Yu et al. 2025 (arXiv:2503.14476)", clip_high=0.28, average="token", drop_uniform=True),
    "gspo": Algorithm("Zheng et al. 2025 (arXiv:2507.18071)", ratio="sequence", clip_low=3e-4, clip_high=4e-4),
    "cispo": Algorithm(
        "MiniMax-M1 2025 (arXiv:2506.13585); bound as in ScaleRL, Khatri et al. 2025 (arXiv:2510.13786)",
        clip_low=1.0, clip_high=4.0, surrogate="cispo", average="token",
    ),
}  # fmt: skip
"""Name on the command line -> algorithm: what it changes of group-relative, clipped, sequence-averaged training."""
