"""The layouts that people publish judgements in: one function each, from the columns of a record to rows.

Each function takes the columns that it reads out of `Fields`. Its `DataError`s name the column; the caller adds file
and line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from guerdon.data.source import looks_like_text
from guerdon.data.values import (
    Fields,
    chat_prompt,
    items,
    mapping,
    number,
    prompt,
    response,
    split_response,
    structured,
    text,
)
from guerdon.data.verdicts import goodness
from guerdon.errors import DataError
from guerdon.text.messages import parse_messages, prompt_turns
from guerdon.types import AnyRow, Message, Prompt, Ranking, Rating, Reference

PROMPTS = ("prompt", "instruction", "input", "question", "query", "context", "conversations")
"""Names of the prompt column; the first that is there counts (`input` beside `instruction` is added to it, Alpaca)."""
RESPONSES = ("response", "completion", "output", "answer")
DIALOGUES = ("messages", "conversations")
"""Columns that hold a dialogue: a prompt, or where no other column has the response, one that ends with it."""
_ASKING = re.compile("prompt|question|query|instruction|input|context|problem", re.IGNORECASE)
_ABOUT = re.compile(
    "source|model|date|time|lang|categor|topic|annotator|author|user|url|origin|domain|subset|group|split",
    re.IGNORECASE,
)
LABELS = ("label", "kto_tag")
CONTEXT = ("system", "history")
"""What comes before the prompt, in columns of its own: Alpaca, ShareGPT, ms-swift."""
_CHAT_SETS = ("instruction", "query", "conversations", "messages")
"""Names of the prompt in sets whose column `system` is a system message; elsewhere it may name who wrote a response."""
RATINGS = ("rating", "reward", "grade", "stars", "overall_score", "human_score")
"""Names of the score where none is called so."""
RANKS = ("ranks", "rank")
"""Columns in which 1 is the best."""
ANSWERS = ("responses", "answers", "generations", "completions", "candidates")
"""Columns of several responses to a prompt."""
HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
TEXTS = ("text", "sentence", *RESPONSES)
"""Names of a text that is judged without a prompt."""


class LayoutError(DataError):
    """The columns of a record fit no known layout."""


def take_prompt(fields: Fields) -> Prompt:
    """The prompt of a record, under whichever of the usual names it stands."""
    if not has_prompt(fields):
        return no_prompt(fields)
    fields.reading.prompted = True
    name, value = fields.first(*PROMPTS, "messages")
    if name == "instruction" and isinstance(addition := fields.take("input"), str) and addition.strip():
        value = f"{value}\n\n{addition}"
    return with_context(fields, prompt(value, name), chat_set=name in _CHAT_SETS)


def has_prompt(fields: Fields) -> bool:
    """Whether there is a column for the prompt, be it null."""
    return any(name in fields or name in fields.null for name in (*PROMPTS, "messages"))


def no_prompt(fields: Fields) -> Prompt:
    """The empty prompt, where nothing can be one.

    Raises:
        DataError: earlier rows have a prompt, or a column that no layout reads may be it.
    """
    if fields.reading.prompted:
        raise DataError("column 'prompt' is missing or null")
    answers = (*CONTEXT, *RESPONSES, "responses", "generations", "completions")
    possible = [name for name, value in fields.left.items() if name not in answers and _may_ask(name, value)]
    if possible:
        raise DataError(
            f"there is no prompt, but text in the column {', '.join(map(repr, possible))}. Fix: say which is the "
            f'prompt, --map "prompt={possible[0]}", or that there is none, --map prompt='
        )
    fields.reading.note("there is no prompt column, so the prompt is empty")
    return with_context(fields, "", chat_set=False)


def _may_ask(name: str, value: object) -> bool:
    """Whether a column that no layout reads may be the prompt: by its name, or by a text of more than one word."""
    if not isinstance(value, str):
        return looks_like_text(value)
    phrase = looks_like_text(value) or bool(re.search(r"\S\s\S|[?？]", value))
    return bool(_ASKING.search(name)) or (phrase and not _ABOUT.search(name))


def with_context(fields: Fields, asked: Prompt, *, chat_set: bool) -> Prompt:
    """The prompt behind the system message and the earlier turns that stand in columns of their own."""
    if "system" not in fields and "history" not in fields:
        return asked
    chat = prompt_turns(asked) if asked else ()
    if history := _history(fields):
        at = int(bool(chat) and chat[0].role == "system")
        chat = (*chat[:at], *history, *chat[at:])
    system = fields.left.get("system")
    one_of_many = any(name in fields for name in (*RESPONSES, "responses", "generations", "completions", "reference"))
    if isinstance(system, str) and (chat_set or not one_of_many or len(system.split()) > 2):
        fields.take("system")
        stated = chat[0].content.strip() if chat and chat[0].role == "system" else ""
        if stated and system.strip() and stated != system.strip():
            raise DataError("column 'system' and the system turn of the prompt differ; keep one of them")
        chat = chat if stated or not system.strip() else (Message("system", text(system, "system")), *chat)
    return asked if not chat or chat == prompt_turns(asked) else chat


def _history(fields: Fields) -> tuple[Message, ...]:
    """The turns of the column `history`: [query, response] pairs, or messages; a text stays where it is."""
    rounds = structured(fields.left.get("history"))
    if not isinstance(rounds, list):
        return ()
    fields.take("history")
    if all(isinstance(turn, dict) for turn in rounds):
        return parse_messages(rounds, "history")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in rounds):
        raise DataError("column 'history' must be a list of [query, response] pairs or of messages")
    turns = ((role, turn) for pair in rounds for role, turn in zip(("user", "assistant"), pair, strict=True))
    return tuple(Message(role, text(turn, "history")) for role, turn in turns)


def dialogue(fields: Fields) -> tuple[Prompt, str]:
    """Prompt and response of the column `messages` or `conversations`, which ends with the response."""
    name, value = fields.first(*DIALOGUES)
    before, final = split_response(value, name)
    return dialogue_prompt(fields, before, name), final


def dialogue_prompt(fields: Fields, before: tuple[Message, ...], name: str) -> Prompt:
    """The turns of a dialogue before its response as a prompt, with the context that stands beside them."""
    return with_context(fields, chat_prompt(before, name), chat_set=True)


def asked_and_answered(fields: Fields) -> tuple[Prompt, str]:
    """Prompt and response, in columns of their own or as one dialogue."""
    alone = any(name in fields for name in RESPONSES) or not any(name in fields for name in DIALOGUES)
    return (take_prompt(fields), take_response(fields)) if alone else dialogue(fields)


def rating(fields: Fields) -> list[AnyRow]:
    """`prompt, response` (or `messages`), `score` and / or `scores` {attribute: value}."""
    asked, final = asked_and_answered(fields)
    scores = {"score": fields.number("score")} if "score" in fields else {}
    for name, value in (mapping(fields.take("scores"), "scores") if "scores" in fields else {}).items():
        if value is not None:
            scores[str(name)] = number(value, f"scores.{name}")
    if not scores:
        raise DataError("column 'scores' names no attribute")
    return [Rating(prompt=asked, response=final, scores=scores, **fields.base())]


def helpsteer(fields: Fields) -> list[AnyRow]:
    """HelpSteer 1 and 2: `prompt, response` and up to five attributes from 0 to 4."""
    asked, final = take_prompt(fields), take_response(fields)
    scores = {name: fields.number(name) for name in HELPSTEER if name in fields}
    return [Rating(prompt=asked, response=final, scores=scores, **fields.base())]


def unpaired(fields: Fields) -> list[AnyRow]:
    """TRL, OpenRLHF, ms-swift unpaired preference: `prompt, completion` or `messages`, and `label`, true or false."""
    asked, final = asked_and_answered(fields)
    score = goodness(*reversed(fields.first(*LABELS)))
    return [Rating(prompt=asked, response=final, scores={"score": score}, **fields.base())]


def rating_by_another_name(fields: Fields) -> list[AnyRow]:
    """A rating whose column is called `rating`, `reward`, `stars` ...; an object has attributes."""
    given = structured(fields.first(*RATINGS)[1])
    fields.left["scores" if isinstance(given, dict) else "score"] = given
    return rating(fields)


def judged_text(fields: Fields) -> list[AnyRow]:
    """A text without a prompt, and `score`, `scores` or `label`."""
    fields.left["response"] = fields.first(*TEXTS)[1]
    return rating(fields) if "score" in fields or "scores" in fields else unpaired(fields)


def take_response(fields: Fields) -> str:
    """The response of a record, under whichever of the usual names it stands."""
    name, value = fields.first(*RESPONSES)
    return response(value, name)


def ranking(fields: Fields) -> list[AnyRow]:
    """`prompt, responses, scores`, and Argilla's distilled `instruction, generations, ratings`."""
    asked = take_prompt(fields)
    name, responses = fields.first("responses", "generations", "completions")
    score_name, scores = fields.first("scores", "ratings", "rating")
    return [ranked(fields, asked, items(responses, name), items(scores, score_name), name)]


