"""Raw records, and how they come out of JSON: one object a line, or elements of an array that is never loaded whole."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO, TypeAlias

from guerdon.errors import DataError
from guerdon.types import Origin

Record: TypeAlias = dict[str, Any]
Records: TypeAlias = Iterator[tuple[Origin, Record | DataError]]

LINE_LIMIT = 64 * 2**20
"""Bytes of one line, array element or CSV cell; a longer one is a fault, so that a broken file cannot fill memory."""
READ_ERRORS = (OSError, EOFError, zlib.error)
_CHUNK = 2**20
_SPACE = re.compile(r"[ \t\n\r]*")
_EDGE = 16
"""A parse error this near to the end of what has been read may only mean that the rest is still to come."""
WRAPPERS = ("data", "rows", "records", "examples", "instances", "items")
"""Names under which a file that is one object keeps its rows."""


def _object(pairs: list[tuple[str, Any]]) -> Record:
    """A JSON object, none of whose names stands twice: of two values one would be lost."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _TwiceError(f"the name {twice!r} stands twice in one object")
    return found


class _TwiceError(ValueError):
    """A name stands twice in one object."""


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def _as_record(value: object, origin: Origin) -> Record | DataError:
    """The value if it is a JSON object, else the fault."""
    if isinstance(value, dict):
        return value
    hint = "; a JSON array belongs in a .json file" if isinstance(value, list) else ""
    kind = {list: "an array", str: "a string", type(None): "null"}.get(type(value), "a number or truth value")
    return DataError(f"{origin}: a row must be a JSON object {{...}}, got {kind}{hint}")


def json_line_records(stream: BinaryIO, name: str) -> Records:
    """One JSON object a line; blank lines are skipped."""
    number = 0
    while True:
        number += 1
        origin = Origin(name, number)
        try:
            line = stream.readline(LINE_LIMIT + 1)
            too_long = len(line) > LINE_LIMIT
            while too_long and line and not line.endswith(b"\n"):
                line = stream.readline(LINE_LIMIT)
        except READ_ERRORS as error:
            yield origin, DataError(f"{origin}: the file cannot be read beyond here, it is cut off or damaged: {error}")
            return
        if too_long:
            yield (
                origin,
                DataError(f"{origin}: the line is longer than {LINE_LIMIT // 2**20} MiB; is it one row a line?"),
            )
        elif not line:
            return
        else:
            line = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            for row in filter(bytes.strip, line.split(b"\r")):  # no JSON text holds a bare carriage return
                yield origin, _parse_line(row, origin)


def _parse_line(line: bytes, origin: Origin) -> Record | DataError:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return not_utf8(origin, f"byte {error.start + 1} of the line is 0x{line[error.start]:02x}")
    if "\x00" in text:
        return DataError(f"{origin}: the line holds a NUL byte; is the file damaged?")
    try:
        return _as_record(_DECODER.decode(text), origin)
    except RecursionError:
        return DataError(f"{origin}: broken JSON: nested too deeply")
    except json.JSONDecodeError as error:
        return DataError(f"{origin}: broken JSON: {error.msg} at column {error.colno}")
    except ValueError as error:
        return DataError(f"{origin}: broken JSON: {error}")


def not_utf8(origin: Origin, detail: str) -> DataError:
    """The fault of a record that is in another encoding."""
    return DataError(f"{origin}: not UTF-8 ({detail}); save the file as UTF-8")


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
            _TwiceError,
        ) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            yield origin, DataError(f"{origin}: broken JSON in element {number}, reading stops here: {reason}")
            return
        if value is _END:
            return
        for row in _wrapped(value) or [value]:
            yield Origin(name, number), _as_record(row, Origin(name, number))
            number += 1


def _wrapped(value: object) -> list[Any]:
    """The rows of a file that is one object, `{"data": [...]}`, with nothing else but what tells about them."""
    if not isinstance(value, dict):
        return []
    lists = {name: one for name, one in value.items() if isinstance(one, list | dict)}
    rows = next((one for name, one in lists.items() if name in WRAPPERS), None)
    if len(lists) != 1 or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return []
    return rows


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
