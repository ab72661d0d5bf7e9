"""Objects out of one large JSON array (or pretty-printed objects one after the other), without loading it whole."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from guerdon.data.records import LINE_LIMIT, Records, as_record
from guerdon.errors import DataError
from guerdon.types import Origin

_CHUNK = 2**20
_SPACE = re.compile(r"[ \t\n\r]*")
_EDGE = 16
"""A parse error this near to the end of what has been read may only mean that the rest is still to come."""
_DECODER = json.JSONDecoder()


def array_records(stream: BinaryIO, name: str) -> Records:
    """The elements of a top-level array; `Origin.line` is the 1-based position in it.

    A fault in the text of an element ends the reading, because nothing tells where the next one begins.
    """
    number = 1
    values = _values(_Text(stream))
    while True:
        origin = Origin(name, number)
        try:
            value = next(values, _END)
        except (
            json.JSONDecodeError,
            UnicodeDecodeError,
            OSError,
            EOFError,
            RecursionError,
            _BrokenArrayError,
        ) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield origin, DataError(f"{origin}: broken JSON in element {number}, reading stops here: {reason}")
            return
        if value is _END:
            return
        yield origin, as_record(value, origin)
        number += 1


_END = object()


class _BrokenArrayError(Exception):
    """The text between two elements is not what an array has there."""


class _Text:
    """The decoded text that has been read and not yet used."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self.buffer = ""
        self.done = False

    def more(self, used: int) -> None:
        """Forgets the first `used` characters and reads on, at least doubling what is held: work stays linear."""
        self.buffer = self.buffer[used:]
        if len(self.buffer) > LINE_LIMIT:
            raise _BrokenArrayError(f"an element is longer than {LINE_LIMIT // 2**20} MiB")
        data = self._stream.read(max(_CHUNK, len(self.buffer)))
        self.done = not data
        self.buffer += self._decode.decode(data, final=self.done)

    def skip_space(self, at: int) -> int:
        """The position of the next character that is not white space, reading on where needed."""
        while True:
            end = _SPACE.match(self.buffer, at).end()  # type: ignore[union-attr]  # the pattern matches everywhere
            if end < len(self.buffer) or self.done:
                return end
            self.more(end)
            at = 0

    def character(self, at: int) -> str:
        return self.buffer[at : at + 1]


def _values(text: _Text) -> Iterator[Any]:
    at = text.skip_space(0)
    in_array = text.character(at) == "["
    if in_array:
        at = text.skip_space(at + 1)
    first = True
    while True:
        if in_array and text.character(at) == "]" and first:
            return
        if not in_array and text.character(at) == "":
            return
        value, at = _value(text, at)
        yield value
        first = False
        at = text.skip_space(at)
        if in_array:
            mark = text.character(at)
            if mark == "]":
                if text.character(text.skip_space(at + 1)):
                    raise _BrokenArrayError("there is text after the array")
                return
            if mark != ",":
                raise _BrokenArrayError("the file ends inside the array" if not mark else "expected ',' or ']'")
            at = text.skip_space(at + 1)


def _value(text: _Text, at: int) -> tuple[Any, int]:
    while True:
        try:
            value, end = _DECODER.raw_decode(text.buffer, at)
            # A number at the very end of the buffer may go on in the next chunk.
            if end < len(text.buffer) or text.done:
                return value, end
        except json.JSONDecodeError as error:
            unfinished = error.msg.startswith("Unterminated string") or error.pos >= len(text.buffer) - _EDGE
            if text.done or not unfinished:
                raise
        text.more(at)
        at = 0
