"""How what is asked next is chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from guerdon.errors import ConfigError

Rule: TypeAlias = Literal[
    "expected-step", "expected-change", "d-optimal", "bald", "margin", "disagreement", "core-set", "random"
]
RULES: tuple[Rule, ...] = get_args(Rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoosingConfig:
    """By which rule, from how many tasks, and how many chance draws beside.

    Example:
        >>> ChoosingConfig(random_share=0.5).rule
        'd-optimal'
    """

    rule: Rule = "d-optimal"
    """Acquisition function: which unlabelled pairs are asked first, by a logistic head on frozen features. d-optimal:
    largest gain in Fisher information on the head's weights (D-optimal design); expected-step: longest expected Newton
    step of the weights; expected-change: largest expected gradient length (EGL); bald: most mutual information between
    label and weights (BALD); margin: smallest predicted margin (uncertainty sampling); disagreement: largest spread of
    the margins of a bootstrap ensemble (query by committee); core-set: farthest from the pairs that were asked
    (k-center greedy); random: random sampling, no active learning."""
    random_share: float = 0.25
    """Share of the asked tasks that are drawn at random. The reward is evaluated on them, and chosen labels are
    compared with as many random ones."""
    pool: int = 2000
    """Candidates: at most so many of the tasks that nobody has been given."""
    ahead: int = 500
    """How many tasks are ranked at once; those behind them are asked in random order."""
    question: str | None = None
    """Question whose answers are learnt from, where there are several: comparisons of two responses."""
    encoder: str = "minilm"
    """Frozen model that reads the texts: minilm, a folder, or a hub name."""
    device: str | None = None
    """Device of the frozen model: cpu, cuda, cuda:1, mps ...; None takes a GPU where there is one."""
    seed: int = 0
    """Random seed of folds and draws."""

    def __post_init__(self) -> None:
        """Raises ConfigError, all faults at once."""
        faults = []
        if self.rule not in RULES:
            faults.append(f"--rule must be one of {', '.join(RULES)}, got {self.rule}")
        if not 0 < self.random_share <= 1:
            faults.append(f"--random-share must be above 0, at most 1, got {self.random_share}")
        if self.pool < 1:
            faults.append(f"--pool must be at least 1, got {self.pool}")
        if self.ahead < 1:
            faults.append(f"--ahead must be at least 1, got {self.ahead}")
        if self.seed < 0:
            faults.append(f"--seed must be 0 or more, got {self.seed}")
        if faults:
            raise ConfigError("; ".join(faults))
