"""Where a response stands in a rendered chat, under templates that strip, drop, rewrite, refuse, or read the clock."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from guerdon.errors import DataError
from guerdon.text.chat import ChatRenderer, align, dropped_characters
from guerdon.types import Message, ToolCall

THOUGHT = "<think>six sevens: 42</think>\n42"


def template(assistant: str = "m.content", *, opening: str = "<|a|>", calls: str = "") -> str:
    """A chat template; `assistant` is what it makes of the assistant's turns, `opening` its generation prompt."""
    return (
        "{% for m in messages %}{{ '<|' + m.role[0] + '|>' }}{% if m.role == 'assistant' %}{{ " + assistant + " }}"
        "{% else %}{{ m.content }}{% endif %}" + calls + "{{ '<|end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '" + opening + "' }}{% endif %}"
    )


PLAIN = template()
STRIPS = template("m.content | trim")
SPACED = (
    "{% for m in messages %}{{ '[INST] ' + m.content + ' [/INST]' if m.role == 'user' else ' ' + m.content + '</s>' }}"
    "{% endfor %}"
)
"""As Mistral's: no start of the assistant's turn but the end of the user's."""
DROPS = template("m.content.split('</think>')[-1] | trim")
"""As DeepSeek-R1's: of an assistant's turn only what follows the reasoning is kept."""
DROPS_AND_OPENS = template("m.content.split('</think>')[-1] | trim", opening="<|a|><think>\n")
"""As the newer one of DeepSeek-R1, whose generation prompt opens the reasoning."""
REWRITES = template("m.content | replace('<think>', '[because ') | replace('</think>', ']')")
QWEN3 = template(
    "('<think>\n' + (m.content.split('</think>')[0].split('<think>')[-1].strip('\n') if '</think>' in m.content "
    "else '') + '\n</think>\n\n' if loop.last else '') + m.content.split('</think>')[-1].lstrip('\n')"
)
"""As Qwen3's: the last turn always has a place for reasoning, and earlier turns lose theirs."""
DATED = "{{ '<|s|>Today is ' + strftime_now('%d %b %Y') + '<|end|>' }}" + PLAIN
REFUSES_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + PLAIN
)
"""As Gemma's."""
ALTERNATES = (
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{% endfor %}" + PLAIN
)
"""As Mistral's and Gemma's."""
TOOLS = template(
    calls="{% for call in m.tool_calls or [] %}{{ '<tool_call>\n{\"name\": \"' + call.function.name + '\", ' }}"
    "{{ '\"arguments\": ' + (call.function.arguments | tojson) + '}\n</tool_call>' }}{% endfor %}"
)
"""As Qwen2.5's and Hermes'."""


def tokenizer(template: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer(BPE()), chat_template=template)


def renderer(template: str, **options: Any) -> ChatRenderer:
    return ChatRenderer(tokenizer(template), **options)


def response_in(template: str, response: str, prompt: Any = "6 * 7?", **options: Any) -> tuple[str, str, str]:
    """What stands before the response, the response, and what stands after it."""
    found = renderer(template, **options).chat(prompt, response)
    return found.text[: found.start], found.text[found.start : found.stop], found.text[found.stop :]


@pytest.mark.parametrize("response", ["42", "  42\n", "", "end", "<|end|>\n", "6 * 7?", "first", "other"])
@pytest.mark.parametrize("template", [PLAIN, STRIPS, SPACED, DATED, TOOLS])
def test_a_response_is_where_the_template_put_it(template: str, response: str) -> None:
    before, found, after = response_in(template, response)
    assert found.strip() == response.strip()
    empty = response_in(template, "")
    assert (before.rstrip(), after) == (empty[0].rstrip(), empty[2])


@given(st.text(alphabet="ab <>/|endthink\n", max_size=30), st.text(alphabet="ab <|>end\n", min_size=1, max_size=20))
def test_nothing_of_a_response_is_lost_where_the_template_keeps_it(response: str, prompt: str) -> None:
    before, found, after = response_in(PLAIN, response, prompt)
    assert found == response
    assert before + found + after == f"<|u|>{prompt}<|end|>\n<|a|>{response}<|end|>\n"
    assert renderer(PLAIN).chat(prompt, response).dropped == 0


def test_a_dropped_reasoning_is_counted_and_the_answer_found() -> None:
    for template in (DROPS, DROPS_AND_OPENS):
        assert response_in(template, THOUGHT)[1:] == ("42", "<|end|>\n")
        assert renderer(template).chat("6 * 7?", THOUGHT).dropped == len("sixsevens:42")
        assert renderer(template).chat("6 * 7?", "42").dropped == 0


def test_a_dropped_reasoning_is_kept_where_asked() -> None:
    head = "<|u|>6 * 7?<|end|>\n<|a|>"
    assert response_in(DROPS, THOUGHT, keep_reasoning=True) == (head, THOUGHT, "<|end|>\n")
    opened = response_in(DROPS_AND_OPENS, THOUGHT, keep_reasoning=True)
    assert opened == (head + "<think>\n", "six sevens: 42</think>\n42", "<|end|>\n")
    assert response_in(DROPS, "42", keep_reasoning=True) == (head, "42", "<|end|>\n")


