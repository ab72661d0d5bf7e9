"""What becomes of texts before a trained model reads them: template, date, special tokens, vocabulary, length."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from guerdon.collation import Tokens
from guerdon.errors import TextError
from guerdon.evaluate.health.patient import (
    CheckRow,
    Finding,
    ModelPatient,
    compared,
    failed,
    passed,
    skipped,
    warned,
)
from guerdon.rewards.encode import Encoder
from guerdon.rewards.truncation import CUT_LIMIT
from guerdon.text.chat import ChatRenderer, with_still_clock
from guerdon.text.vocabulary import UNREADABLE_SHARE
from guerdon.weight_files import FOREIGN_HEADS, stored_head

_NOTHING_READ = 0.9
"""Share of unknown tokens above which the tokenizer is not the model's."""
_REASONING = "<think>\nFirst this, then that.\n</think>\n\nSo it is."


def template(patient: ModelPatient) -> Finding:
    """Whether the chat template takes the texts, and keeps their responses whole."""
    if patient.contract.rendering != "chat":
        return skipped("It reads no chat template.")
    encoded = patient.reward.encode(patient.sample.prompts, patient.sample.responses)
    if encoded.responses_dropped:
        return failed(
            f"The chat template leaves out parts of {encoded.responses_dropped} of {encoded.texts} responses: the "
            "model does not read them."
        )
    probe = _renderer(patient).chat("Why?", _REASONING)
    if probe.dropped and not patient.contract.keep_reasoning:
        return warned(
            "The chat template leaves out the reasoning (<think>) of a response: the model does not read it.",
            "A model that is trained with --keep-reasoning reads it",
        )
    return passed("The chat template takes all texts, and keeps their responses whole.")


def template_date(patient: ModelPatient) -> Finding:
    """Whether the chat template reads the clock, and who knows of it."""
    text = str(patient.reward.tokenizer.chat_template)
    if patient.contract.rendering != "chat" or "strftime_now" not in text:
        return skipped("No chat template reads the clock.")
    told = patient.contract.template_date
    if with_still_clock(text, told) == text:
        return passed(f"The chat template reads the clock, which stands still in the folder: it is always {told}.")
    other = (date.fromisoformat(told) + timedelta(days=191)).isoformat()
    encoder = Encoder(patient.reward.tokenizer, replace(patient.contract, template_date=other), "cut")
    moved = encoder.encode(patient.sample.prompts, patient.sample.responses).tokens
    what = f"On {told} and on {other}"
    found = compared(what, patient.scores_of(patient.tokens), patient.scores_of(moved), patient.tolerance)
    if found.verdict == "pass":
        return passed("The chat template reads the clock, and scores do not depend on it.", found.difference)
    if patient.decided:
        return passed(
            f"The chat template reads the clock: here it is always {told} (template_date of the contract). Plain "
            f"Transformers writes today's date; on another day scores differ by up to {found.difference or 0:.2g}.",
            found.difference,
        )
    return failed(
        "The chat template writes today's date, and nothing in the folder says which day it was in training: on "
        f"another day scores differ by up to {found.difference or 0:.2g}. Here it is always {told}.",
        found.difference,
    )


def bos(patient: ModelPatient) -> Finding:
    """Whether texts begin with BOS once at most."""
    token = patient.reward.tokenizer.bos_token_id
    if token is None:
        return skipped("The tokenizer has no BOS.")
    doubled = sum(one.ids[:2] == (token, token) for one in patient.tokens)
    if doubled:
        return failed(f"{doubled} of {len(patient.tokens)} texts begin with BOS ({patient.token(token)}) twice.")
    begun = sum(one.ids[:1] == (token,) for one in patient.tokens)
    said = f"{begun} of {len(patient.tokens)} texts begin with BOS ({patient.token(token)}), none with two."
    return _added(patient, token, slice(2), said) or passed(said)


def _added(patient: ModelPatient, token: int, end: slice, said: str) -> Finding | None:
    """What happens where the tokenizer adds a special token to a rendered text that has it already."""
    if patient.contract.rendering != "chat":
        return None
    rendered = _renderer(patient).chat(patient.sample.prompts[0], patient.sample.responses[0]).text
    if patient.reward.tokenizer(rendered, verbose=False)["input_ids"][end] != [token, token]:
        return None
    front, behind = ((token,), ()) if end.stop else ((), (token,))
    twice = [Tokens((*front, *one.ids[: patient.contract.max_length - 1], *behind)) for one in patient.tokens]
    difference = float(np.abs(patient.scores_of(twice) - patient.scores_of(patient.tokens)).max())
    return replace(
        warned(f"{said} Template and tokenizer both write it: where both do, scores differ by up to {difference:.2g}."),
        difference=difference,
        mend="Guerdon is right as it is; in other tools, tokenize the rendered text with add_special_tokens=False",
    )


