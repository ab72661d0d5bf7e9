"""The options of `guerdon explain`: the same object in Python and on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from guerdon.errors import ConfigError
from guerdon.explain.faithfulness import MOST_SEGMENTS
from guerdon.explain.methods import Grain, Method
from guerdon.runs.options import option_faults


@dataclass(frozen=True, kw_only=True)
class ExplainConfig:
    """How scores are explained.

    Example:
        >>> ExplainConfig(method="occlusion", grain="word").flip
        True
    """

    method: Method = "auto"
    """How the score is shared out over the text. auto: exact for what is linear in words, tokens or length; integrated
    gradients for transformers; for a blend, each member by its own; occlusion for all else. shapley samples orders."""
    grain: Grain = "auto"
    """The units that occlusion and shapley leave out: auto leaves out sentences, or clauses of a single sentence."""
    with_prompt: bool = False
    """Attribute to the prompt as well: what it adds is measured with the response kept."""
    flip: bool = True
    """Beside another response, look for the fewest words of both whose edit flips the preference, by 200 scores."""
    attention: bool = True
    """Of a transformer, also say where it looks: the rollout of its attention, and every head in the JSON file."""
    rows: int = 3
    """Rows of DATA that are explained one by one."""
    sample: int = 200
    """Responses of DATA that say what moves its scores; 0 leaves that out."""
    faithfulness: bool = False
    """Measure on rows of DATA how well each method names what the score rests on: some 600 scores a row."""
    faithfulness_rows: int = 50
    """Rows that this is measured on."""
    segments: int = 8
    """Units that the words of such a row are joined to, at most 20. Up to 8, every set of them is scored, and the best
    and the worst order are known."""
    language: Literal["auto", "en", "zh"] = "auto"
    """Language of the page; auto takes that of the responses."""
    seed: int = 0
    """Random seed of what is drawn."""

    def __post_init__(self) -> None:
        """Raises ConfigError with every fault found."""
        faults = option_faults(self, positive=("segments", "faithfulness_rows"))
        for option, allowed in (("method", Method), ("grain", Grain), ("language", Literal["auto", "en", "zh"])):
            if getattr(self, option) not in get_args(allowed):
                faults.append(
                    f"--{option} must be one of {', '.join(get_args(allowed))}; got {getattr(self, option)!r}"
                )
        if self.segments > MOST_SEGMENTS:
            faults.append(f"--segments must be at most {MOST_SEGMENTS}, got {self.segments}")
        if faults:
            raise ConfigError("; ".join(faults))
