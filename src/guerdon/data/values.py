"""One column of a record as a checked value: text, number, list, chat turns. Every refusal says what was got."""

from __future__ import annotations

import ast
import datetime
import json
import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from guerdon.data.source import Source
from guerdon.errors import DataError
from guerdon.text.messages import ROLES, kind_of, parse_messages, response_text
from guerdon.types import Message, Origin, Prompt, message_text

_HH_TURN = re.compile(r"\n\n(Human|Assistant):[ ]?")
_HELPSTEER_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


TEXT_COLUMNS = "guerdon_text"
"""Column of written rows: names of columns whose texts look like chats and are none."""
JSON_COLUMNS = "guerdon_json"
"""Column of written tables: names of own columns whose cells hold JSON, because a cell cannot hold their values."""
EXTRA_COLUMN = "guerdon_extra"
"""Column of written rows: own columns whose names would be read as something else."""
MARKS = frozenset((TEXT_COLUMNS, JSON_COLUMNS, EXTRA_COLUMN))
"""Columns that say how others are written."""
_LISTS = ("responses", "generated", "steps")


class PlainText(str):
    """A text that is no chat, whatever it looks like."""

    __slots__ = ()


def plain(value: Any) -> Any:
    """The value in the types that JSON has: a number that is not finite becomes null, a date its ISO form."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return plain(int(value) if value == value.to_integral_value() else float(value)) if value.is_finite() else None
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


class Fields:
    """The columns of one record. What a layout takes is taken out; what is left becomes the row's `extra`."""

    def __init__(self, record: Mapping[str, Any], origin: Origin | None = None, reading: Source | None = None) -> None:
        self.left = {name: value for name, value in record.items() if value is not None}
        """The columns that nobody has taken yet; what is put here becomes `extra`."""
        self.null = record.keys() - self.left.keys()
        """Columns without a value."""
        self._extra: dict[str, Any] = {}
        if not MARKS.isdisjoint(self.left):
            self._unmark()
        self._origin = origin
        self.reading = reading or Source()
        """What is known of the source."""

    def _unmark(self) -> None:
        """Gives columns back what `guerdon.data.write` had to write in another form."""
        marks = {name: self.left.pop(name) for name in MARKS if name in self.left}
        for name in map(str, items(marks.get(JSON_COLUMNS, []), JSON_COLUMNS)):
            try:
                self.left[name] = json.loads(self.left[name])
            except (KeyError, TypeError, ValueError):
                raise DataError(f"column {name!r} must hold JSON, as {JSON_COLUMNS} says") from None
        for name in map(str, items(marks.get(TEXT_COLUMNS, []), TEXT_COLUMNS)):
            value = structured(self.left.get(name)) if name in _LISTS else self.left.get(name)
            if isinstance(value, list):
                self.left[name] = [PlainText(one) if isinstance(one, str) else one for one in value]
            elif isinstance(value, str):
                self.left[name] = PlainText(value)
        self._extra = mapping(marks.get(EXTRA_COLUMN, {}), EXTRA_COLUMN)

    def __contains__(self, name: str) -> bool:
        return name in self.left

    def take(self, name: str) -> Any:
        """The value of the column, None where it is not there."""
        return self.left.pop(name, None)

    def first(self, *names: str) -> tuple[str, Any]:
        """Name and value of the first of the columns that is there.

        Raises:
            DataError: none of them is.
        """
        for name in names:
            if name in self.left:
                return name, self.left.pop(name)
        raise DataError(f"column {names[0]!r} is missing or null")

    def number(self, *names: str) -> float:
        """The finite number in the first of the columns that is there."""
        name, value = self.first(*names)
        return number(value, name)

    def known(self, name: str) -> bool:
        """Whether the column has a value: a cell without text and NaN are none."""
        value = self.left.get(name)
        return value not in (None, "") and value == value  # NaN is not equal to itself

    def optional_number(self, name: str) -> float | None:
        """The finite number in the column; None without one."""
        known, value = self.known(name), self.take(name)
        return number(value, name) if known else None

    def base(self) -> dict[str, Any]:
        """The arguments that every row has besides its prompt. To be called last: `extra` is what nobody took."""
        self._read_verl()
        common = {name: label(self.take(name), name) for name in ("subset", "group", "id")}
        reference = label(self.take("reference"), "reference") or None
        own = {**self.left, **self._extra} if self._extra else self.left
        extra = {name: value for name, each in own.items() if (value := plain(each)) is not None}
        return {**common, "reference": reference, "extra": extra, "origin": self._origin}

    def _read_verl(self) -> None:
        """The reference and the subset, where verl keeps them: `reward_model.ground_truth` and `data_source`."""
        kept = structured(self.left.get("reward_model"))
        if not isinstance(kept, dict):
            return
        if "reference" not in self.left and (truth := kept.get("ground_truth")) is not None:
            one = truth[0] if isinstance(truth, list) and len(truth) == 1 else truth
            self.left["reference"] = one if isinstance(one, str) else json.dumps(plain(one), ensure_ascii=False)
        if "subset" not in self.left and isinstance(self.left.get("data_source"), str):
            self.left["subset"] = self.take("data_source")


