"""Chat messages from what people and APIs have (OpenAI, ShareGPT, ms-swift, LLaMA-Factory), and back to dicts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from guerdon.errors import DataError
from guerdon.types import Message, Prompt, ToolCall, message_text, prompt_text

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "bot", "model", "chatbot"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython", "tool_response"), "tool"),
    **dict.fromkeys(("tool_call", "function_call"), "assistant"),
}
"""The names that data sets give to the four roles (OpenAI, ShareGPT, OpenAssistant, Gemini, ms-swift)."""

_CALL_ROLES = ("tool_call", "function_call")
"""Turns whose content is the JSON text of tool calls."""
_REASONING = ("reasoning_content", "reasoning", "thinking")


def kind_of(value: object) -> str:
    """A word for the type of a value as a data file has it."""
    names = {bool: "true/false", int: "a number", float: "a number", str: "text", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def parse_messages(value: object, name: str = "messages") -> tuple[Message, ...]:
    """The turns of a sequence of messages as `parse_message` reads them; an error calls it by `name`.

    System turns without content are left out, for they say nothing.

    Raises:
        DataError: it is not a sequence of messages.
    """
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise DataError(f"{name} must be a list of {{role, content}}, got {kind_of(value)}")
    turns = (parse_message(turn, f"{name}[{at}]") for at, turn in enumerate(value))
    return tuple(turn for turn in turns if turn.role != "system" or turn.content)


def parse_message(value: object, name: str = "message") -> Message:
    """One turn of a chat.

    Read are `role` or `from`; `content`, `value` or `parts` (a text, None, or a list of text parts); `tool_calls` or
    `function_call` in OpenAI's form, with arguments as an object or as JSON text; `reasoning_content`, `reasoning` or
    `thinking`; `name`; `tool_call_id`. Objects of client libraries (with `model_dump`) are read as dicts.

    Raises:
        DataError: the role is not known, the content is not text, or a tool call is malformed.
    """
    if isinstance(value, Message):
        return value
    turn = value.model_dump() if hasattr(value, "model_dump") else value
    if not isinstance(turn, Mapping):
        raise DataError(f"{name} must be an object {{role, content}}, got {kind_of(turn)}")
    given = turn.get("role", turn.get("from"))
    if not isinstance(given, str) or (role := given.lower()) not in ROLES:
        raise DataError(f"{name} has the role {given!r}; known: user, assistant, system, tool")
    text, thought = _content(turn.get("content", turn.get("value", turn.get("parts"))), name)
    calls = turn.get("tool_calls") or [call for call in [turn.get("function_call")] if call]
    if role in _CALL_ROLES:
        text, calls = "", _json(text, f"{name}.content")
        calls = calls if isinstance(calls, list) else [calls]
    if not isinstance(calls, Iterable) or isinstance(calls, str | Mapping):
        raise DataError(f"{name}.tool_calls must be a list, got {kind_of(calls)}")
    return Message(
        ROLES[role],
        text,
        tuple(_tool_call(call, f"{name}.tool_calls[{at}]") for at, call in enumerate(calls)),
        next((_optional(turn[key], f"{name}.{key}") for key in _REASONING if turn.get(key)), thought),
        _optional(turn.get("name"), f"{name}.name"),
        _optional(turn.get("tool_call_id"), f"{name}.tool_call_id"),
    )


def _content(value: object, name: str) -> tuple[str, str]:
    """The text of a content, and the reasoning where a part of the content holds it."""
    if value is None or isinstance(value, str):
        return value or "", ""
    if isinstance(value, Mapping) or not isinstance(value, Iterable):
        raise DataError(f"{name}.content must be text, null or a list of text parts, got {kind_of(value)}")
    texts: dict[str, list[str]] = {"text": [], "thinking": []}
    for part in value:
        kind, text = ("text", part) if isinstance(part, str) else _part(part, name)
        texts[kind].append(text)
    return "\n".join(texts["text"]), "\n".join(texts["thinking"])


def _part(part: object, name: str) -> tuple[str, str]:
    fields = part if isinstance(part, Mapping) else {}
    kind = fields.get("type", "text")
    key = {"input_text": "text", "output_text": "text"}.get(kind, kind)
    if key in ("text", "refusal", "thinking") and isinstance(fields.get(key), str):
        return "thinking" if key == "thinking" else "text", fields[key]
    raise DataError(f"{name} has a content part that is not text ({kind}); only text can be scored")


def _tool_call(value: object, name: str) -> ToolCall:
    call = value if isinstance(value, Mapping) else {}
    function = call.get("function", call)
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise DataError(f"{name} must be an object {{function: {{name, arguments}}}}, got {str(value)[:80]}")
    arguments = function.get("arguments", function.get("parameters"))
    return ToolCall(function["name"], _arguments(arguments), _optional(call.get("id"), f"{name}.id"))


def _arguments(value: object) -> str:
    """Arguments as JSON text; the same for an object and for its JSON text, whatever its spaces."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return str(value)  # what a policy wrote, malformed
    return json.dumps({} if value is None else value, ensure_ascii=False)


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f"{name} must be the JSON text of a tool call: {error}") from None


def _optional(value: object, name: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise DataError(f"{name} must be text, got {kind_of(value)}")


def prompt_turns(prompt: Prompt) -> tuple[Message, ...]:
    """The turns of a prompt; a plain text is what the user says."""
    return (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)


def response_text(turns: Sequence[Message]) -> str:
    """The one text for a response in messages: a single turn as its text, several as `prompt_text` writes them.

    Tool calls and reasoning are written out, see `guerdon.types.message_text`.
    """
    return message_text(turns[0]) if len(turns) == 1 else prompt_text(tuple(turns))


def messages_to_dicts(turns: Iterable[Message], *, json_arguments: bool = False) -> list[dict[str, Any]]:
    """Messages as chat templates read them; fields that a message does not have are left out.

    `json_arguments` gives the arguments of tool calls as JSON text, which the chat completions API wants, and not as
    objects, which templates want.
    """
    return [_message_dict(turn, json_arguments) for turn in turns]


def _message_dict(turn: Message, json_arguments: bool) -> dict[str, Any]:
    calls = [
        ({"id": call.id} if call.id else {})
        | {
            "type": "function",
            "function": {
                "name": call.name,
                "arguments": call.arguments if json_arguments else _loaded(call.arguments),
            },
        }
        for call in turn.tool_calls
    ]
    optional = {
        "tool_calls": calls,
        "reasoning_content": turn.reasoning_content,
        "name": turn.name,
        "tool_call_id": turn.tool_call_id,
    }
    return {"role": turn.role, "content": turn.content} | {key: value for key, value in optional.items() if value}


def _loaded(arguments: str) -> Any:
    """The object that a JSON text holds; any other text as it is."""
    try:
        loaded = json.loads(arguments)
    except ValueError:
        return arguments
    return loaded if isinstance(loaded, dict) else arguments
