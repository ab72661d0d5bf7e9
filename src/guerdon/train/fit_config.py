"""How a reward is fitted on fixed features."""

from __future__ import annotations

from dataclasses import dataclass

from guerdon.errors import ConfigError
from guerdon.types import Overlong

MEMBERS = ("longest", "shortest", "bm25", "surface", "tfidf", "embedding", "cosine", "likelihood", "decoder")
"""What a blend can be made of, besides saved reward models."""


@dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Which members, and the frozen models that they read with.

    Example:
        >>> FitConfig(members=("surface", "tfidf")).encoder
        'minilm'
    """

    members: tuple[str, ...] = ("longest", "shortest", "surface", "tfidf", "embedding", "cosine")
    """What is fitted and combined. longest and shortest: the length; bm25: the words of the prompt, as a search engine
    weighs them; surface: length, form, variety, overlap with the prompt; tfidf: words; embedding: frozen vectors of
    prompt and response; cosine: how near they are, untrained; likelihood: log-probabilities of a language model;
    decoder: its hidden states; or the folder of a reward model that was trained before. A trained one must not have
    learnt from all of the data: the weights are fitted on rows that it did not learn from."""
    encoder: str = "minilm"
    """Frozen model of embedding and cosine: minilm, a folder, or a hub name."""
    policy: str = "smollm2"
    """Causal language model of likelihood and decoder: smollm2, a folder, or a hub name."""
    balance_length: float = 0.0
    """Weigh pairs so that length tells less: 1 lets those that the longer response won count as much as those that the
    shorter one won, 0.5 goes half of the way, 0 weighs all alike."""
    mismatched_share: float = 0.0
    """For each prompt, also compare a preferred response with one that was preferred for another prompt, and let these
    comparisons weigh so much, all together, of what the others do: what is off the topic then gets less. 0 makes
    none. They are learnt from, not measured on."""
    device: str | None = None
    """Device of the frozen models: cpu, cuda, cuda:1, mps ...; None takes a GPU where there is one."""
    overlong: Overlong = "auto"
    """What a trained member does with texts that are longer than it reads. cut: the prompt is cut from its left, then
    the response at its end, and both are counted. error: the text is refused. auto: as cut, but the data is refused
    when more than 5% of its responses would be cut."""
    trust_remote_code: bool = False
    """Run code that comes with a frozen model; only for models you trust."""
    seed: int = 0
    """Random seed of the folds."""

    def __post_init__(self) -> None:
        faults = []
        if not self.members:
            faults.append("--members names none")
        if twice := sorted({name for name in self.members if self.members.count(name) > 1}):
            faults.append(f"--members names {', '.join(twice)} twice")
        if fitted := [name for name in self.members if name.startswith("tfidf:")]:
            faults.append(
                f"--members names {', '.join(fitted)}, of which nobody knows what it learnt from. Fix: tfidf, "
                "which is fitted out of fold, or the folder of a reward that was trained on other rows"
            )
        if not 0 <= self.balance_length <= 1:
            faults.append(f"--balance-length must be from 0 to 1, got {self.balance_length}")
        if not 0 <= self.mismatched_share <= 1:
            faults.append(f"--mismatched-share must be from 0 to 1, got {self.mismatched_share}")
        if self.seed < 0:
            faults.append(f"--seed must be 0 or more, got {self.seed}")
        if faults:
            raise ConfigError("; ".join(faults))
