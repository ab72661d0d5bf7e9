"""A chat through the chat template of a tokenizer, and where in the text the response stands.

The place of a response comes from how the template was applied. Two renderings that differ in the response alone tell
what the template writes around it; what stands between is what of the response reached the text, whatever the template
made of it (many strip it; some keep only what follows `</think>`, or rewrite the reasoning).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from typing import Any

from guerdon.errors import DataError
from guerdon.text.messages import messages_to_dicts, prompt_turns
from guerdon.types import Message, Prompt, ToolCall, message_text

TEMPLATE_DATE = "2024-07-26"
"""The day that chat templates are told, unless a contract says another: the one that Llama's writes without a clock."""

_CLOCK = "{% macro strftime_now(format) %}"
_PROBES = ("first", "other")
"""Two responses without a common start or end."""
_TAG = re.compile(r"</?\w+>")
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A prompt and a response as the model reads them, special tokens written out."""

    text: str
    start: int
    """Where the response begins in the text."""
    stop: int
    """Where it ends, in front of the template's end of turn."""
    dropped: int = 0
    """Characters of the response, white space and tags aside, that the template left out."""
    earlier_reasoning_dropped: bool = False
    """Whether the template left out the reasoning of an earlier turn."""


class ChatRenderer:
    """Applies the chat template of a tokenizer, under a clock that stands still."""

    def __init__(
        self,
        tokenizer: Any,
        *,
        owner: str = "model",
        template_date: str = TEMPLATE_DATE,
        keep_reasoning: bool = False,
    ) -> None:
        """Takes a tokenizer that has a chat template, and whose (`owner`) it is, for error messages.

        `template_date` is the day, as YYYY-MM-DD, that the template reads from its clock (`strftime_now`).
        `keep_reasoning`: where the template leaves out a part of a response, the response is written as it is behind
        the generation prompt.
        """
        self._tokenizer, self._owner, self._keep_reasoning = tokenizer, owner, keep_reasoning
        self._date = template_date

    def prompt(self, prompt: Prompt) -> str:
        """The text that a response follows: the prompt, and the start of the assistant's turn.

        Raises:
            DataError: the template refuses the chat, for its roles or their order.
        """
        return self.turns(prompt_turns(prompt), generation_prompt=True)

    def turns(self, turns: Sequence[Message], *, generation_prompt: bool = False) -> str:
        """The text of a chat, as it stands or with the start of the assistant's next turn."""
        from jinja2 import TemplateError

        if any(turn.tool_calls for turn in turns) and not self._reads_tool_calls:
            turns = [Message(turn.role, message_text(replace(turn, reasoning_content=""))) for turn in turns]
        try:
            return self._apply(turns, generation_prompt)
        except TemplateError as error:
            raise DataError(
                f"the {self._owner}'s chat template refuses a chat with the turns "
                f"{', '.join(turn.role for turn in turns)}: {error}. Fix: change the roles, or choose a {self._owner} "
                "whose template has them"
            ) from error

    def chat(self, prompt: Prompt, response: str) -> RenderedChat:
        """A prompt and a response, and where the response stands.

        Raises:
            DataError: the template refuses the chat, for its roles or their order.
        """
        turns = prompt_turns(prompt)
        text = self.turns((*turns, Message("assistant", response)))
        forgets = any(turn.reasoning_content.strip() not in text for turn in turns)
        stop = len(text) - len(self.closing)
        if text.endswith(self.closing):  # the usual case: the response stands in front of it, as it is or stripped
            for kept in (response, response.strip()):
                if text.endswith(kept, 0, stop):
                    return RenderedChat(text, stop - len(kept), stop, 0, forgets)
        opening, closing = self._around(turns)
        begun = self.prompt(prompt)
        known = next((start for start in (opening, begun) if text.startswith(start)), _common_prefix(text, opening))
        start, stop = len(known), max(len(known), len(text) - len(_common_suffix(text, closing)))
        dropped = dropped_characters(response, text[start:stop])
        if dropped and self._keep_reasoning:
            kept = response.strip()
            if begun.rstrip().endswith("<think>"):
                kept = kept.removeprefix("<think>").lstrip("\n")
            return RenderedChat(begun + kept + closing, len(begun), len(begun + kept), 0, forgets)
        return RenderedChat(text, start, stop, dropped, forgets)

    def continuation(self, prompt: Prompt, response: str) -> str:
        """What follows the text of the prompt where the model gives this response: it, and the end of its turn."""
        begun, found = self.prompt(prompt), self.chat(prompt, response)
        return found.text.removeprefix(begun) if found.text.startswith(begun) else found.text[found.start :]

    def between(self, conversation: Sequence[Message]) -> str:
        """What follows the last response of a chat, which one turn answers, up to where the next one begins."""
        *before, _, reply = conversation
        chats = ((*before, Message("assistant", probe), reply) for probe in _PROBES)
        return _common_suffix(*(self.turns(turns, generation_prompt=True) for turns in chats))

    @cached_property
    def closing(self) -> str:
        """What the template usually writes after a response."""
        return self._around([Message("user", _PROBES[0])])[1]

    def _around(self, turns: Sequence[Message]) -> tuple[str, str]:
        """What the template writes before and after the response to a chat."""
        texts = [self.turns((*turns, Message("assistant", probe))) for probe in _PROBES]
        return _common_prefix(*texts), _common_suffix(*texts)

    @cached_property
    def _reads_tool_calls(self) -> bool:
        """Whether the name of a tool that is called reaches the text."""
        ask = Message("user", "Add.")
        calls = (Message("assistant", "", (ToolCall(name, "{}", "call12345"),)) for name in _PROBES)
        try:
            first, other = (self._apply([ask, call], False) for call in calls)
        except Exception:  # a template fails in many ways on what it does not know
            return False
        return first != other

    def _apply(self, turns: Sequence[Message], generation_prompt: bool) -> str:
        template = self._tokenizer.get_chat_template()
        return str(
            self._tokenizer.apply_chat_template(
                messages_to_dicts(turns),
                chat_template=with_still_clock(template, self._date),
                tokenize=False,
                add_generation_prompt=generation_prompt,
            )
        )


