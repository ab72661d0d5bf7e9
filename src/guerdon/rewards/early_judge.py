"""A judge that reads two responses in chunks, and answers as soon as it knows enough.

    P(read on) : P(a) : P(b) = exp(q) : exp(d / 2) : exp(-d / 2),    d = r(a so far) - r(b so far)

`r` is a linear reward on frozen features. q depends on |d| and on how much was read, which are the same whichever
response comes first: a judge of this form prefers the same response in both orders.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from guerdon.errors import ContractError
from guerdon.files import atomic_write
from guerdon.metrics import Calibration, Floats, Ints
from guerdon.rewards.linear import LinearReward
from guerdon.rewards.scoring import check_lengths, score_texts
from guerdon.text.words import split_words
from guerdon.types import Prompts, References, Responses

FILE_NAME = "early_judge.json"
STOP_FEATURES = ("1", "log chunks", "one has ended", "|d|", "|d| log chunks", "|d| where one has ended", "d^2")
"""What q is linear in."""


def chunk_ends(text: str, chunk_words: int) -> tuple[list[int], list[int]]:
    """Where each chunk of a text ends, in characters and in words; an empty text is one chunk."""
    pieces = split_words(text)
    ends = [*range(chunk_words, len(pieces), chunk_words), len(pieces)]
    places = np.cumsum([0, *map(len, pieces)])
    return [int(places[end]) for end in ends], ends


def stop_features(difference: Any, chunks: Any, one_ended: Any) -> list[Any]:
    """The features of q, parallel to `STOP_FEATURES`, of arrays or tensors of one shape."""
    size, late = abs(difference), chunks.log() if hasattr(chunks, "log") else np.log(chunks)
    return [1 + 0 * late, late, one_ended, size, size * late, size * one_ended, size**2]


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What a judge said of n pairs, and what it had read by then."""

    differences: Floats
    """r(a so far) - r(b so far), shape (n,); NaN where a response cannot be read."""
    words_read: Ints
    """Words of both responses that were read, shape (n,)."""
    words: Ints
    """Words that they have, shape (n,)."""

    @property
    def unread(self) -> float:
        """The share of the words of all pairs that were not read."""
        return float(1 - self.words_read.sum() / max(1, self.words.sum()))


class EarlyJudge:
    """Prefers one of two responses after reading as little of them as it needs. A `Comparer`."""

    def __init__(
        self,
        reward: LinearReward,
        stop_weights: Sequence[float] | Floats,
        *,
        chunk_words: int,
        calibration: Calibration | None = None,
        name: str = "",
    ) -> None:
        """Takes the reward r, the weights of q, how much is read at a time, and how d becomes P(a preferred)."""
        self.reward, self.stop_weights = reward, np.asarray(stop_weights, dtype=np.float64)
        self.chunk_words, self.name = chunk_words, name
        self.calibration = calibration or Calibration("temperature")

    def compare(self, prompts: Prompts, a: Responses, b: Responses, *, references: References = None) -> np.ndarray:
        """P(a[i] preferred to b[i]), calibrated, float32, shape (n,); NaN where one cannot be read."""
        check_lengths(prompts, a, references)
        return self.calibration(self.judge(prompts, a, b).differences).astype(np.float32)

    def judge(self, prompts: Prompts, a: Responses, b: Responses) -> Verdicts:
        """Reads n pairs chunk by chunk, each until an answer is likelier than reading on, or both have ended."""
        check_lengths(prompts, a, b)
        ends = [[chunk_ends(text, self.chunk_words) for text in side] for side in (a, b)]
        found, read = np.full(len(prompts), np.nan), np.zeros(len(prompts), dtype=np.int64)
        reading, chunks = np.arange(len(prompts)), 0
        while len(reading):
            chunks += 1
            rewards, words, ended = [], [], []
            every = reading.tolist()
            for texts, side in zip((a, b), ends, strict=True):
                at = [min(chunks, len(side[i][0])) - 1 for i in every]
                sofar = [texts[i][: side[i][0][k]] for i, k in zip(every, at, strict=True)]
                rewards.append(score_texts(self.reward, [prompts[i] for i in every], sofar).values.astype(float))
                words.append([side[i][1][k] for i, k in zip(every, at, strict=True)])
                ended.append([k == len(side[i][0]) - 1 for i, k in zip(every, at, strict=True)])
            difference, over = rewards[0] - rewards[1], np.array(ended, dtype=bool)
            found[reading], read[reading] = difference, np.sum(words, axis=0)
            stops = np.logical_and(*over) | self._stops(difference, chunks, np.logical_or(*over))
            reading = reading[~stops]
        whole = np.array([sum(side[i][1][-1] for side in ends) for i in range(len(prompts))], dtype=np.int64)
        return Verdicts(found, read, whole)

    def _stops(self, difference: Floats, chunks: int, one_ended: np.ndarray) -> np.ndarray:
        """Where an answer is likelier than reading on; a judge that cannot read what there is so far reads on."""
        known = np.isfinite(difference)
        difference = np.where(known, difference, 0.0)
        features = stop_features(difference, np.full(len(difference), float(chunks)), one_ended.astype(float))
        q = np.einsum("k,kn->n", self.stop_weights, np.stack(features))
        return np.asarray(known & (np.logaddexp(difference / 2, -difference / 2) >= q))

    def save(self, folder: str | Path) -> None:
        """Saves the reward, which `load_scorer` loads, and beside it when to stop. Raises OutputError."""
        self.reward.save(folder)
        content = {
            "chunk_words": self.chunk_words,
            "stop_weights": dict(zip(STOP_FEATURES, self.stop_weights.tolist(), strict=True)),
            "calibration": {"method": self.calibration.method, **self.calibration.to_dict()},
        }
        with atomic_write(Path(folder) / FILE_NAME, "wb") as file:
            file.write((json.dumps(content, indent=2) + "\n").encode())

    @classmethod
    def load(cls, folder: str | Path, **options: Any) -> Self:
        """Reads what `save` wrote. Raises ContractError, and ModelError where the frozen model is not found."""
        folder = Path(folder)
        reward = LinearReward.load(folder, **options)
        try:
            content = json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))
            if tuple(content["stop_weights"]) != STOP_FEATURES:
                raise ValueError(f"q has the features {list(content['stop_weights'])}")
            weights = [float(one) for one in content["stop_weights"].values()]
            calibration = Calibration.from_dict(content["calibration"])
            return cls(reward, weights, chunk_words=int(content["chunk_words"]), calibration=calibration)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ContractError(
                f"{folder / FILE_NAME} does not say when an early judge stops: {error!r}. Fix: guerdon judge writes it"
            ) from error
