"""The layouts that people publish judgements in: one function each, from the columns of a record to rows.

Each function takes the columns that it reads out of `Fields`. Its `DataError`s name the column; the caller adds file
and line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

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
from guerdon.errors import DataError
from guerdon.text.messages import parse_messages, prompt_turns
from guerdon.types import AnyRow, Comparison, Message, Prompt, Ranking, Rating, Reference, prompt_text

PROMPTS = ("prompt", "instruction", "input", "question", "query", "context", "conversations")
"""Names of the prompt column; the first that is there counts (`input` beside `instruction` is added to it, Alpaca)."""
RESPONSES = ("response", "completion", "output", "answer")
CONTEXT = ("system", "history")
"""What comes before the prompt, in columns of its own: Alpaca, ShareGPT, ms-swift."""
_CHAT_SETS = ("instruction", "query", "conversations", "messages")
"""Names of the prompt in sets whose column `system` is a system message; elsewhere it may name who wrote a response."""
HELPSTEER = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
SCORE_PAIRS = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
)
_PAIRS = tuple((joint + first, joint + second) for joint in ("_", "", "-") for first, second in ("12", "ab"))
RESPONSE_PAIRS = tuple(
    (word + first, word + second)
    for word in ("response", "answer", "output", "completion", "text")
    for first, second in _PAIRS
)
CONVERSATION_PAIRS = tuple(("conversation" + first, "conversation" + second) for first, second in _PAIRS)
STRENGTHS = ("preference_strength", "overall_preference")
VERDICTS = ("preference", "winner", "comparison", "pairwise", "choice", "selected", "preferred")
_SIDE = re.compile(
    r"(?:response|answer|model|output|completion|option|text)?[\s_-]*(?:(1|a|left|first)|(2|b|right|second))"
)
_TIES = frozenset(
    ("tie", "tie (bothbad)", "both_bad", "equal", "same", "both", "neither", "draw", "similar", "no preference")
)


def take_prompt(fields: Fields) -> Prompt:
    """The prompt of a record, under whichever of the usual names it stands."""
    name, value = fields.first(*PROMPTS)
    if name == "instruction" and isinstance(addition := fields.take("input"), str) and addition.strip():
        value = f"{value}\n\n{addition}"
    return _with_context(fields, prompt(value, name), chat_set=name in _CHAT_SETS)


def _with_context(fields: Fields, asked: Prompt, *, chat_set: bool) -> Prompt:
    """The prompt behind the system message and the earlier turns that stand in columns of their own."""
    if "system" not in fields and "history" not in fields:
        return asked
    chat = prompt_turns(asked)
    if history := _history(fields):
        at = int(chat[0].role == "system")
        chat = (*chat[:at], *history, *chat[at:])
    system = fields.left.get("system")
    one_of_many = any(name in fields for name in (*RESPONSES, "responses", "generations", "completions", "reference"))
    if isinstance(system, str) and (chat_set or not one_of_many or len(system.split()) > 2):
        fields.take("system")
        stated = chat[0].content.strip() if chat[0].role == "system" else ""
        if stated and system.strip() and stated != system.strip():
            raise DataError("column 'system' and the system turn of the prompt differ; keep one of them")
        chat = chat if stated or not system.strip() else (Message("system", text(system, "system")), *chat)
    return asked if chat == prompt_turns(asked) else chat


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


def pair(
    fields: Fields, asked: Prompt, first: str, second: str, *, preference: float, margin: float | None = None
) -> Comparison:
    """A comparison with the preferred response as chosen, by how much it is better (`margin`, >= 0) beside it.

    `preference` is P(first preferred), in [0, 1]; below 0.5 the two change places.
    """
    if not 0.0 <= preference <= 1.0:
        raise DataError(f"the preference is {preference:g}; it must lie between 0 and 1")
    if margin is not None and margin < 0:
        raise DataError(
            f"the margin is {margin:g}; it must not be negative (the rejected response would be the better)"
        )
    if first.strip() == second.strip():
        raise DataError("chosen and rejected are the same text; there is nothing to prefer")
    if preference < 0.5:
        first, second, preference = second, first, 1.0 - preference
    base = fields.base()
    return Comparison(prompt=asked, chosen=first, rejected=second, preference=preference, margin=margin, **base)


def comparison(fields: Fields) -> list[AnyRow]:
    """`[prompt], chosen, rejected`: Guerdon, TRL (implicit prompt too), OpenRLHF, UltraFeedback binarized, HH.

    Where both are lists of texts, every chosen response was preferred to every rejected one: a ranking.
    """
    if are_texts(fields.left.get("chosen")) and are_texts(fields.left.get("rejected")):
        return several_right(fields)
    asked, chosen, rejected = _two_responses(fields, "chosen", "rejected")
    margin = fields.optional_number("margin")
    preference = _soft_preference(fields)
    for better, worse in SCORE_PAIRS:
        if margin is None and better in fields and worse in fields:
            margin = fields.number(better) - fields.number(worse)
            if margin < 0:
                raise DataError(f"{better} is less than {worse} by {-margin:g}; are the columns swapped?")
            preference = 0.5 if margin == 0 and preference == 1.0 else preference
    return [pair(fields, asked, chosen, rejected, preference=preference, margin=margin)]


def several_right(fields: Fields) -> list[AnyRow]:
    """Lists of responses `chosen` and `rejected`: a ranking in that order, of scores 1 and 0."""
    asked = take_prompt(fields)
    right, wrong = (items(fields.take(name), name) for name in ("chosen", "rejected"))
    if not right or not wrong:
        raise DataError(f"chosen has {len(right)} responses and rejected {len(wrong)}; each needs one or more")
    return [ranked(fields, asked, [*right, *wrong], [1] * len(right) + [0] * len(wrong), "chosen and rejected")]


def are_texts(value: object) -> bool:
    """Whether a column holds a list of texts: several responses, not the turns of a chat."""
    found = structured(value)
    return isinstance(found, list) and bool(found) and all(isinstance(one, str) for one in found)


def _soft_preference(fields: Fields) -> float:
    """P(chosen preferred) from `votes` [for chosen, for rejected, for neither], else from `preference`, else 1.

    Which response the data calls `chosen` stands: an adjudicator, or a model of the annotators, may have decided
    against the bare majority. Votes say how sure it is, at least half a vote more than even.
    """
    preference = fields.optional_number("preference")
    votes = fields.take("votes")
    if votes is None or votes == "":
        return 1.0 if preference is None else preference
    raw = items(votes, "votes")
    counts = [number(count, "votes") for count in raw]
    if len(counts) not in (2, 3) or min(counts) < 0 or sum(counts) <= 0:
        raise DataError(f"column 'votes' must be [for chosen, for rejected, for neither], got {str(raw)[:80]}")
    fields.left["votes"] = raw
    share = (counts[0] + (counts[2] / 2 if len(counts) == 3 else 0.0)) / sum(counts)
    return max(share, 0.5 + 0.5 / (1 + sum(counts)))


def _two_responses(fields: Fields, first: str, second: str) -> tuple[Prompt, str, str]:
    """The prompt and the two responses, whether they come alone or at the end of the whole dialogue."""
    before, a = split_response(fields.first(first)[1], first)
    before_second, b = split_response(fields.first(second)[1], second)
    if before != before_second:
        raise DataError(f"{first} and {second} differ before their last turn, so they have not the same prompt")
    has_prompt = any(name in fields for name in PROMPTS)
    if not before and not has_prompt:
        raise DataError(f"there is no prompt: no column 'prompt', and {first} and {second} are not dialogues")
    if not before:
        return take_prompt(fields), a, b
    if has_prompt:
        _check_repeats(prompt(*reversed(fields.first(*PROMPTS))), before)
    return _with_context(fields, chat_prompt(before, first), chat_set=True), a, b


def _check_repeats(asked: Prompt, before: tuple[Message, ...]) -> None:
    """Where a prompt column stands beside whole dialogues, the dialogue counts; the column must be a part of it."""
    stated, turns = prompt_text(asked).strip(), [message.content.strip() for message in before]
    if stated not in turns and not any(turn in stated for turn in turns):
        raise DataError("the prompt column and the turns before the response have nothing in common")


def rejected_response(fields: Fields) -> list[AnyRow]:
    """ms-swift: `query, response, rejected_response`, or `messages` and `rejected_response` or `rejected_messages`."""
    if "messages" in fields:
        asked, chosen = dialogue(fields)
    else:
        chosen = _take_response(fields)
        asked = take_prompt(fields)
    name, value = fields.first("rejected_response", "rejected_messages")
    before, rejected = split_response(value, name)
    if before and before != prompt_turns(asked)[-len(before) :]:
        raise DataError(f"messages and {name} differ before their last turn, so they have not the same prompt")
    return [pair(fields, asked, chosen, rejected, preference=1.0)]


def dialogue(fields: Fields) -> tuple[Prompt, str]:
    """Prompt and response of the column `messages`, which ends with the response."""
    before, final = split_response(fields.take("messages"), "messages")
    return _with_context(fields, chat_prompt(before, "messages"), chat_set=True), final


def rating(fields: Fields) -> list[AnyRow]:
    """`prompt, response` (or `messages`), `score` and / or `scores` {attribute: value}."""
    asked, final = dialogue(fields) if "messages" in fields else (take_prompt(fields), _take_response(fields))
    scores = {"score": fields.number("score")} if "score" in fields else {}
    for name, value in (mapping(fields.take("scores"), "scores") if "scores" in fields else {}).items():
        if value is not None:
            scores[str(name)] = number(value, f"scores.{name}")
    if not scores:
        raise DataError("column 'scores' names no attribute")
    return [Rating(prompt=asked, response=final, scores=scores, **fields.base())]


def helpsteer(fields: Fields) -> list[AnyRow]:
    """HelpSteer 1 and 2: `prompt, response` and up to five attributes from 0 to 4."""
    asked, final = take_prompt(fields), _take_response(fields)
    scores = {name: fields.number(name) for name in HELPSTEER if name in fields}
    return [Rating(prompt=asked, response=final, scores=scores, **fields.base())]


def unpaired(fields: Fields) -> list[AnyRow]:
    """TRL, OpenRLHF, ms-swift unpaired preference: `prompt, completion` or `messages`, and `label`, true or false."""
    asked, final = dialogue(fields) if "messages" in fields else (take_prompt(fields), _take_response(fields))
    return [Rating(prompt=asked, response=final, scores={"score": fields.number("label")}, **fields.base())]


def _take_response(fields: Fields) -> str:
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


def ultrafeedback(fields: Fields) -> list[AnyRow]:
    """UltraFeedback raw: `instruction, completions` [{response, overall_score | fine-grained_score | annotations}]."""
    asked = take_prompt(fields)
    completions = [mapping(value, "completions") for value in items(fields.take("completions"), "completions")]
    texts = [completion.get("response") for completion in completions]
    scores = [_ultrafeedback_score(completion, at) for at, completion in enumerate(completions)]
    return [ranked(fields, asked, texts, scores, "completions")]


def _ultrafeedback_score(completion: dict[str, Any], at: int) -> float:
    for name in ("overall_score", "fine-grained_score", "score"):
        if completion.get(name) is not None:
            return number(completion[name], f"completions[{at}].{name}")
    annotations = completion.get("annotations")
    aspects = annotations.values() if isinstance(annotations, dict) else ()
    ratings = [aspect.get("Rating") for aspect in aspects if isinstance(aspect, dict)]
    values = [number(value, f"completions[{at}] Rating") for value in ratings if value not in (None, "N/A")]
    if not values:
        raise DataError(f"completions[{at}] has no overall_score and no rated annotation")
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


def two_responses(fields: Fields) -> list[AnyRow]:
    """Two responses and a verdict: arenas, AlpacaEval, HelpSteer 2 and 3 (-3 first much better ... 3 second)."""
    names = response_pair(fields)
    assert names is not None, "the layout needs them"
    asked, first, second = _two_responses(fields, *names)
    strength = next((name for name in STRENGTHS if name in fields), None)
    if strength is None:
        verdict = next(name for name in VERDICTS if name in fields)
        return [pair(fields, asked, first, second, preference=verdict_share(fields.take(verdict), verdict, names))]
    value = fields.number(strength)
    preference = 0.5 if value == 0 else float(value < 0)
    return [pair(fields, asked, first, second, preference=preference, margin=abs(value))]


def response_pair(fields: Fields) -> tuple[str, str] | None:
    """The columns of two responses or conversations, None where there are none."""
    return next((two for two in RESPONSE_PAIRS + CONVERSATION_PAIRS if two[0] in fields and two[1] in fields), None)


def verdict_share(value: object, name: str, sides: tuple[str, str]) -> float:
    """The share of a verdict that goes to the first of two responses: 1, 0, or 0.5 for a tie.

    `value` is what an annotator chose in the column `name`: `left`, `a`, `1`, `response_1`, the name of one of the two
    response columns (`sides`), `tie` ..., or a list of one.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("selected") or value.get("choices") or value.get("value")
        return verdict_share(value, name, sides)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    token = str(value).strip().lower()
    if token in (sides[0].lower(), sides[1].lower()):
        return float(token == sides[0].lower())
    if token in _TIES:
        return 0.5
    match = _SIDE.fullmatch(token)
    if match is None:
        raise DataError(
            f"column {name!r} holds the verdict {str(value)[:40]!r}; known: left/right, a/b, 1/2, tie, {sides}"
        )
    return float(match[1] is not None)
