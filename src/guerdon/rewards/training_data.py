"""Which prompts a reward model was trained on: hashes beside the weights, so that no evaluation calls them unseen.

The file is JSON with one hash a line. A hash is the first 64 bits of the BLAKE2b digest of a prompt without differences
of case and white space: prompts cannot be read from it, and two different ones practically never share a hash. Of large
data only the `MAX_HASHES` smallest hashes are kept, which is a uniform sample of all prompts: a prompt whose hash lies
above the largest that is kept is not judged, and the share among the judged ones estimates the share among all.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from guerdon.data.split import normalised
from guerdon.errors import ContractError
from guerdon.files import atomic_write
from guerdon.types import Prompt, prompt_text

PROMPTS_FILE = "training_prompts.json"
MAX_HASHES = 100_000
"""Two megabytes."""


@dataclass(frozen=True, slots=True)
class TrainingPrompts:
    """The prompts of a training set, as hashes."""

    hashes: frozenset[str]
    """Hashes of 16 hexadecimal digits each."""
    count: int
    """Distinct prompts of the training set; more than there are hashes where only a sample is kept."""

    @classmethod
    def of(cls, prompts: Iterable[Prompt]) -> TrainingPrompts:
        """The hashes of these prompts."""
        every = {_hash(prompt) for prompt in prompts}
        return cls(frozenset(sorted(every)[:MAX_HASHES]), len(every))

    def __bool__(self) -> bool:
        return self.count > 0

    def __or__(self, other: TrainingPrompts) -> TrainingPrompts:
        """The prompts of either, as of the members of an ensemble that were trained on different data."""
        judged = [hash_ for hash_ in self.hashes | other.hashes if self._judges(hash_) and other._judges(hash_)]
        count = len(self.hashes | other.hashes) if self.complete and other.complete else max(self.count, other.count)
        return TrainingPrompts(frozenset(sorted(judged)[:MAX_HASHES]), count)

    @property
    def complete(self) -> bool:
        """Whether every prompt of the training set has its hash here."""
        return len(self.hashes) == self.count

    def seen(self, prompts: Iterable[Prompt]) -> list[bool | None]:
        """For each prompt whether the model was trained on it; None where the sample of hashes cannot tell."""
        hashes = [_hash(prompt) for prompt in prompts]
        return [hash_ in self.hashes if self._judges(hash_) else None for hash_ in hashes]

    def _judges(self, hash_: str) -> bool:
        return self.complete or hash_ <= max(self.hashes)


def write_training_prompts(folder: Path, prompts: TrainingPrompts) -> None:
    """Writes the hashes into a folder. Raises OutputError."""
    content = {
        "hash": "BLAKE2b, 64 bits, of the prompt with case folded and white space collapsed",
        "count": prompts.count,
        "hashes": sorted(prompts.hashes),
    }
    with atomic_write(folder / PROMPTS_FILE) as file:
        json.dump(content, file, indent=0)
        file.write("\n")


def read_training_prompts(folder: str | Path) -> TrainingPrompts | None:
    """The training prompts of a saved reward model, or of all members of a saved ensemble.

    Returns:
        None where the folder does not say, as for a model of other origin.

    Raises:
        ContractError: a file cannot be read.
    """
    own = Path(folder) / PROMPTS_FILE
    files = [own] if own.is_file() else sorted(Path(folder).glob(f"*/{PROMPTS_FILE}"))
    return functools.reduce(operator.or_, map(_read, files)) if files else None


def _read(path: Path) -> TrainingPrompts:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return TrainingPrompts(frozenset(content["hashes"]), int(content["count"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContractError(f"{path} cannot be read: {error}. Remove it to go on without it") from error


def _hash(prompt: Prompt) -> str:
    return hashlib.blake2b(normalised(prompt_text(prompt)).encode(), digest_size=8).hexdigest()
