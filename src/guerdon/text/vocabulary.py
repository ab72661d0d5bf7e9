"""How much of a text a tokenizer's vocabulary does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNREADABLE_SHARE = 0.10
"""Above this share of unknown tokens a model cannot be said to read the text."""


def unknown_token_id(tokenizer: Any) -> int | None:
    """The token that stands for what the vocabulary does not know; None where it knows every text.

    Byte-level vocabularies know every text; some name a special token that they have anyway as their unknown one.
    """
    found: int | None = tokenizer.unk_token_id
    return None if found in (tokenizer.eos_token_id, tokenizer.bos_token_id) else found


def count_tokens(tokenizer: Any, texts: Sequence[str]) -> list[tuple[int, int]]:
    """Tokens of each text without special ones, and how many of them are unknown."""
    if not texts:
        return []
    coded = tokenizer(list(texts), add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    unknown = unknown_token_id(tokenizer)
    return [(len(ids), 0 if unknown is None else ids.count(unknown)) for ids in coded]