def ranked(fields: Fields, asked: Prompt, responses: Sequence[Any], scores: Sequence[Any], name: str) -> Ranking:
    """A ranking of raw responses by raw scores, both checked."""
    if len(responses) != len(scores):
        raise DataError(f"column {name!r} has {len(responses)} responses but {len(scores)} scores")
    if len(responses) < 2:
        raise DataError(
            f"column {name!r} has {len(responses)} response{'s' * (not responses)}; a ranking needs two or more"
        )
    texts = tuple(response(value, f"{name}[{at}]") for at, value in enumerate(responses))
    values = tuple(number(value, f"the score of {name}[{at}]") for at, value in enumerate(scores))
    return Ranking(prompt=asked, responses=texts, scores=values, **fields.base())


def ranks(fields: Fields) -> list[AnyRow]:
    """`prompt, responses, ranks`, where 1 is the best."""
    asked = take_prompt(fields)
    name, responses = fields.first(*ANSWERS)
    given = items(fields.first(*RANKS)[1], "ranks")
    return [ranked(fields, asked, items(responses, name), [-number(one, "ranks") for one in given], name)]


def scored_objects(fields: Fields) -> list[AnyRow]:
    """A prompt and responses as objects that hold a text and its score, or its rank: UltraFeedback raw, Nectar.

    Raises:
        LayoutError: they hold no score, or are no objects: there is nothing that was judged.
    """
    name = next(one for one in ANSWERS if one in fields)
    values = structured(fields.left[name])
    if not isinstance(values, list) or not all(isinstance(one, dict) for one in values):
        raise LayoutError(f"column {name!r} has no scores beside it; they belong into a column 'scores'")
    fields.take(name)
    scores = [_score_within(one, f"{name}[{at}]") for at, one in enumerate(values)]
    return [ranked(fields, take_prompt(fields), values, scores, name)]


