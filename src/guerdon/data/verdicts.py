"""What people write to say which of two responses is better, or whether one is good: words, sides, signs, shares."""

from __future__ import annotations

import contextlib
import re

from guerdon.data.values import number
from guerdon.errors import DataError

SHARES = ("probability", "soft_label", "prob_a", "p_a")
"""Columns that hold P(first preferred), whatever number it is."""
VERDICTS = (
    *("preference", "winner", "comparison", "pairwise", "choice", "selected", "preferred"),
    *("verdict", "judgment", "judgement", "better", "better_response", "better_response_id", "preferred_response"),
    *("human_preference", "label", "chosen"),
)
"""Columns that name the preferred one of two responses; the first that is there counts."""
_RESPONSE = r"(?:response|answer|assistant|model|output|completion|candidate|summary|option|text)"
_SIDE = re.compile(
    rf"(?:the )?(?:{_RESPONSE}[\s_-]*)?(?:(1|a|left|first|one)|(2|b|right|second|two))(?:[\s_-]*{_RESPONSE})?"
    r"(?: (?:is|was) (?:(?:much|slightly|clearly|significantly) )?(?:better|best|preferred)| wins| won)?"
)
_ORDER = re.compile(r"([ab12])\s*(>{1,2}|={1,2}|<{1,2})\s*([ab12])")
BOTH_BAD = ("tie bothbad", "tie both bad", "both bad", "bothbad", "neither")
_TIES = frozenset(
    (
        *("tie", "tied", "equal", "same", "both", "draw", "similar", "no preference", "none"),
        *("equally good", "both good", "about the same", "it s a tie", *BOTH_BAD),
    )
)
_GOOD = ("positive", "good", "chosen", "accepted", "preferred", "desirable", "like", "liked", "up", "thumbs up", "+")
_BAD = ("negative", "bad", "rejected", "undesirable", "dislike", "disliked", "down", "thumbs down", "-")
_JUDGED = dict.fromkeys((*_GOOD, "correct", "right", "👍"), 1.0) | dict.fromkeys(
    (*_BAD, "incorrect", "wrong", "error", "👎"), 0.0
)


def token(verdict: object) -> str:
    """A verdict in lower case, signs that join or surround words as spaces."""
    return re.sub(r"[\s_()\[\]'’-]+", " ", str(verdict)).strip().lower()


def goodness(value: object, name: str) -> float:
    """What is thought of one text: a number, or a word as good (1) and bad (0)."""
    if not isinstance(value, str):
        return number(value, name)
    word = "-" if value.strip() == "-" else token(value)
    return _JUDGED[word] if word in _JUDGED else number(value, name)


def verdict_share(value: object, name: str, sides: tuple[str, str]) -> float:
    """The share of a verdict that goes to the first of two responses: 1, 0, 0.5 for a tie, or a share as it is.

    `value` is what an annotator chose in the column `name`: `left`, `a`, `1`, `response_1`, `[[A]]`, `A>B`, the name of
    one of the two response columns (`sides`), `tie` ..., a number between 0 and 1, or a list of one.
    """
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("selected") or value.get("choices") or value.get("value")
        return verdict_share(value, name, sides)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    given = str(value).strip().lower()
    if given in (sides[0].lower(), sides[1].lower()):
        return float(given == sides[0].lower())
    if token(given) in _TIES or given == "[[c]]":
        return 0.5
    if given in ("0", "1") and sides[0].endswith("0"):
        return float(given == "0")
    if (order := _ORDER.fullmatch(re.sub(r"[\[\]]", "", given))) and order[1] != order[3]:
        first = order[1] in "a1"
        return 0.5 if "=" in order[2] else float((">" in order[2]) == first)
    if not given.startswith(("-", "+")) and (match := _SIDE.fullmatch(token(given))):
        return float(match[1] is not None)
    return _share(value, name, sides)


def _share(value: object, name: str, sides: tuple[str, str]) -> float:
    with contextlib.suppress(DataError):
        if not isinstance(value, bool) and 0 < (share := number(value, name)) < 1:
            return share
    hint = ""
    if re.fullmatch(r"[-+]?\d+(\.\d+)?", str(value).strip()):
        hint = (
            f"; a number may count sides from 0, be a share or a strength. Fix: write {sides[0]}, {sides[1]} or tie, "
            "or call the column `probability` (of the first) or `preference_strength` (below 0 for the first)"
        )
    raise DataError(
        f"column {name!r} holds the verdict {str(value)[:40]!r}; known: left/right, a/b, 1/2, tie, {sides}{hint}"
    )
