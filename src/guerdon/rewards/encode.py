"""Text to tokens, exactly as the score contract says."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from guerdon.errors import TextError
from guerdon.packing import Tokens
from guerdon.rewards.contract import ScoreContract
from guerdon.text.chat import render_chat
from guerdon.types import Message, Overlong, Prompt, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

UNREADABLE_SHARE = 0.10
"""Above this share of unknown tokens the model cannot be said to read the text."""

_CHUNK = 1024
"""Texts handed to the tokenizer at a time: bounds memory, and keeps its threads busy."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token sequences, and what was lost on the way."""

    tokens: list[Tokens]
    prompts_cut: int
    responses_cut: int
    unknown: int
    """Tokens that are [UNK]."""
    total: int
    """Tokens of text, special ones not counted."""

    def warnings(self) -> list[str]:
        """What the user must know about how the texts were read; empty if nothing."""
        found = []
        if self.total and self.unknown / self.total > UNREADABLE_SHARE:
            found.append(
                f"the model cannot read {self.unknown / self.total:.0%} of the text ([UNK] tokens): its scores mean "
                "little here; choose a backbone whose vocabulary covers the language (e.g. --backbone smollm2)"
            )
        if self.prompts_cut:
            found.append(f"{self.prompts_cut} of {len(self.tokens)} prompts were cut on the left to fit max_length")
        if self.responses_cut:
            found.append(f"{self.responses_cut} of {len(self.tokens)} responses were cut at the end to fit max_length")
        return found


