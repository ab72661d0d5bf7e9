"""The options of a quickstart."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.types import Overlong


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickstartConfig:
    """How a quickstart is carried out.

    Example:
        >>> QuickstartConfig(backbone="smollm2", max_train_pairs=500).policy
        'auto'
    """

    backbone: str = "auto"
    """Model to train: `minilm`, `smollm2`, a folder or a hub name. `auto` takes `minilm`, or `smollm2` where `minilm`
    cannot read the data."""
    group: str | None = None
    """Column that says which rows belong together, so that none of a group is in both training and test."""
    group_regex: str | None = None
    """Regular expression whose first capture group in that column is the group."""
    question: str | None = None
    """Question of an annotation export that says what is preferred, where there are several."""
    epochs: float | None = None
    """Number of passes over the training rows; by default as many (1 to 2) as there is time for."""
    max_train_pairs: int | None = None
    """Train on about this many pairs; 0 takes all. By default as many (100 to 2,000) as two cores take in minutes, and
    all where there is a GPU."""
    overlong: Overlong = "auto"
    """What happens to texts that are longer than the model reads. cut: the prompt is cut from its left, then the
    response at its end, and both are counted. error: the text is refused. auto: as cut, but the data are refused when
    more than 5% of the responses would be cut."""
    policy: str = "auto"
    """A language model that responds to unseen prompts, 8 times each, for the reward to pick from: `smollm2`, a folder
    or a hub name; `none` leaves this out. `auto` is `smollm2` on the starter set and `none` on other data."""
    seed: int = 0
    """Random seed of the division into training and test, of the training, of the sampling, and of the intervals."""

    def __post_init__(self) -> None:
        if (self.epochs is not None and not self.epochs > 0) or (self.max_train_pairs or 0) < 0:
            raise ConfigError(
                "--epochs must be above 0 and --max-train-pairs 0 or more; "
                f"got {self.epochs} and {self.max_train_pairs}"
            )
