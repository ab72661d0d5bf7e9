"""A whole data set is refused, before any work, when too many of its responses would be cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from guerdon.errors import DataError, TextError
from guerdon.rewards.encode import Encoder
from guerdon.types import AnyRow, Candidates, Origin, Prompt, Scorer, response_texts

CUT_LIMIT = 0.05
"""A data set is refused under `auto` when a larger share of its responses would be cut."""

_CHUNK = 1024
_SPECIAL_TOKENS = 16
"""More special tokens than stand around a response."""

Text = tuple[Prompt, str, Origin | None]
"""A prompt, a response, and where they were read."""


def row_texts(rows: Iterable[AnyRow]) -> Iterable[Text]:
    """Every response of judged rows."""
    return ((row.prompt, text, row.origin) for row in rows for text in response_texts(row))


def candidate_texts(candidates: Iterable[Candidates]) -> Iterable[Text]:
    """Every response of candidates."""
    return ((one.prompt, text, one.origin) for one in candidates for text in one.responses)


def refuse_truncation(scorers: Iterable[object], texts: Iterable[Text], *, limit: float = CUT_LIMIT) -> int:
    """Refuses a data set that scorers could not read as they were told to; for the start of a verb.

    Under `auto` at most a small share of the responses may be cut; under `error` no text may be longer than the model
    reads; under `cut` everything passes. Scorers that read no tokens cut nothing.

    Args:
        scorers: any scorers.
        texts: everything that they will be asked about; read once.
        limit: the largest share of responses that may be cut.

    Returns:
        How many texts there were.

    Raises:
        DataError: with the place of the first response that is too long.
    """
    counts = [_CutResponses(encoder) for scorer in scorers for encoder in encoders_of(scorer)]
    total, stream = 0, iter(texts)
    while chunk := list(itertools.islice(stream, _CHUNK)):
        total += len(chunk)
        for count in counts:
            count.add(chunk)
    for count in counts:
        if count.first is not None:
            _, response, origin = count.first
            check_truncation(count.encoder, count.found, total, response, origin, limit=limit)
    return total


def report_totals(scorers: Iterable[object]) -> None:
    """Logs, at the end of a verb, how many texts its scorers cut or could not read, where that is not known yet."""
    for scorer in scorers:
        for encoder in encoders_of(scorer):
            encoder.report_totals()


def check_truncation(
    encoder: Encoder, cut: int, total: int, response: str, origin: Origin | None, *, limit: float = CUT_LIMIT
) -> None:
    """Raises the DataError of `refuse_truncation` where `cut` of `total` responses are too many.

    Args:
        encoder: what cuts them; it decides under `auto` alone.
        cut: responses that are cut.
        total: responses in all.
        response: the first that is cut.
        origin: where that was read.
        limit: the largest share of responses that may be cut.
    """
    if encoder.overlong == "auto" and cut > limit * total:
        raise DataError(
            f"{'' if origin is None else f'{origin}: '}{cut:,} of {total:,} responses ({cut / total:.0%}) are longer "
            f"than the {encoder.contract.max_length} tokens that the model reads, so that their ends would not count; "
            f"the first begins {response[:60]!r}. Fix: pass --overlong cut to go on all the same, shorten them, or "
            "take a model that reads more (in training: a larger --max-length)"
        )


def encoders_of(scorer: object) -> list[Encoder]:
    """The encoders of a scorer and of all that it is made of."""
    own = getattr(scorer, "encoder", None)
    if isinstance(own, Encoder):
        return [own]
    parts: list[object] = []
    for name in ("members", "scorers", "scorer"):
        held = getattr(scorer, name, None)
        parts += held.values() if isinstance(held, Mapping) else held if isinstance(held, list | tuple) else [held]
    return [encoder for part in parts if isinstance(part, Scorer) for encoder in encoders_of(part)]


class _CutResponses:
    """Counts the responses that one encoder would cut."""

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.found = 0
        self.first: Text | None = None

    def add(self, texts: Sequence[Text]) -> None:
        if self.encoder.overlong == "auto":
            longest = self.encoder.contract.max_length - _SPECIAL_TOKENS  # a token has at least one byte
            texts = [text for text in texts if len(text[1].encode(errors="replace")) > longest]
        if self.encoder.overlong != "cut" and texts:
            self._encode(list(texts))

    def _encode(self, texts: list[Text]) -> None:
        try:
            cut = self.encoder.encode([prompt for prompt, _, _ in texts], [text for _, text, _ in texts]).cut_responses
        except TextError as error:
            if self.encoder.overlong == "error":
                raise error.at(texts[error.index][2]) from None
            del texts[error.index]  # it cannot be read at all, and gets no reward
            self._encode(texts)
            return
        self.found += len(cut)
        if cut and self.first is None:
            self.first = texts[cut[0]]