def test_what_a_template_rewrites_is_its_own_length() -> None:
    before, found, after = response_in(REWRITES, THOUGHT, "six sevens " * 200)
    assert (before[-5:], found, after) == ("<|a|>", "[because six sevens: 42]\n42", "<|end|>\n")


def test_a_place_for_reasoning_is_not_the_response() -> None:
    before, found, _ = response_in(QWEN3, "42")
    assert (found, before[-24:]) == ("42", "<|a|><think>\n\n</think>\n\n")
    assert response_in(QWEN3, THOUGHT)[1] == "<think>\nsix sevens: 42\n</think>\n\n42"
    assert renderer(QWEN3).chat("6 * 7?", THOUGHT).dropped == 0


def test_earlier_reasoning_that_the_template_leaves_out_is_told() -> None:
    turns = (Message("user", "Hi"), Message("assistant", "Hello", reasoning_content="Greet."), Message("user", "Bye"))
    assert renderer(PLAIN).chat(turns, "Bye").earlier_reasoning_dropped
    assert not renderer(PLAIN).chat(turns[:1], "Bye").earlier_reasoning_dropped


# --- the clock


class Tomorrow(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return datetime.datetime(2099, 1, 1, tzinfo=tz)


def test_a_template_reads_the_same_day_tomorrow(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers.utils import chat_template_utils

    today = renderer(DATED).chat("Hi", "Hello")
    monkeypatch.setattr(chat_template_utils, "datetime", Tomorrow)
    chat_template_utils._compile_jinja_template.cache_clear()
    assert "2099" in tokenizer(DATED).apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert renderer(DATED).chat("Hi", "Hello") == today
    assert "Today is 26 Jul 2024" in today.text
    assert "Today is 01 Mar 2025" in renderer(DATED, template_date="2025-03-01").prompt("Hi")


# --- roles and tools


@pytest.mark.parametrize(
    ("template", "turns", "fault"),
    [
        (REFUSES_SYSTEM, ("system", "user"), "turns system, user: System role not supported.*a policy whose template"),
        (ALTERNATES, ("user", "user"), "the policy's chat template refuses .* user, user: Roles must alternate"),
    ],
)
def test_roles_that_a_template_refuses_are_an_error_that_names_them(
    template: str, turns: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        renderer(template, owner="policy").prompt(tuple(Message(role, "x") for role in turns))


CALLING = (
    Message("user", "Rain in Ghent?"),
    Message("assistant", "", (ToolCall("forecast", '{"town": "Ghent"}'),)),
    Message("tool", "rain 80%", name="forecast"),
)
CALL = '<tool_call>\n{"name": "forecast", "arguments": {"town": "Ghent"}}\n</tool_call>'


def test_tool_calls_reach_the_model_whether_or_not_the_template_knows_them() -> None:
    knows, knows_not = (renderer(template).prompt(CALLING) for template in (TOOLS, PLAIN))
    assert knows.count(CALL) == knows_not.count(CALL) == 1
    assert knows_not == f"<|u|>Rain in Ghent?<|end|>\n<|a|>{CALL}<|end|>\n<|t|>rain 80%<|end|>\n<|a|>"


# --- a conversation that goes on


@pytest.mark.parametrize("template", [PLAIN, STRIPS, DROPS, DROPS_AND_OPENS, QWEN3])
def test_what_follows_a_response_is_the_same_whatever_it_was(template: str) -> None:
    opening = "<think>\n" if template == DROPS_AND_OPENS else ""
    for response in ("42", THOUGHT, "<|end|>\n"):
        turns = (Message("user", "6 * 7?"), Message("assistant", response), Message("user", "Sure?"))
        assert renderer(template).between(turns) == f"<|end|>\n<|u|>Sure?<|end|>\n<|a|>{opening}"


def test_a_response_continues_its_prompt() -> None:
    for template in (PLAIN, STRIPS, QWEN3):
        one = renderer(template)
        assert one.prompt("Hi") + one.continuation("Hi", "Hello") == one.chat("Hi", "Hello").text
    one = renderer(DROPS_AND_OPENS, keep_reasoning=True)
    assert one.continuation("6 * 7?", THOUGHT) == "six sevens: 42</think>\n42<|end|>\n"


# --- which characters


@pytest.mark.parametrize(
    ("response", "rendered", "dropped"),
    [
        ("a b", "a b", 0),
        (" a b\n", "a b", 0),
        ("<think>x</think>a", "<think>\nx\n</think>\n\na", 0),
        ("<think>x</think>a", "a", 1),
        ("a", "<think></think>a", 0),
        ("why x? so y", "[why x?] y", 2),
        ("abc", "", 3),
        ("<think>why</think>a", "[because why] a", 0),
    ],
)
def test_dropped_characters(response: str, rendered: str, dropped: int) -> None:
    assert dropped_characters(response, rendered) == dropped


@pytest.mark.parametrize(
    ("rendered", "response"),
    [("42", " 42\n"), ("42", THOUGHT), ("<think>\nsix sevens: 42\n</think>\n\n42", THOUGHT), ("", "abc")],
)
def test_aligned_pieces_are_equal_characters(rendered: str, response: str) -> None:
    pieces = align(rendered, response)
    for start, given_at, length in pieces:
        assert rendered[start : start + length] == response[given_at : given_at + length]
    assert sum(length for _, _, length in pieces) >= len("".join(rendered.split())) - rendered.count("\n")
