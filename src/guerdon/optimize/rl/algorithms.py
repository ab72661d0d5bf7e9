"""The algorithms, as rows of one table over one learner. To be checked against the papers, column by column."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guerdon.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Algorithm:
    """What tells one algorithm from another. The formulas are in `guerdon.losses`."""

    advantage: Literal["gae", "return", "group", "leave-one-out"]
    """`gae`: by a critic; `return`: the reward still to come; `group`: against the mean of the prompt's responses;
    `leave-one-out`: against the mean of its other responses."""
    scale: Literal["none", "group", "batch"]
    """Divide advantages by the deviation of the group, or whiten them over all tokens of the batch."""
    ratio: Literal["token", "sequence", "product"]
    """Importance weight of each token; of the response, as the mean of its log-ratios; or as their sum."""
    clip_low: float
    clip_high: float
    surrogate: Literal["clipped", "cispo"]
    average: Literal["token", "sequence", "constant"]
    """What has equal weight in the loss: tokens, responses, or tokens over a fixed length."""
    kl: Literal["none", "loss", "reward", "reward-total"]
    """Where the KL from the reference policy enters: nowhere; in the loss (k3 of each token); in the reward of each
    token (k1); or, summed, in the reward of the response."""
    beta: float
    """Weight of the KL."""
    critic: bool = False
    drop_uniform: bool = False
    """Leave out the groups whose rewards are all equal, which teach nothing, and sample others in their place."""
    paper: str = ""


ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm(
        "gae", "batch", "token", 0.2, 0.2, "clipped", "token", "reward", 0.05, critic=True,
        paper="Schulman et al. 2017 (arXiv:1707.06347); for language Ziegler et al. 2019 (arXiv:1909.08593)",
    ),
    "rloo": Algorithm(
        "leave-one-out", "none", "product", 0.2, 0.2, "clipped", "sequence", "reward-total", 0.05,
        paper="Ahmadian et al. 2024 (arXiv:2402.14740)",
    ),
    "reinforce++": Algorithm(
        "return", "batch", "token", 0.2, 0.2, "clipped", "token", "reward", 0.01,
        paper="Hu et al. 2025 (arXiv:2501.03262)",
    ),
    "grpo": Algorithm(
        "group", "group", "token", 0.2, 0.2, "clipped", "sequence", "loss", 0.04,
        paper="Shao et al. 2024 (arXiv:2402.03300)",
    ),
    "dr-grpo": Algorithm(
        "group", "none", "token", 0.2, 0.2, "clipped", "constant", "none", 0.0,
        paper="Liu et al. 2025 (arXiv:2503.20783)",
    ),
    "dapo": Algorithm(
        "group", "group", "token", 0.2, 0.28, "clipped", "token", "none", 0.0, drop_uniform=True,
        paper="Yu et al. 2025 (arXiv:2503.14476)",
    ),
    "gspo": Algorithm(
        "group", "group", "sequence", 3e-4, 4e-4, "clipped", "sequence", "none", 0.0,
        paper="Zheng et al. 2025 (arXiv:2507.18071)",
    ),
    "cispo": Algorithm(
        "group", "group", "token", 1.0, 4.0, "cispo", "token", "none", 0.0,
        paper="MiniMax-M1 2025 (arXiv:2506.13585); bound as in ScaleRL, Khatri et al. 2025 (arXiv:2510.13786)",
    ),
}  # fmt: skip
"""Name on the command line -> algorithm."""


def algorithm_named(name: str) -> Algorithm:
    """The row of a name. Raises ConfigError."""
    if name not in ALGORITHMS:
        raise ConfigError(f"there is no algorithm {name!r}; known are {', '.join(ALGORITHMS)}")
    return ALGORITHMS[name]
