"""Layouts in which one response is preferred to another: pairs under many names, dialogues that part, arenas."""

from __future__ import annotations

import itertools
import re

from guerdon.data.layouts import (
    PROMPTS,
    dialogue_prompt,
    has_prompt,
    ranked,
    take_prompt,
    take_response,
    with_context,
)
from guerdon.data.values import (
    Fields,
    PlainText,
    items,
    number,
    prompt,
    response,
    structured,
    text,
    turns,
)
from guerdon.data.verdicts import BOTH_BAD, SHARES, VERDICTS, token, verdict_share
from guerdon.errors import DataError
from guerdon.text.messages import prompt_turns, response_text
from guerdon.types import AnyRow, Comparison, Message, Prompt, prompt_text

SCORE_PAIRS = (
    ("score_chosen", "score_rejected"),
    ("chosen_score", "rejected_score"),
    ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
)
_NUMBERED = (("1", "2"), ("a", "b"), ("A", "B"), ("0", "1"))
_PAIRS = tuple((joint + first, joint + second) for joint in ("_", "", "-") for first, second in _NUMBERED)
_RESPONSES = ("response", "answer", "output", "completion", "text")
RESPONSE_PAIRS = (
    *((word + first, word + second) for word in _RESPONSES for first, second in _PAIRS),
    *(("a", "b"), ("A", "B"), ("left", "right")),
)
CONVERSATION_PAIRS = tuple(("conversation" + first, "conversation" + second) for first, second in _PAIRS)
_BETTER_AND_WORSE = (
    ("chosen", "rejected"),
    ("chosen", "reject"),
    ("accepted", "rejected"),
    ("preferred", "rejected"),
    ("preferred", "dispreferred"),
    ("preferred", "non_preferred"),
    ("better", "worse"),
    ("positive", "negative"),
    ("good", "bad"),
    ("best", "worst"),
    ("win", "lose"),
    ("j", "k"),
)
_PLACES = [
    f"{one}{joint}{other}"
    for word in _RESPONSES
    for joint in ("_", " ", "-")
    for one, other in (("{}", word), (word, "{}"))
]
CHOSEN_REJECTED = tuple(
    (form.format(better), form.format(worse))
    for better, worse in _BETTER_AND_WORSE
    for form in (["{}"] * (better != "j") + _PLACES)
)[1:]
"""Other names of the columns `chosen` and `rejected`."""
WINNERS = ("winner_model_", "winner_")
_BOUNDARY = re.compile(r"\n\s*|[.:?!]\s+|[。？！：]\s*")
STRENGTHS = ("preference_strength", "overall_preference")
_SCORES = ("score", "rating", "reward")
SCORED_PAIRS = tuple(
    (
        tuple(word + first for word in _RESPONSES),
        tuple(word + second for word in _RESPONSES),
        tuple(word + first for word in _SCORES),
        tuple(word + second for word in _SCORES),
    )
    for first, second in _PAIRS
)
"""Columns of two responses, and of a score for each, that end alike."""


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
        if margin is None and fields.known(better) and fields.known(worse):
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


def named_pair(fields: Fields) -> list[AnyRow]:
    """`comparison` whose columns have other names, as `response_chosen, response_rejected` or `better, worse`."""
    better, worse = next(two for two in CHOSEN_REJECTED if two[0] in fields and two[1] in fields)
    fields.left |= {"chosen": fields.take(better), "rejected": fields.take(worse)}
    return comparison(fields)


