"""A text as a transformer reads it, with the characters that each of its tokens stands for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from guerdon.collation import Tokens, collate_padded
from guerdon.explain.units import Unit
from guerdon.rewards.reward_net import takes_positions
from guerdon.text.chat import align
from guerdon.types import Prompt, prompt_text

if TYPE_CHECKING:
    from torch import Tensor

    from guerdon.rewards.encode import Part as TokenPart
    from guerdon.rewards.transformer import TransformerReward

READS = ("row", "column", "sequence")
"""What a batch says of the places at which scores are read."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedCase:
    """One prompt with one response, as a reward model reads them."""

    tokens: Tokens
    """The sequence."""
    batch: dict[str, Tensor]
    """What the network takes, one row."""
    parts: tuple[TokenPart, ...]
    """What each token is of."""
    units: tuple[Unit | None, ...]
    """The characters of each token in `prompt_text(prompt)` or in the response; None for tokens that have none."""


def tokenized(reward: TransformerReward, prompt: Prompt, response: str) -> TokenizedCase:
    """Tokenizes under the model's contract. Raises TextError where the text is too long and may not be cut."""
    (located,) = reward.encoder.locate([prompt], [response])
    batch = collate_padded(
        [located.tokens], pad_id=reward.contract.pad_token_id, positions=takes_positions(reward.net.classifier)
    )
    written: dict[int, int] = {}  # character of the rendered prompt -> character of the prompt itself
    for rendered, given, length in align(located.prompt, prompt_text(prompt)):
        written |= {rendered + i: given + i for i in range(length)}
    units: list[Unit | None] = []
    for span in located.spans:
        if span.part == "response":
            units.append(Unit("response", span.start, span.stop) if span.stop > span.start else None)
        else:
            places = [written[i] for i in range(span.start, span.stop) if i in written]
            units.append(Unit("prompt", places[0], places[-1] + 1) if span.part == "prompt" and places else None)
    return TokenizedCase(
        located.tokens,
        {name: tensor.to(reward.device) for name, tensor in batch.items()},
        tuple(span.part for span in located.spans),
        tuple(units),
    )


def blank_word(tokenizer: Any) -> str:
    """What stands for a word that is masked: the mask token of a model that has one, else an ellipsis."""
    return getattr(tokenizer, "mask_token", None) or "…"