class Encoder:
    """Renders and tokenizes under one contract."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, contract: ScoreContract, overlong: Overlong) -> None:
        self.tokenizer = tokenizer
        self.contract = contract
        self.overlong = overlong

    def encode(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> Encoded:
        """Tokenizes n texts.

        Raises:
            ValueError: the lengths differ.
            TextError: a text is too long and `overlong` does not allow to cut it.
        """
        if len(prompts) != len(responses):
            raise ValueError(f"one prompt per response: got {len(prompts)} prompts and {len(responses)} responses")
        pieces: list[_Piece] = []
        for start in range(0, len(prompts), _CHUNK):
            stop = start + _CHUNK
            if self.contract.rendering == "pair":
                pieces += self._pairs(prompts[start:stop], responses[start:stop])
            else:
                pieces += self._texts(prompts[start:stop], responses[start:stop])
        tokens, prompts_cut, responses_cut = [], 0, 0
        for number, piece in enumerate(pieces):
            fitted, cut_prompt, cut_response = self._fit(piece, number, responses)
            tokens.append(fitted)
            prompts_cut += cut_prompt
            responses_cut += cut_response
        unknown_id = self.tokenizer.unk_token_id
        ignore = set(self.tokenizer.all_special_ids) - {unknown_id}
        text_ids = [i for piece in pieces for i in piece.ids if i not in ignore]
        unknown = 0 if unknown_id is None else text_ids.count(unknown_id)
        if unknown_id in (self.tokenizer.eos_token_id, self.tokenizer.bos_token_id):
            unknown = 0  # byte-level vocabularies know every text and reuse a special token as "unknown"
        return Encoded(tokens, prompts_cut, responses_cut, unknown, len(text_ids))

    def _pairs(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[_Piece]:
        coded = self.tokenizer([prompt_text(p) for p in prompts], list(responses), truncation=False, verbose=False)
        types = coded.get("token_type_ids")
        return [
            _Piece(
                coded["input_ids"][i],
                types[i] if types else None,
                [_PART[sequence] for sequence in coded.sequence_ids(i)],
            )
            for i in range(len(responses))
        ]

    def _texts(self, prompts: Sequence[Prompt], responses: Sequence[str]) -> list[_Piece]:
        chat = self.contract.rendering == "chat"
        rendered = [self._render(prompt, response) for prompt, response in zip(prompts, responses, strict=True)]
        coded = self.tokenizer(
            [text for text, _, _ in rendered],
            add_special_tokens=not chat,  # a chat template writes its own BOS: adding one more would double it
            truncation=False,
            return_offsets_mapping=True,
            verbose=False,
        )
        return [
            self._piece(list(coded["input_ids"][i]), coded["offset_mapping"][i], coded.sequence_ids(i), start, stop)
            for i, (_, start, stop) in enumerate(rendered)
        ]

    def _piece(
        self,
        ids: list[int],
        offsets: Sequence[tuple[int, int]],
        sequences: Sequence[int | None],
        start: int,
        stop: int,
    ) -> _Piece:
        """A tokenized text whose characters `start` to `stop` are the response."""
        parts = [
            "special" if sequence is None or begin >= stop else "prompt" if end <= start else "response"
            for (begin, end), sequence in zip(offsets, sequences, strict=True)
        ]
        if ids and ids[0] == self.tokenizer.bos_token_id:  # where the chat template wrote it
            parts[0] = "special"
        eos = self.tokenizer.eos_token_id
        if self.contract.ends_with_eos and (not ids or ids[-1] != eos):
            ids.append(eos)
            parts.append("special")
        return _Piece(ids, None, parts)

    def _render(self, prompt: Prompt, response: str) -> tuple[str, int, int]:
        """The text, and the characters at which the response starts and stops."""
        if self.contract.rendering == "plain":
            head = prompt_text(prompt)
            head = head + "\n\n" if head else ""
            return head + response, len(head), len(head) + len(response)
        turns = (Message("user", prompt),) if isinstance(prompt, str) else prompt
        text = self._chat((*turns, Message("assistant", response)))
        said = response.strip()  # many templates strip
        # Searched for in front of what closes a turn: the response "end" stands in "<|im_end|>" as well.
        start = max(text.rfind(said, 0, len(text) - self._closing), 0)
        return text, start, start + len(said)

    def _chat(self, turns: Sequence[Message]) -> str:
        return render_chat(self.tokenizer, turns, whose="the model")

    @cached_property
    def _closing(self) -> int:
        """Characters that the chat template writes after the content of the last turn."""
        probe = "content"
        text = self._chat((Message("user", probe), Message("assistant", probe)))
        return len(text) - (text.rfind(probe) + len(probe))

    def _fit(self, piece: _Piece, number: int, responses: Sequence[str]) -> tuple[Tokens, bool, bool]:
        """Cuts a sequence to `max_length`; special tokens and, where possible, the response stay."""
        surplus = len(piece.ids) - self.contract.max_length
        if surplus <= 0:
            return piece.tokens(range(len(piece.ids))), False, False
        of_prompt = [i for i, part in enumerate(piece.parts) if part == "prompt"]
        of_response = [i for i, part in enumerate(piece.parts) if part == "response"]
        too_long = surplus > len(of_prompt)
        if self.overlong == "error":
            what = "response alone" if too_long else "prompt and response"
            raise TextError(
                number,
                f"too long: {what} takes {len(piece.ids)} tokens, the model reads {self.contract.max_length}; "
                f"the response begins {responses[number][:60]!r}. Fix: shorten it, "
                "choose a model that reads more, raise --max-length if the model allows, or pass --overlong cut",
            )
        drop = set(of_prompt[:surplus])
        if too_long:
            drop |= set(of_response[len(of_response) - (surplus - len(of_prompt)) :])
        return piece.tokens([i for i in range(len(piece.ids)) if i not in drop]), bool(of_prompt), too_long


_PART = {None: "special", 0: "prompt", 1: "response"}


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sequence before cutting; `parts` says of each token whether it is `special`, `prompt` or `response`."""

    ids: list[int]
    types: list[int] | None
    parts: list[str]

    def tokens(self, keep: Sequence[int]) -> Tokens:
        types = None if self.types is None else tuple(self.types[i] for i in keep)
        return Tokens(tuple(self.ids[i] for i in keep), types)