def _two_responses(fields: Fields, first: str, second: str) -> tuple[Prompt, str, str]:
    """The prompt and the two responses, whether they come alone or as dialogues that part somewhere."""
    values = [fields.first(name)[1] for name in (first, second)]
    names = f"{first} and {second}"
    chats = [turns(value, name) for value, name in zip(values, (first, second), strict=True)]
    if chats[0] is None and chats[1] is None:
        a, b = (str(text(value, name)) for value, name in zip(values, (first, second), strict=True))
        if has_prompt(fields) or not (end := shared_beginning(a, b)) or any(isinstance(v, PlainText) for v in values):
            return take_prompt(fields), a, b
        fields.reading.note(f"there is no prompt column, so what {names} share at their beginning is the prompt")
        return with_context(fields, a[:end].strip(), chat_set=False), a[end:].strip(), b[end:].strip()
    whole = [
        chat or (Message("assistant", str(text(value, name))),)
        for chat, value, name in zip(chats, values, (first, second), strict=True)
    ]
    before, a, b = parted(whole[0], whole[1], names)
    if whole[0][0].role == "assistant":
        return _continued(take_prompt(fields), before), a, b
    if has_prompt(fields):
        _check_repeats(prompt(*reversed(fields.first(*PROMPTS, "messages"))), before)
    return dialogue_prompt(fields, before, names), a, b


def _continued(asked: Prompt, turns_after: tuple[Message, ...]) -> Prompt:
    """A prompt and the turns that follow it."""
    return (*(prompt_turns(asked) if asked else ()), *turns_after) if turns_after else asked


def _check_repeats(asked: Prompt, before: tuple[Message, ...]) -> None:
    """Where a prompt column stands beside whole dialogues, the dialogue counts; the column must be a part of it."""
    stated, turns = prompt_text(asked).strip(), [message.content.strip() for message in before]
    if stated not in turns and not any(turn in stated for turn in turns):
        raise DataError("the prompt column and the turns before the response have nothing in common")


def rejected_response(fields: Fields) -> list[AnyRow]:
    """ms-swift: `query, response, rejected_response`, or `messages` and `rejected_response` or `rejected_messages`."""
    other = "rejected_response" if "rejected_response" in fields else "rejected_messages"
    if "messages" not in fields:
        chosen, rejected = take_response(fields), response(fields.take(other), other)
        return [pair(fields, take_prompt(fields), chosen, rejected, preference=1.0)]
    whole, value = fields.take("messages"), fields.take(other)
    first, second = turns(whole, "messages"), turns(value, other)
    if first is None or first[-1].role != "assistant":
        raise DataError("column 'messages' must be a list of turns that ends with the assistant's")
    second = second or (Message("assistant", str(text(value, other))),)
    if second[0].role == "assistant":
        second = (*first[:-1], *second)
    before, chosen, rejected = parted(first, second, f"messages and {other}")
    asked = dialogue_prompt(fields, before, "messages")
    return [pair(fields, asked, chosen, rejected, preference=1.0)]


def two_responses(fields: Fields) -> list[AnyRow]:
    """Two responses and a verdict: arenas, AlpacaEval, HelpSteer 2 and 3 (-3 first much better ... 3 second)."""
    names = response_pair(fields)
    assert names is not None, "the layout needs them"
    asked, first, second = _two_responses(fields, *names)
    strength = next((name for name in STRENGTHS if name in fields), None)
    if strength is None:
        verdict = next(name for name in (*SHARES, *VERDICTS) if name in fields)
        if verdict in SHARES:
            return [pair(fields, asked, first, second, preference=fields.number(verdict))]
        given = _side_of_model(fields, fields.take(verdict), names)
        if token(given) in BOTH_BAD:
            fields.left["both_bad"] = True
        try:
            share = verdict_share(given, verdict, names)
        except DataError:
            if given not in (first, second) or first == second:
                raise
            share = float(given == first)  # the text itself
        return [pair(fields, asked, first, second, preference=share)]
    value = fields.number(strength)
    preference = 0.5 if value == 0 else float(value < 0)
    return [pair(fields, asked, first, second, preference=preference, margin=abs(value))]


def two_scored(fields: Fields) -> list[AnyRow]:
    """Two responses with a score each, as `score_a` and `score_b`: a ranking of two."""
    names = response_pair(fields)
    assert names is not None, "the layout needs them"
    given = next(two for two in SCORED_PAIRS if names[0] in two[0] and names[1] in two[1])
    scores = [fields.number(*of_one) for of_one in given[2:]]
    asked, *texts = _two_responses(fields, *names)
    return [ranked(fields, asked, texts, scores, f"{names[0]}, {names[1]}")]


