"""The options of a quickstart."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickstartConfig:
    """How a quickstart is carried out.

    Example:
        >>> QuickstartConfig(max_train_pairs=500).policy
        'auto'
    """

    encoder: str = "minilm"
    """Frozen model whose vectors two of the candidates read: `minilm`, a folder or a hub name."""
    backbone: str = "none"
    """A model that is fine-tuned on half of the training rows and joins the candidates: `minilm`, `smollm2`, a folder
    or a hub name. By default there is none: on the starter set it takes minutes and adds next to nothing."""
    group: str | None = None
    """Column that says which rows belong together, so that none of a group is in both training and test."""
    group_regex: str | None = None
    """Regular expression whose first capture group in that column is the group."""
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    epochs: float | None = None
    """Number of passes of the backbone over its rows; by default as many (1 to 2) as there is time for."""
    max_train_pairs: int | None = None
    """Learn from about this many pairs; 0 takes all. By default as many (200 to 4,000) as two cores read in minutes,
    and all where there is a GPU."""
    policy: str = "auto"
    """A language model that responds to unseen prompts, for the reward to pick the best of 8: `smollm2`, a folder
    or a hub name; `none` leaves this out. `auto` is `smollm2` on the starter set and `none` on other data."""
    gold: str = "minilm"
    """A model that is fine-tuned on the judgements of the unseen prompts, to tell whether the picked responses are
    better: `minilm`, a folder or a hub name."""
    seed: int = 0
    """Random seed of the division into training and test, of folds, training, sampling, and intervals."""

    def __post_init__(self) -> None:
        if (self.epochs is not None and not self.epochs > 0) or (self.max_train_pairs or 0) < 0:
            raise ConfigError(
                "--epochs must be above 0 and --max-train-pairs 0 or more; "
                f"got {self.epochs} and {self.max_train_pairs}"
            )
