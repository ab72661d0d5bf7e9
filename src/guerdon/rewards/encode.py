"""Text to tokens, exactly as the score contract says."""

from __future__ import annotations

import logging
import re
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal

from guerdon.collation import Tokens
from guerdon.errors import DataError, TextError
from guerdon.rewards.contract import ScoreContract
from guerdon.rewards.process import with_marks
from guerdon.text.chat import ChatRenderer, RenderedChat, align
from guerdon.text.vocabulary import UNREADABLE_SHARE, unknown_token_id
from guerdon.types import Overlong, Prompt, Prompts, Responses, prompt_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

_CHUNK = 1024
"""Texts handed to the tokenizer at a time: bounds memory, and keeps its threads busy."""

Part = Literal["prompt", "response", "special"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How texts were read, and what was lost on the way."""

    texts: int = 0
    prompts_cut: int = 0
    """Prompts that were cut on the left to fit `max_length`."""
    responses_cut: int = 0
    """Responses that were cut at the end as well."""
    unknown: int = 0
    """Tokens that are [UNK]."""
    total: int = 0
    """All tokens but the special ones that the tokenizer adds."""
    characters: int = 0
    """Characters of the responses."""
    dropped: int = 0
    """Characters of the responses that the chat template left out."""
    responses_dropped: int = 0
    """Responses of which it left out some."""
    reasoning_dropped: int = 0
    """Prompts of which it left out the reasoning of earlier turns."""
    with_control_tokens: int = 0
    """Responses that contain special tokens of the model, written out."""

    def __add__(self, other: Reading) -> Reading:
        """The counts of both."""
        return Reading(**{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(Reading)})

    def warnings(self) -> dict[str, str]:
        """What the user must know about how the texts were read, by kind; empty if nothing."""
        found = {}
        if self.total and self.unknown / self.total > UNREADABLE_SHARE:
            found["unknown"] = (
                f"the model cannot read {self.unknown / self.total:.0%} of the text ([UNK] tokens): its scores mean "
                "little here; choose a model whose vocabulary covers the language (to train one: --backbone smollm2)"
            )
        if self.responses_dropped:
            found["dropped"] = (
                f"the chat template leaves out parts of {self.responses_dropped:,} of {self.texts:,} responses "
                f"({self.dropped / max(1, self.characters):.0%} of the characters, usually the reasoning in <think>): "
                "the model does not read them. A model that is trained with --keep-reasoning does"
            )
        if self.reasoning_dropped:
            found["reasoning"] = (
                f"the chat template leaves out the reasoning of earlier turns in {self.reasoning_dropped:,} of "
                f"{self.texts:,} prompts"
            )
        if self.with_control_tokens:
            found["control tokens"] = (
                f"{self.with_control_tokens:,} of {self.texts:,} responses contain special tokens of the model, "
                "written out: it reads them as its own, as the end of a turn or text. Where they are left over from a "
                "template, take them out of the data"
            )
        for kind, count, end in (
            ("prompts", self.prompts_cut, "on the left"),
            ("responses", self.responses_cut, "at the end"),
        ):
            if count:
                found[kind] = f"{count:,} of {self.texts:,} {kind} were cut {end} to fit max_length"
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded(Reading):
    """Token sequences, and how the texts were read."""

    tokens: list[Tokens]
    cut_responses: tuple[int, ...] = ()
    """Indices of the responses that were cut."""


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """What a token is of."""

    part: Part
    start: int = 0
    """First character of the prompt (as `Located.prompt` has it) or of the response; special tokens have none."""
    stop: int = 0


@dataclass(frozen=True, slots=True)
class Located:
    """A text as the model reads it, token by token."""

    tokens: Tokens
    spans: tuple[TokenSpan, ...]
    """One for each token."""
    prompt: str
    """What the prompt became: its text, or all that the chat template wrote up to the response."""


class Encoder:
    """Renders and tokenizes under one contract."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, contract: ScoreContract, overlong: Overlong) -> None:
        self.tokenizer = tokenizer
        self.contract = contract
        self.overlong = overlong
        self.totals = Reading()
        """How all texts were read so far that were given to `report`."""
        self._reported: dict[str, str] = {}
        self._lock = threading.Lock()
        self._mark = tokenizer.convert_tokens_to_ids(contract.step_mark) if contract.step_mark else None
        within = (contract.step_mark, tokenizer.mask_token, tokenizer.unk_token)  # these end nothing
        control = [re.escape(token) for token in tokenizer.all_special_tokens if token not in within]
        self._control = re.compile("|".join(control) or "(?!)")
        self._eos, self._unknown = tokenizer.eos_token_id, unknown_token_id(tokenizer)
        self._adds_special_tokens = contract.rendering != "chat"  # a template writes its own BOS: no second one
        self._renderer = ChatRenderer(
            tokenizer, template_date=contract.template_date, keep_reasoning=contract.keep_reasoning
        )

    def encode(self, prompts: Prompts, responses: Responses) -> Encoded:
        """Tokenizes n texts; none has more than the contract's `max_length` tokens.

        Raises:
            ValueError: the lengths differ.
            TextError: the chat template refuses a chat, or a text is too long and `overlong` does not allow to cut it.
        """
        tokens: list[Tokens] = []
        counts: Counter[str] = Counter()
        cut: list[int] = []
        pair, unknown, longest = self.contract.rendering == "pair", self._unknown, self.contract.max_length
        special = self.tokenizer.num_special_tokens_to_add(pair=pair) if self._adds_special_tokens else 0
        for texts, coded in self._chunks(prompts, responses):
            types = coded.get("token_type_ids") if pair else None
            counts["total"] += sum(map(len, coded["input_ids"])) - special * len(texts)
            counts["unknown"] += 0 if unknown is None else sum(ids.count(unknown) for ids in coded["input_ids"])
            counts["dropped"] += sum(text.dropped for text in texts)
            counts["responses_dropped"] += sum(text.dropped > 0 for text in texts)
            counts["reasoning_dropped"] += sum(text.earlier_reasoning_dropped for text in texts)
            for at, (text, ids) in enumerate(zip(texts, coded["input_ids"], strict=True)):
                ended = self._ended(ids)
                sequence = Tokens(tuple(ended), None if types is None else _as_long(types[at], ended))
                if len(sequence) > longest or self._mark is not None:
                    sequence, _, prompt_cut, response_cut = self._fit(text, len(tokens), responses)
                    counts["prompts_cut"] += prompt_cut
                    cut += [len(tokens)] * response_cut
                tokens.append(sequence)
        return Encoded(
            tokens=tokens,
            cut_responses=tuple(cut),
            texts=len(tokens),
            responses_cut=len(cut),
            characters=sum(map(len, responses)),
            with_control_tokens=sum(self._control.search(response) is not None for response in responses),
            **counts,
        )

    def locate(self, prompts: Prompts, responses: Responses) -> list[Located]:
        """The tokens that `encode` gives, each with its part and its characters; slower, for texts to be explained."""
        found: list[Located] = []
        for texts, _ in self._chunks(prompts, responses):
            for text in texts:
                tokens, spans, _, _ = self._fit(text, len(found), responses)
                rendered, response = text.text[text.start : text.stop], responses[len(found)]
                pieces = align(rendered, response) if self._mark is None else self._with_marks(response)[1]
                found.append(Located(tokens, _in_response(spans, text.start, pieces), text.text[: text.start]))
        return found

    def report(self, reading: Reading) -> None:
        """Logs what the user must know of how texts were read, each kind once in the life of this encoder."""
        with self._lock:
            self.totals += reading
            new = {kind: text for kind, text in self.totals.warnings().items() if kind not in self._reported}
            self._reported |= new
        for text in new.values():
            logger.warning(text)

    def report_totals(self) -> None:
        """Logs, at the end of a run, what has grown since it was first reported."""
        with self._lock:
            new = {kind: text for kind, text in self.totals.warnings().items() if self._reported.get(kind) != text}
            self._reported |= new
        for text in new.values():
            logger.warning("in all, %s", text)

    def _chunks(self, prompts: Prompts, responses: Responses) -> Iterator[tuple[list[RenderedChat], Mapping[str, Any]]]:
        if len(prompts) != len(responses):
            raise ValueError(f"one prompt per response: got {len(prompts)} prompts and {len(responses)} responses")
        for start in range(0, len(prompts), _CHUNK):
            numbers = range(start, min(start + _CHUNK, len(prompts)))
            texts = [self._render(number, prompts[number], responses[number]) for number in numbers]
            yield texts, self._tokenize(texts)

    def _with_marks(self, response: str) -> tuple[str, list[tuple[int, int, int]]]:
        return with_marks(response, self.contract.step_unit, self.contract.step_mark)

    def _render(self, number: int, prompt: Prompt, response: str) -> RenderedChat:
        if self._mark is not None:
            response = self._with_marks(response)[0]
        if self.contract.rendering == "chat":
            try:
                text = self._renderer.chat(prompt, response)
            except DataError as error:
                raise TextError(number, str(error)) from error
            if self.contract.ends_with_eos:  # as OpenRLHF does: no line break of the template before EOS
                text = replace(text, text=text.text[: text.stop] + text.text[text.stop :].rstrip())
            return text
        head = prompt_text(prompt)
        if self.contract.rendering == "plain" and head:
            head += "\n\n"
        return RenderedChat(head + response, len(head), len(head) + len(response))

    def _tokenize(self, texts: Sequence[RenderedChat], **options: Any) -> Mapping[str, Any]:
        first, second, pair = [text.text for text in texts], None, self.contract.rendering == "pair"
        if pair:
            first, second = [text.text[: text.start] for text in texts], [text.text[text.start :] for text in texts]
        coded: Mapping[str, Any] = self.tokenizer(
            first,
            second,
            add_special_tokens=self._adds_special_tokens,
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=None if pair else False,  # None: as the model has them
            verbose=False,
            **options,
        )
        return coded

    def _ended(self, ids: list[int]) -> list[int]:
        return [*ids, self._eos] if self.contract.ends_with_eos and (not ids or ids[-1] != self._eos) else ids

    def _fit(
        self, text: RenderedChat, number: int, responses: Sequence[str]
    ) -> tuple[Tokens, list[TokenSpan], bool, bool]:
        """The tokens of a text and what they are of, cut to `max_length`; whether prompt and response were cut.

        Special tokens stay, and so does the response, where it fits without the prompt.
        """
        coded: Any = self._tokenize([text], return_offsets_mapping=True)
        ids, spans = self._ended(list(coded["input_ids"][0])), self._spans(text, coded)
        spans += [TokenSpan("special")] * (len(ids) - len(spans))
        surplus = len(ids) - self.contract.max_length
        of_prompt = [i for i, span in enumerate(spans) if span.part == "prompt"]
        of_response = [i for i, span in enumerate(spans) if span.part == "response"]
        too_long = surplus > len(of_prompt)
        if surplus > 0 and self.overlong == "error":
            what = "response alone" if too_long else "prompt and response"
            raise TextError(
                number,
                f"too long: {what} takes {len(ids)} tokens, the model reads {self.contract.max_length}; "
                f"the response begins {responses[number][:60]!r}. Fix: shorten it, "
                "choose a model that reads more, raise --max-length if the model allows, or pass --overlong cut",
            )
        drop = set(of_prompt[: max(0, surplus)])
        if too_long:
            drop |= set(of_response[max(0, len(of_response) - (surplus - len(of_prompt))) :])
        keep = [i for i in range(len(ids)) if i not in drop][: self.contract.max_length]
        types = coded["token_type_ids"][0] if self.contract.rendering == "pair" and "token_type_ids" in coded else None
        ends = [at for at, i in enumerate(keep) if ids[i] == self._mark and spans[i].part == "response"]
        tokens = Tokens(
            tuple(ids[i] for i in keep),
            None if types is None else tuple(_as_long(types, ids)[i] for i in keep),
            None if self._mark is None else tuple(ends or [len(keep) - 1]),
        )
        return tokens, [spans[i] for i in keep], surplus > 0 and bool(of_prompt), too_long

    def _spans(self, text: RenderedChat, coded: Any) -> list[TokenSpan]:
        """What each token is of, in characters of the text as it was rendered."""
        spans = []
        shift = text.start if self.contract.rendering == "pair" else 0
        for (start, stop), sequence in zip(coded["offset_mapping"][0], coded.sequence_ids(0), strict=True):
            begin, end = (start + shift, stop + shift) if sequence == 1 else (start, stop)
            if sequence is None or begin >= text.stop:
                spans.append(TokenSpan("special"))
            else:
                spans.append(TokenSpan("prompt" if end <= text.start else "response", begin, end))
        if spans and coded["input_ids"][0][0] == self.tokenizer.bos_token_id:  # where the chat template wrote it
            spans[0] = TokenSpan("special")
        return spans


def _as_long(types: Sequence[int], ids: Sequence[int]) -> tuple[int, ...]:
    """The segment of each token, EOS that was appended in that of the token before it."""
    missing = len(ids) - len(types)
    return (*types, *[types[-1]] * missing) if missing else tuple(types)


def _in_response(
    spans: Sequence[TokenSpan], start: int, pieces: Iterable[tuple[int, int, int]]
) -> tuple[TokenSpan, ...]:
    """The spans with characters of the response where they have those of the rendered text, which begins at `start`."""
    at: dict[int, int] = {}
    for rendered, given, length in pieces:
        at |= {start + rendered + i: given + i for i in range(length)}
    found = []
    for span in spans:
        if span.part == "response":
            known = [at[i] for i in range(span.start, span.stop) if i in at]
            span = TokenSpan("response", known[0], known[-1] + 1) if known else TokenSpan("response")
        found.append(span)
    return tuple(found)
