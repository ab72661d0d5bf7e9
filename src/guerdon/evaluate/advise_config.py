"""The options of `guerdon advise`: the same object in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.runs.options import option_faults


@dataclass(frozen=True, kw_only=True)
class AdviseConfig:
    """How long candidates are compared, and on which models they are built.

    Example:
        >>> AdviseConfig(time=20).encoder
        'minilm'
    """

    time: float = 5.0
    """Minutes for everything. The cheap candidates come first; what cannot finish in the time left is not started,
    and is named with what it would cost."""
    encoder: str = "minilm"
    """Encoder of the frozen vectors and of the fine-tuned encoders: minilm, a folder, or a hub name."""
    policy: str = "smollm2"
    """Causal language model of the likelihood and of the fine-tuned decoder: smollm2, a folder, or a hub name."""
    device: str | None = None
    """Device of the frozen models: cpu, cuda, cuda:1, mps ...; None takes a GPU where there is one."""
    trust_remote_code: bool = False
    """Run code that comes with a model; only for models you trust."""
    seed: int = 0
    """Random seed of folds, subsamples and training."""

    def __post_init__(self) -> None:
        if faults := option_faults(self, positive=("time",)):
            raise ConfigError("; ".join(faults))