def _score_within(one: dict[str, Any], name: str) -> float:
    for key in ("overall_score", "fine-grained_score", "score", "rating", "reward"):
        if one.get(key) is not None:
            return number(one[key], f"{name}.{key}")
    if one.get("rank") is not None:
        return -number(one["rank"], f"{name}.rank")
    annotations = one.get("annotations")
    aspects = annotations.values() if isinstance(annotations, dict) else ()
    ratings = [aspect.get("Rating") for aspect in aspects if isinstance(aspect, dict)]
    values = [number(value, f"{name} Rating") for value in ratings if value not in (None, "N/A")]
    if not values:
        raise LayoutError(f"{name} has no score, rank or rated annotation")
    return sum(values) / len(values)


def reference(fields: Fields) -> list[AnyRow]:
    """`prompt, reference, [generated]`: a good response, and texts that it should beat."""
    asked = take_prompt(fields)
    generated = structured(fields.take("generated"))
    if generated is None or generated == "":
        generated = []
    texts = generated if isinstance(generated, list) else [generated]
    return [_reference(fields, asked, tuple(response(each, f"generated[{at}]") for at, each in enumerate(texts)))]


def answered(fields: Fields) -> list[AnyRow]:
    """A prompt with its good response under another name: OpenRLHF `input, label`; HumanEval and MBPP solutions."""
    asked = take_prompt(fields)
    name, value = fields.first("canonical_solution", "code", "label")
    fields.left["reference"] = str(value) if isinstance(value, int | float) else text(value, name)
    return [_reference(fields, asked, ())]


def _reference(fields: Fields, asked: Prompt, generated: tuple[str, ...]) -> Reference:
    base = fields.base()
    if not base["reference"]:
        raise DataError("column 'reference' is empty")
    if any(each.strip() == base["reference"].strip() for each in generated):
        raise DataError("reference and a generated text are the same; there is nothing to prefer")
    return Reference(prompt=asked, generated=generated, **base)