def _side_of_model(fields: Fields, verdict: object, names: tuple[str, str]) -> object:
    """The verdict; where it is the name of the model that wrote a response, the column of that response."""
    for name, column in zip(("model_a", "model_b"), names, strict=True):
        if verdict == fields.left.get(name) is not None and fields.left.get("model_a") != fields.left.get("model_b"):
            return column
    return verdict


def one_hot_winner(fields: Fields) -> list[AnyRow]:
    """Arena's `winner_model_a, winner_model_b, winner_tie` of 0 and 1, or shares; texts may be lists, one a turn."""
    names = response_pair(fields)
    assert names is not None, "the layout needs them"
    joint = next(name for name in WINNERS if f"{name}a" in fields and f"{name}b" in fields)
    ties = [
        name
        for name in list(fields.left)
        if re.fullmatch(r"winner_(model_)?(tie|both_?bad|tie_?\(?both_?bad\)?)", name)
    ]
    shares = {name: fields.number(name) for name in (f"{joint}a", f"{joint}b", *ties)}
    if min(shares.values()) < 0 or not (total := sum(shares.values())):
        raise DataError(f"of {', '.join(shares)} one must be 1, and the others 0")
    if any("bad" in name and shares[name] for name in ties):
        fields.left["both_bad"] = True
    first, _, *tied = shares.values()
    _join_turns(fields, names)
    asked, a, b = _two_responses(fields, *names)
    return [pair(fields, asked, a, b, preference=(first + sum(tied) / 2) / total)]


def _join_turns(fields: Fields, names: tuple[str, str]) -> None:
    """Where prompt and responses are lists with a text for every turn, the two responses become dialogues."""
    asked, *said = (structured(fields.left.get(name)) for name in ("prompt", *names))
    if not isinstance(asked, list) or any(isinstance(turn, dict) for turn in asked):
        return
    for name, texts in zip(names, said, strict=True):
        answers = items(texts, name)
        if len(answers) != len(asked):
            raise DataError(f"column 'prompt' has {len(asked)} turns, {name!r} {len(answers)}")
        roles = itertools.cycle(("user", "assistant"))
        said_in_turn = itertools.chain.from_iterable(zip(asked, answers, strict=True))
        fields.left[name] = [{"role": next(roles), "content": content} for content in said_in_turn]
    fields.take("prompt")


def response_pair(fields: Fields) -> tuple[str, str] | None:
    """The columns of two responses or conversations, None where there are none."""
    return next((two for two in RESPONSE_PAIRS + CONVERSATION_PAIRS if two[0] in fields and two[1] in fields), None)


def parted(a: tuple[Message, ...], b: tuple[Message, ...], names: str) -> tuple[tuple[Message, ...], str, str]:
    """What two dialogues share at their beginning, and how each goes on, one turn or several as one text.

    What is shared ends before a turn of the assistant, and leaves each of them something to go on with.
    """
    limit = min(len(a), len(b)) - 1
    end = next((at for at in range(limit) if a[at] != b[at]), limit)
    while end and (a[end].role != "assistant" or b[end].role != "assistant"):
        end -= 1
    if a[end].role != "assistant" or b[end].role != "assistant":
        raise DataError(
            f"{names} have no turns in common before the assistant answers, so they have not the same prompt"
        )
    first, second = (text(response_text(chat[end:]), names) for chat in (a, b))
    return a[:end], first, second


def shared_beginning(a: str, b: str) -> int:
    """How many characters two texts share up to a line, sentence or colon, with something left of both behind it."""
    shared = next((at for at, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    ends = (found.end() for found in _BOUNDARY.finditer(a, 0, shared))
    return max((end for end in ends if a[end:].strip() and b[end:].strip()), default=0)