def with_still_clock(template: str, template_date: str) -> str:
    """A chat template whose clock (`strftime_now`) always shows one day; as it is where it reads no clock.

    Transformers lets no function of ours into a template, so a macro in front of it puts the day (YYYY-MM-DD) into a
    format. A template that has one already keeps its day.
    """
    if "strftime_now" not in template or template.startswith(_CLOCK):
        return template
    day = date.fromisoformat(template_date)
    known = " | ".join(f"replace('%{letter}', '{day.strftime('%' + letter)}')" for letter in "aAbBcdeHIjmMpSuUwWxXyY%")
    return f"{_CLOCK}{{{{ format | {known} }}}}{{% endmacro %}}\n{template}"


def _common_prefix(first: str, second: str) -> str:
    shorter = min(len(first), len(second))
    return first[: next((i for i in range(shorter) if first[i] != second[i]), shorter)]


def _common_suffix(first: str, second: str) -> str:
    return _common_prefix(first[::-1], second[::-1])[::-1]


def dropped_characters(response: str, rendered: str) -> int:
    """How many characters of a response, white space and tags aside, are not in what a template made of it."""
    response, rendered = (_TAG.sub(" ", text) for text in (response, rendered))
    given, kept = ("".join(text.split()) for text in (response, rendered))
    if kept.endswith(given):
        return 0
    if given.endswith(kept):
        return len(given) - len(kept)
    words = _WORD.findall(response)
    found = _matching_blocks(words, _WORD.findall(rendered))
    return len(given) - sum(len(word) for block in found for word in words[block.a : block.a + block.size])


def align(rendered: str, response: str) -> list[tuple[int, int, int]]:
    """Where the pieces of a response stand in what a template made of it.

    Returns:
        (start in `rendered`, start in `response`, length) of each piece, in order.
    """
    for core, whole in ((rendered, response), (rendered.strip(), response.rstrip())):
        if whole.endswith(core):
            return [(rendered.find(core), len(whole) - len(core), len(core))]
    ours, theirs = (list(_WORD.finditer(text)) for text in (rendered, response))
    blocks = _matching_blocks([word[0] for word in ours], [word[0] for word in theirs])
    return [
        (ours[block.a + i].start(), theirs[block.b + i].start(), len(ours[block.a + i][0]))
        for block in blocks
        for i in range(block.size)
    ]


def _matching_blocks(first: list[str], second: list[str]) -> list[difflib.Match]:
    return difflib.SequenceMatcher(None, first, second, autojunk=False).get_matching_blocks()
