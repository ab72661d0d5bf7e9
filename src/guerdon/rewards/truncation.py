"""A whole data set is refused, before any work, when too many of its responses would be cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

from guerdon.errors import DataError, TextError
from guerdon.rewards.encode import Encoder
from guerdon.rewards.scoring import parts_of
from guerdon.text.vocabulary import count_tokens
from guerdon.types import AnyRow, Candidates, Origin, Prompt, response_texts

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


def refuse_truncation(scorers: Iterable[object], texts: Iterable[Text]) -> int:
    """Refuses a data set that scorers could not read as they were told to; for the start of a verb.

    Under `auto` at most 5% of the responses may be cut; under `error` no text may be longer than the
    model reads; under `cut` everything passes. Scorers that read no tokens cut nothing. `texts` are everything that
    they will be asked about, and are read once; how many there were is returned.

    Raises:
        DataError: with the place of the first response that is too long.
    """
    encoders = [encoder for scorer in scorers for encoder in encoders_of(scorer)]
    cut, first = [0] * len(encoders), dict[int, Text]()
    total, stream = 0, iter(texts)
    while chunk := list(itertools.islice(stream, _CHUNK)):
        total += len(chunk)
        for number, encoder in enumerate(encoders):
            if found := _cut_texts(encoder, chunk):
                cut[number] += len(found)
                first.setdefault(number, found[0])
    for number, (_, response, origin) in first.items():
        check_truncation(encoders[number], cut[number], total, response, origin)
    return total


def report_totals(scorers: Iterable[object]) -> None:
    """Logs, at the end of a verb, how many texts its scorers cut or could not read, where that is not known yet."""
    for scorer in scorers:
        for part in parts_of(scorer):
            for one in (part, getattr(part, "encoder", None)):
                if callable(report := getattr(one, "report_totals", None)):
                    report()


def check_truncation(encoder: Encoder, cut: int, total: int, response: str, origin: Origin | None) -> None:
    """Raises the DataError of `refuse_truncation` where `cut` of `total` responses are too many for `auto`.

    The message names the first that is cut, and where that was read.
    """
    if encoder.overlong == "auto" and cut > CUT_LIMIT * total:
        raise DataError(
            f"{'' if origin is None else f'{origin}: '}{cut:,} of {total:,} responses ({cut / total:.0%}) are longer "
            f"than the {encoder.contract.max_length} tokens that the model reads, so that their ends would not count; "
            f"the first begins {response[:60]!r}. Fix: pass --overlong cut to go on all the same, shorten them, or "
            "take a model that reads more (in training: a larger --max-length)"
        )


def encoders_of(scorer: object) -> list[Encoder]:
    """The encoders of a scorer and of all that it is made of."""
    return [part.encoder for part in parts_of(scorer) if isinstance(getattr(part, "encoder", None), Encoder)]


def _cut_texts(encoder: Encoder, texts: Sequence[Text]) -> list[Text]:
    """Those whose response the encoder would cut; a text that cannot be read at all gets no reward and is none."""
    if encoder.overlong == "cut":
        return []
    if encoder.overlong == "auto":
        longest = encoder.contract.max_length - _SPECIAL_TOKENS  # a token has at least one byte
        texts = [text for text in texts if len(text[1].encode(errors="replace")) > longest]
        if not encoder.contract.step_mark:  # marks between steps are tokens too
            counts = count_tokens(encoder.tokenizer, [response for _, response, _ in texts])
            texts = [text for text, (count, _) in zip(texts, counts, strict=True) if count > longest]
    left = list(texts)
    while left:
        try:
            found = encoder.encode([prompt for prompt, _, _ in left], [text for _, text, _ in left])
        except TextError as error:
            if encoder.overlong == "error":
                raise error.at(left[error.index][2]) from None
            del left[error.index]
        else:
            return [left[place] for place in found.cut_responses]
    return []
