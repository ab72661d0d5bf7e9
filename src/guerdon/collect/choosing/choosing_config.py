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
    """What is asked first. d-optimal: what narrows the reward's weights most; expected-step, expected-change: what is
    expected to change them most, by the length of a Newton step or of the gradient; bald: what says most of them;
    margin: what is most open; disagreement: what an ensemble disagrees on; core-set: what is farthest from all that was
    asked; random."""
    random_share: float = 0.25
    """Share of what is asked that chance draws: the reward is measured on it, and the chosen is compared with it."""
    pool: int = 2000
    """Of the tasks that nobody has, so many are looked at."""
    ahead: int = 500
    """So many tasks are put in order; those behind them are asked in an order drawn by chance."""
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