def text(value: object, name: str) -> str:
    """The value if it is a text that can be judged and stored: not empty, no NUL byte, valid Unicode."""
    if not isinstance(value, str):
        raise DataError(f"column {name!r} must be text, got {kind_of(value)}")
    if not value or value.isspace():
        raise DataError(f"column {name!r} is empty")
    if "\x00" in value:
        raise DataError(f"column {name!r} holds a NUL character")
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise DataError(
                f"column {name!r} holds half a surrogate pair (\\u{ord(value[error.start]):04x}) at character "
                f"{error.start + 1}; was the text cut in the middle of an emoji?"
            ) from None
    return value


class DecimalComma(str):
    """A number with a decimal comma, from a table whose cells a semicolon parts; a text like any other elsewhere."""

    __slots__ = ()


DECIMAL_COMMA = re.compile(r"\s*[-+\u2212]?\d+,\d+\s*")
LARGEST = 1e18
"""Its square is still a number of single precision."""
_THOUSANDS = re.compile(r"[-+\u2212]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def number(value: object, name: str) -> float:
    """The value as a finite float.

    Numbers as people write them count too: digits in text, true/false and yes/no (also in text, as tables have them),
    a decimal comma, a minus sign of typesetters, decimals of databases.
    """
    if not isinstance(value, bool | int | float | Decimal | str):
        raise DataError(f"column {name!r} must be a number, got {kind_of(value)}")
    try:
        result = _written_number(value, name) if isinstance(value, str) else float(value)
    except (ValueError, OverflowError):
        raise DataError(f"column {name!r} must be a number, got {str(value)[:40]!r}") from None
    if not math.isfinite(result):
        raise DataError(f"column {name!r} is {result}; a score must be a finite number")
    if abs(result) > LARGEST:
        raise DataError(f"column {name!r} is {result:g}; a score beyond {LARGEST:g} cannot be computed with")
    return result


def _written_number(value: str, name: str) -> float:
    written = value.strip().replace("\u2212", "-")
    if written.lower() in _TRUTH:
        return _TRUTH[written.lower()]
    if DECIMAL_COMMA.fullmatch(written) and (isinstance(value, DecimalComma) or not _THOUSANDS.fullmatch(written)):
        return float(written.replace(",", "."))
    if _THOUSANDS.fullmatch(written) and (written.count(",") > 1 or "." in written):
        return float(written.replace(",", ""))
    if _THOUSANDS.fullmatch(written):
        raise DataError(
            f"column {name!r} holds {written!r}, in which the comma may part thousands or decimals. Fix: write it with "
            "a decimal point, or without a comma"
        )
    return float(written)


def label(value: object, name: str) -> str:
    """An optional short text; a number becomes its digits, nothing becomes the empty text."""
    if value is None:
        return ""
    if isinstance(value, str):
        return str(text(value, name)) if value and not value.isspace() else ""
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return str(value) if math.isfinite(value) else ""
    raise DataError(f"column {name!r} must be text or a number, got {kind_of(value)}")


def structured(value: object) -> object:
    """A list or object, also where a CSV or Parquet cell holds it as JSON or as Python's own notation (pandas)."""
    if not isinstance(value, str) or isinstance(value, PlainText) or value.lstrip()[:1] not in ("[", "{"):
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value


def items(value: object, name: str) -> list[Any]:
    """The value as a list."""
    result = structured(value)
    if not isinstance(result, list):
        raise DataError(f"column {name!r} must be a list, got {kind_of(result)}")
    return result


def mapping(value: object, name: str) -> dict[str, Any]:
    """The value as an object; so is a list of pairs, as Parquet's maps come."""
    result = structured(value)
    if isinstance(result, list) and result and all(isinstance(one, tuple) and len(one) == 2 for one in result):
        result = dict(result)
    if not isinstance(result, dict):
        raise DataError(f"column {name!r} must be an object, got {kind_of(result)}")
    return result


def turns(value: object, name: str) -> tuple[Message, ...] | None:
    r"""The chat that a value holds, or None if it is plain text.

    Read are lists of `{role, content}` or `{from, value}`, one such object, the same as text in a cell, and HH
    transcripts (`"\n\nHuman: ...\n\nAssistant: ..."`). Empty system turns are left out: they say nothing.
    """
    if isinstance(value, PlainText):
        return None
    if isinstance(value, str):
        value = _embedded_turns(value)
        if isinstance(value, str):
            return transcript(value)
    if isinstance(value, dict):
        value = value["messages"] if isinstance(value.get("messages"), list) else _of_arrays(value)
    if not isinstance(value, list):
        numeric = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        hint = f' ({value}). Fix: write it as text, "{value}"' if numeric else ""
        raise DataError(f"column {name!r} must be text or a list of {{role, content}}, got {kind_of(value)}{hint}")
    if not value:
        raise DataError(f"column {name!r} is an empty list")
    if all(isinstance(one, str) for one in value) or (len(value) == 1 and _is_column(value[0])):
        raise DataError(
            f"column {name!r} holds several texts; it must be text or a list of {{role, content}}. Fix: where the file "
            'holds whole columns, write it by rows (pandas: to_json(orient="records"))'
        )
    chat = parse_messages(value, name)
    for at, message in enumerate(chat):
        text(message_text(message), f"{name}[{at}].content")
    return chat


def _is_column(value: object) -> bool:
    """Whether it is a column of a table as pandas writes it, `{"0": ..., "1": ...}`."""
    return isinstance(value, dict) and bool(value) and all(name.isdigit() for name in map(str, value))


def _of_arrays(value: dict[str, Any]) -> list[Any]:
    """One turn as a list; the turns of an object of arrays, as `datasets` keeps a sequence of objects."""
    arrays = [one for one in value.values() if isinstance(one, list)]
    sizes = {len(one) for one in arrays}
    if len(arrays) < len(value) or len(sizes) != 1 or not {"role", "from"} & value.keys():
        return [value]
    return [dict(zip(value, turn, strict=True)) for turn in zip(*arrays, strict=True)]


_TEXT_KEYS = ("text", "full_text", "content", "response", "answer", "output", "completion", "generation", "value")


def bare_text(value: object) -> object:
    """The text that an object without a role holds, as `{"text": ..., "model": ...}`; any other value as it is."""
    if isinstance(value, dict) and not {"role", "from", "messages"} & value.keys():
        return next((value[key] for key in _TEXT_KEYS if isinstance(value.get(key), str)), value)
    return value


def looks_like_chat(value: str) -> bool:
    """Whether `turns` or `prompt` could read a text as a chat."""
    return value.lstrip()[:1] == "[" or value.startswith("\n\nHuman:") or "<extra_id_1>" in value


def _embedded_turns(value: str) -> object:
    start = value.lstrip()[:40]
    if not (start.startswith("[") and start[1:].lstrip().startswith("{")):
        return value
    found = structured(value)
    is_chat = isinstance(found, list) and all(
        isinstance(turn, dict) and {"role", "from"} & turn.keys() for turn in found
    )
    return found if is_chat else value


def transcript(value: str) -> tuple[Message, ...] | None:
    """The turns of an HH transcript, the last one possibly empty (a prompt ends in `Assistant:`), or None."""
    if not value.startswith("\n\nHuman:"):
        return None
    pieces = _HH_TURN.split(value)[1:]
    return tuple(
        Message("user" if who == "Human" else "assistant", content.strip())
        for who, content in zip(pieces[::2], pieces[1::2], strict=True)
    )


def prompt(value: object, name: str) -> Prompt:
    """The value as a prompt: a text, or a chat that does not end with the assistant's turn."""
    if isinstance(value, PlainText):
        return str(text(value, name)) if value else ""
    value = bare_text(value)
    chat = turns(value, name)
    return _helpsteer_turns(text(value, name)) if chat is None else chat_prompt(chat, name)


def chat_prompt(chat: tuple[Message, ...], name: str) -> Prompt:
    """The turns as a prompt, if they can be one; the empty `Assistant:` that HH prompts end in is left out."""
    if chat and chat[-1] == Message("assistant", ""):
        chat = chat[:-1]
    if not chat:
        raise DataError(f"column {name!r} has no turn that says anything")
    if chat[-1].role == "assistant":
        raise DataError(f"column {name!r} ends with the assistant's turn; it must end with what is to be answered")
    for message in chat:
        text(message_text(message), name)
    return chat


def _helpsteer_turns(value: str) -> Prompt:
    """HelpSteer 2 writes the later turns of a dialogue as `<extra_id_1>Assistant`, `<extra_id_1>User` lines."""
    first, *pieces = _HELPSTEER_TURN.split(value)
    if not pieces:
        return value
    later = zip(pieces[::2], pieces[1::2], strict=True)
    return (Message("user", first), *(Message(ROLES[who.lower()], content) for who, content in later))


def split_response(value: object, name: str) -> tuple[tuple[Message, ...], str]:
    """The response that a value ends with, and the turns before it: none where the response comes alone."""
    chat = turns(value, name)
    if chat is None:
        return (), str(text(value, name))
    if chat[-1].role != "assistant":
        raise DataError(f"column {name!r} must end with the assistant's turn, got the turn of {chat[-1].role!r}")
    return chat[:-1], text(message_text(chat[-1]), name)


def response(value: object, name: str) -> str:
    """The value as one response that comes alone: a text, or a chat that the assistant begins (tool calls ...)."""
    value = bare_text(value)
    chat = turns(value, name)
    if chat is None:
        return str(text(value, name))
    if chat[0].role != "assistant":
        raise DataError(f"column {name!r} must be one response, got a dialogue of {len(chat)} turns")
    return text(response_text(chat), name)
