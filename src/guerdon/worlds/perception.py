"""What an agent and a reward read of a game: hashed words of situations and commands, and pieces of play as text."""

from __future__ import annotations

import itertools
import re
import zlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from guerdon.worlds.games import Situation

NUM_WORDS = 1024
"""Words and pairs of words are hashed to so many numbers; 0 is none."""
COMMAND_WORDS = 16
"""So many words and pairs of words of a command are read."""


@lru_cache(maxsize=100_000)
def word_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a text's words and pairs of neighbouring words, from 1 to `NUM_WORDS`."""
    words = re.findall(r"\w+", text.lower())
    terms = [*words, *(f"{first} {second}" for first, second in itertools.pairwise(words))]
    return tuple(zlib.crc32(term.encode()) % NUM_WORDS + 1 for term in terms)


def situation_words(situation: Situation) -> np.ndarray:
    """How often each number occurs in what is seen now, square-rooted and of length 1, shape (NUM_WORDS,), float32."""
    parts = (situation.description, situation.inventory, situation.command, situation.feedback)
    counts = np.bincount([number - 1 for part in parts for number in word_numbers(part)], minlength=NUM_WORDS)
    found = np.sqrt(counts).astype(np.float32)
    return np.asarray(found / max(float(np.linalg.norm(found)), 1e-6), dtype=np.float32)


def piece_text(piece: Sequence[Situation]) -> str:
    """A piece of play as a reward reads it: each command with the answer, then where that leads and what is carried.

    Only what a player reads is in it: no score, no number of steps, no word that the game was won.
    """
    turns = [f"> {one.command}\n{one.feedback}" for one in piece if one.command]
    return "\n\n".join([*turns, piece[-1].description, piece[-1].inventory])