def eos(patient: ModelPatient) -> Finding:
    """Whether texts end with EOS once at most, and all alike."""
    token = patient.reward.tokenizer.eos_token_id
    if token is None:
        return skipped("The tokenizer has no EOS.")
    count = len(patient.tokens)
    doubled = sum(one.ids[-2:] == (token, token) for one in patient.tokens)
    if doubled:
        return failed(f"{doubled} of {count} texts end with EOS ({patient.token(token)}) twice.")
    ended = sum(one.ids[-1:] == (token,) for one in patient.tokens)
    behind = {one.ids[-1] for one in patient.tokens if one.ids[-2:-1] == (token,)}
    said = f"{ended} of {count} texts end with EOS ({patient.token(token)})"
    if len(behind) == 1 and not ended:
        said = f"All texts end with EOS ({patient.token(token)}) and {patient.token(behind.pop())} behind it"
    if 0 < ended < count:
        return failed(f"{said}, the others do not: scores are read at different kinds of tokens.")
    head = stored_head(patient.folder) if patient.folder and patient.folder.is_dir() else None
    if head is not None and head.layer in FOREIGN_HEADS and not ended:
        return warned(
            f"{said}; trainers that call their head {head.layer} mostly let texts end with it.",
            'guerdon doctor --adopt, then "ends_with_eos": true in guerdon.json, where the trainer did so',
        )
    said += ", none with two."
    return _added(patient, token, slice(-2, None), said) or passed(said)


def vocabulary(patient: ModelPatient) -> Finding:
    """Whether the model knows the words of the sample."""
    encoded = patient.reward.encode(patient.sample.prompts, patient.sample.responses)
    share = encoded.unknown / encoded.total if encoded.total else 0.0
    message = f"{share:.1%} of the tokens of the sample are unknown to the model"
    if share > _NOTHING_READ:
        mend = "Put the files of the model's own tokenizer into the folder; or take a model that knows the language"
        return failed(f"{message}: it reads next to nothing.", mend=mend)
    if share > UNREADABLE_SHARE:
        return warned(f"{message}: scores of such texts mean little.")
    return passed(f"{message}.")


def truncation(patient: ModelPatient) -> Finding:
    """Whether a text that is too long keeps its response and its special tokens, and what is cut of the sample."""
    contract = patient.contract
    encoder = Encoder(patient.reward.tokenizer, contract, "cut")
    (short,) = encoder.locate(["Why?"], ["So it is."])
    response = tuple(
        token for token, span in zip(short.tokens.ids, short.spans, strict=True) if span.part == "response"
    )
    (long,) = encoder.encode(["Tell me more. " * contract.max_length + "Why?"], ["So it is."]).tokens
    if len(long) > contract.max_length:
        return failed(
            f"A long text takes {len(long)} tokens, more than the {contract.max_length} that the model reads."
        )
    starts = range(len(long) - len(response) + 1)
    if not any(long.ids[start : start + len(response)] == response for start in starts):
        return failed("Of a text that is too long, the response does not reach the model whole.")
    try:
        cut = encoder.encode(patient.sample.prompts, patient.sample.responses)
    except TextError as error:
        return failed(f"{error}.")
    said = f"Prompts are cut from the left to fit {contract.max_length} tokens"
    if cut.responses_cut > CUT_LIMIT * cut.texts:
        return warned(
            f"{cut.responses_cut} of {cut.texts} responses of the sample are longer than the {contract.max_length} "
            "tokens that the model reads: their ends do not count."
        )
    return passed(f"{said}; of the sample, {cut.prompts_cut} of {cut.texts} prompts and {cut.responses_cut} responses.")


def _renderer(patient: ModelPatient) -> ChatRenderer:
    return ChatRenderer(patient.reward.tokenizer, template_date=patient.contract.template_date)


READING_ROWS = (
    CheckRow(
        "template",
        "the chat template takes the texts, and keeps responses whole",
        "Give the tokenizer the template that it was trained with; for reasoning, train with --keep-reasoning",
        template,
    ),
    CheckRow(
        "template date",
        "the date that the chat template writes",
        "guerdon doctor MODEL --adopt records the day (template_date) for Guerdon; for other tools write the day into "
        "the chat template in place of strftime_now",
        template_date,
        elsewhere=True,
    ),
    CheckRow(
        "BOS",
        "BOS once at most, also where tokenizers add it to what a template wrote",
        "Take BOS out of the chat template or out of the data, or tokenize with add_special_tokens=False",
        bos,
    ),
    CheckRow(
        "EOS",
        "EOS once at most, and behind all texts or none",
        "Take EOS out of the data or out of the chat template; ends_with_eos in guerdon.json appends it where it lacks",
        eos,
    ),
    CheckRow(
        "vocabulary",
        "the share of tokens that the model does not know",
        "Take a model whose vocabulary covers the language",
        vocabulary,
    ),
    CheckRow(
        "truncation",
        "a text that is too long keeps its response; how many responses of the sample are cut",
        "Take a model that reads more, or raise max_length in guerdon.json to what the model reads",
        truncation,
    ),
)
