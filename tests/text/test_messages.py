"""Chat messages in every shape that people have them in, and back."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon.errors import DataError
from guerdon.text.messages import messages_to_dicts, parse_message, parse_messages, prompt_turns, response_text
from guerdon.types import Message, ToolCall, message_text, prompt_text

CALL = {"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 3, "b": "四"}}}
CALLED = (ToolCall("add", '{"a": 3, "b": "四"}', "c1"),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"role": "user", "content": "Hi"}, Message("user", "Hi")),
        ({"from": "human", "value": "Hi"}, Message("user", "Hi")),
        ({"from": "gpt", "value": "Hi"}, Message("assistant", "Hi")),
        ({"role": "Developer", "content": "Be brief."}, Message("system", "Be brief.")),
        ({"role": "user", "content": [{"type": "text", "text": "a"}, {"text": "b"}, "c"]}, Message("user", "a\nb\nc")),
        ({"role": "assistant", "content": [{"type": "output_text", "text": "a"}]}, Message("assistant", "a")),
        ({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, Message("assistant", "No.")),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"}, {"type": "text", "text": "a"}]},
            Message("assistant", "a", reasoning_content="t"),
        ),
        ({"role": "assistant", "content": None, "tool_calls": [CALL]}, Message("assistant", "", CALLED)),
        ({"role": "assistant", "content": "One.", "tool_calls": (CALL,)}, Message("assistant", "One.", CALLED)),
        ({"role": "assistant", "tool_calls": None, "content": "a"}, Message("assistant", "a")),
        (
            {"role": "assistant", "function_call": {"name": "add", "arguments": '{"a":3}'}},
            Message("assistant", "", (ToolCall("add", '{"a": 3}'),)),
        ),
        (
            {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 3}}'},
            Message("assistant", "", (ToolCall("add", '{"a": 3}'),)),
        ),
        (
            {"role": "tool_call", "content": '[{"name": "f", "arguments": {}}, {"name": "g"}]'},
            Message("assistant", "", (ToolCall("f", "{}"), ToolCall("g", "{}"))),
        ),
        ({"from": "observation", "value": "7"}, Message("tool", "7")),
        (
            {"role": "tool", "content": "7", "name": "add", "tool_call_id": "c1"},
            Message("tool", "7", name="add", tool_call_id="c1"),
        ),
        ({"role": "assistant", "reasoning_content": "t"}, Message("assistant", "", reasoning_content="t")),
        ({"role": "assistant", "content": "a", "reasoning": "t"}, Message("assistant", "a", reasoning_content="t")),
        ({"role": "assistant", "content": "a", "thinking": "t"}, Message("assistant", "a", reasoning_content="t")),
        (Message("user", "Hi"), Message("user", "Hi")),
    ],
)  # fmt: skip
def test_one_message(given: Any, expected: Message) -> None:
    assert parse_message(given) == expected


def test_objects_of_client_libraries_are_read() -> None:
    given = SimpleNamespace(model_dump=lambda: {"role": "assistant", "content": "a", "tool_calls": None})
    assert parse_message(given) == Message("assistant", "a")


def test_arguments_as_object_and_as_text_are_the_same_call() -> None:
    as_text = CALL | {"function": {"name": "add", "arguments": '{"a":3,"b":"\\u56db"}'}}
    messages = [parse_message({"role": "assistant", "content": "", "tool_calls": [call]}) for call in (CALL, as_text)]
    assert messages[0] == messages[1]


def test_malformed_arguments_of_a_policy_are_kept_as_they_are() -> None:
    (call,) = parse_message(
        {"role": "assistant", "tool_calls": [{"function": {"name": "add", "arguments": "{a:"}}]}
    ).tool_calls
    assert call.arguments == "{a:"
    assert messages_to_dicts([Message("assistant", "", (call,))])[0]["tool_calls"][0]["function"]["arguments"] == "{a:"


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        ("hello", "messages must be a list of {role, content}, got text"),
        ({"role": "user", "content": "x"}, "messages must be a list of {role, content}, got an object"),
        (["hello"], r"messages\[0\] must be an object {role, content}, got text"),
        ([{"content": "x"}], "has the role None; known: user, assistant, system, tool"),
        ([{"role": "judge", "content": "x"}], "has the role 'judge'"),
        ([{"role": "user", "content": 7}], "content must be text, null or a list of text parts, got a number"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "content part that is not text .image_url."),
        ([{"role": "assistant", "tool_calls": "f()"}], r"messages\[0\].tool_calls must be a list, got text"),
        ([{"role": "assistant", "tool_calls": [{"function": {}}]}], r"tool_calls\[0\] must be an object"),
        ([{"from": "function_call", "value": "add 3"}], "must be the JSON text of a tool call"),
        ([{"role": "tool", "content": "7", "name": 7}], r"messages\[0\].name must be text, got a number"),
    ],
)
def test_what_is_no_message_is_an_error_that_says_where(given: Any, fault: str) -> None:
    with pytest.raises(DataError, match=fault.replace("{", r"\{").replace("}", r"\}")):
        parse_messages(given)


def test_a_system_turn_that_says_nothing_is_left_out() -> None:
    assert parse_messages([{"role": "system", "content": None}, {"role": "user", "content": "Hi"}]) == (
        Message("user", "Hi"),
    )


# --- the one text of a message


def test_tool_calls_and_reasoning_are_part_of_the_text() -> None:
    assert message_text(Message("assistant", "", CALLED)) == (
        '<tool_call>\n{"name": "add", "arguments": {"a": 3, "b": "四"}}\n</tool_call>'
    )
    both = Message("assistant", "One moment.", CALLED * 2, reasoning_content="a tool will do")
    text = message_text(both)
    assert text.startswith("<think>\na tool will do\n</think>\n\nOne moment.\n<tool_call>\n")
    assert text.count("</tool_call>") == 2
    assert message_text(Message("assistant", "plain")) == "plain"


def test_prompts_that_differ_in_a_tool_call_alone_are_different_prompts() -> None:
    ask, result = Message("user", "3 + 4?"), Message("tool", "7")
    texts = {prompt_text((ask, Message("assistant", "", calls), result)) for calls in (CALLED, ())}
    assert len(texts) == 2


def test_a_response_of_one_turn_and_of_several() -> None:
    call, result, end = Message("assistant", "", CALLED), Message("tool", "7"), Message("assistant", "It is 7.")
    assert response_text([end]) == "It is 7."
    assert response_text([call, result, end]) == f"assistant: {message_text(call)}\ntool: 7\nassistant: It is 7."


def test_a_plain_prompt_is_what_the_user_says() -> None:
    assert prompt_turns("Hi") == (Message("user", "Hi"),) == prompt_turns((Message("user", "Hi"),))


# --- back to dicts

names = st.text(min_size=1, max_size=5)
calls = st.builds(
    ToolCall,
    names,
    st.dictionaries(names, st.integers() | st.text() | st.none(), max_size=2).map(
        lambda arguments: json.dumps(arguments, ensure_ascii=False)
    )
    | st.just("[1]")
    | st.just("{a"),
    st.text(max_size=3),
)
messages = st.builds(
    Message,
    st.sampled_from(["user", "assistant", "tool"]),
    st.text(),
    st.lists(calls, max_size=2).map(tuple),
    st.text(),
    st.text(),
    st.text(),
)


@given(st.lists(messages), st.booleans())
def test_what_is_given_as_dicts_reads_back_equal(chat: list[Message], json_arguments: bool) -> None:
    assert parse_messages(messages_to_dicts(chat, json_arguments=json_arguments)) == tuple(chat)


def test_templates_get_objects_and_endpoints_text() -> None:
    chat = [Message("assistant", "", CALLED)]
    for_template, for_endpoint = (messages_to_dicts(chat, json_arguments=flag)[0] for flag in (False, True))
    assert for_template == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert for_endpoint["tool_calls"][0]["function"]["arguments"] == '{"a": 3, "b": "四"}'
