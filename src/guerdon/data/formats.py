"""Which layout a record has, told by its columns, and its rows in that layout."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from guerdon.data import benchmark_layouts, exports, layouts, pair_layouts, step_layouts, verdicts
from guerdon.data.layouts import LayoutError
from guerdon.data.source import Source
from guerdon.data.values import EXTRA_COLUMN, JSON_COLUMNS, TEXT_COLUMNS, Fields
from guerdon.errors import DataError
from guerdon.types import AnyRow, Origin


@dataclass(frozen=True, slots=True)
class Layout:
    """A way of writing judgements down."""

    name: str
    """What its publishers call it."""
    needs: tuple[tuple[str, ...], ...]
    """Columns it must have; of each inner tuple, one."""
    read: Callable[[Fields], list[AnyRow]]
    """Turns the columns of a record into its rows."""
    without: frozenset[str] = frozenset()
    """Columns that it must not have: with them a row is a damaged row of another layout."""
    endings: tuple[str, ...] = ()
    """It must also have a column ending in one of these."""

    def lacking(self, columns: frozenset[str]) -> list[str]:
        """The columns that the layout needs and that are not there."""
        missing = ["|".join(needed[:3]) for needed in self.needs if columns.isdisjoint(needed)]
        ended = any(column.endswith(self.endings) for column in columns)
        return missing if ended or not self.endings else [*missing, "|".join(f"*{ending}" for ending in self.endings)]

    def fits(self, columns: frozenset[str]) -> bool:
        """Whether a record of these columns has this layout."""
        return self.without.isdisjoint(columns) and not self.lacking(columns)

    def __str__(self) -> str:
        columns = ["|".join(needed[:3]) for needed in self.needs] + [f"*{ending}" for ending in self.endings]
        return f"{self.name} ({', '.join(columns)})"


_PROMPT = layouts.PROMPTS
_RESPONSE = layouts.RESPONSES
_VERDICT = (*pair_layouts.STRENGTHS, *verdicts.SHARES, *verdicts.VERDICTS)
_JUDGED = frozenset(("chosen", "rejected"))
_REJECTED = frozenset(("rejected",))
_REJECTED_TOO = ("rejected_response", "rejected_messages")
_SCORED = frozenset((*_JUDGED, "response", "responses", "score", "scores"))

LAYOUTS: tuple[Layout, ...] = (
    Layout("Label Studio export", (("data",), ("annotations",)), exports.label_studio),
    Layout("Argilla records", (("fields",), ("responses",)), exports.argilla_records),
    Layout("Argilla table", (_PROMPT,), exports.argilla_table, endings=(".responses", "-suggestion")),
    Layout("RewardBench 2", (_PROMPT, ("chosen",), ("rejected",), ("num_correct",)), benchmark_layouts.rewardbench2),
    Layout("JudgeBench", (_PROMPT, ("response_A",), ("response_B",), ("label",)), benchmark_layouts.labelled_pair),
    Layout("RMB", (("conversation_input",), ("chosen",), ("reject",)), benchmark_layouts.rmb_pair),
    Layout(
        "RMB, best of n", (("conversation_input",), ("bon_best",), ("loser_list",)), benchmark_layouts.rmb_best_of_n
    ),
    Layout("ProcessBench", (("problem",), ("steps",), ("label",)), step_layouts.process_bench),
    Layout("PRM800K", (("question",), ("label",), ("labeler",)), step_layouts.prm800k),
    Layout("Math-Shepherd", (("input",), ("label",), ("task",)), step_layouts.math_shepherd),
    Layout("steps", (_PROMPT, ("steps", "completions"), ("labels",)), step_layouts.stepwise),
    Layout(
        "steps with their labels",
        ((*_PROMPT, "problem"), ("steps",)),
        step_layouts.labelled_steps,
        _SCORED | {"labels"},
    ),
    Layout("comparison", (("chosen",), ("rejected",)), pair_layouts.comparison),
    *(
        Layout("comparison, other names", ((a,), (b,)), pair_layouts.named_pair)
        for a, b in pair_layouts.CHOSEN_REJECTED
    ),
    Layout("ms-swift comparison", (_PROMPT, _RESPONSE, _REJECTED_TOO), pair_layouts.rejected_response),
    Layout("ms-swift dialogues", (("messages",), _REJECTED_TOO), pair_layouts.rejected_response),
    *(
        Layout("two responses and a verdict", (_PROMPT, (a,), (b,), _VERDICT), pair_layouts.two_responses, _REJECTED)
        for a, b in pair_layouts.RESPONSE_PAIRS
    ),
    *(
        Layout("two conversations and a verdict", ((a,), (b,), _VERDICT), pair_layouts.two_responses, _REJECTED)
        for a, b in pair_layouts.CONVERSATION_PAIRS
    ),
    *(
        Layout(
            "two responses and their winner",
            ((a,), (b,), (f"{winner}a",), (f"{winner}b",)),
            pair_layouts.one_hot_winner,
            _JUDGED,
        )
        for a, b in pair_layouts.RESPONSE_PAIRS + pair_layouts.CONVERSATION_PAIRS
        for winner in pair_layouts.WINNERS
    ),
    *(
        Layout("two responses with a score each", (_PROMPT, *columns), pair_layouts.two_scored, _JUDGED)
        for columns in pair_layouts.SCORED_PAIRS
    ),
    Layout("SHP", (("history",), ("human_ref_A",), ("human_ref_B",), ("labels",)), benchmark_layouts.shp),
    Layout("summaries from feedback", (("info",), ("summaries",), ("choice",)), benchmark_layouts.compared_summaries),
    Layout("ranking", (_PROMPT, ("responses",), ("scores",)), layouts.ranking, _JUDGED),
    Layout("ranking by ranks", (_PROMPT, layouts.ANSWERS, layouts.RANKS), layouts.ranks, _JUDGED),
    Layout(
        "generations with ratings",
        (_PROMPT, ("generations",), ("ratings", "rating", "scores")),
        layouts.ranking,
        _JUDGED,
    ),
    Layout("rating", (_PROMPT, _RESPONSE, ("score", "scores")), layouts.rating, _JUDGED),
    Layout("messages with ratings", (layouts.DIALOGUES, ("score", "scores")), layouts.rating, _JUDGED),
    Layout("messages with a label", (layouts.DIALOGUES, layouts.LABELS), layouts.unpaired, _JUDGED),
    Layout("HelpSteer", (_PROMPT, _RESPONSE, layouts.HELPSTEER), layouts.helpsteer, _JUDGED),
    Layout("unpaired preference", (_PROMPT, _RESPONSE, layouts.LABELS), layouts.unpaired, _JUDGED),
    Layout("rating, other names", (_PROMPT, _RESPONSE, layouts.RATINGS), layouts.rating_by_another_name, _JUDGED),
    Layout("reference", (_PROMPT, ("reference",)), layouts.reference, _SCORED),
    Layout("verl", (_PROMPT, ("reward_model",)), layouts.reference, _SCORED),
    Layout("solution", (_PROMPT, ("canonical_solution", "code")), layouts.answered, _SCORED),
    Layout("answer", (_PROMPT, ("label",)), layouts.answered, _SCORED),
    Layout("responses with scores within", (_PROMPT, layouts.ANSWERS), layouts.scored_objects, _JUDGED),
    Layout("ranking without a prompt", (("responses",), ("scores",)), layouts.ranking, _JUDGED),
    Layout(
        "text with ratings or a label",
        (layouts.TEXTS, ("score", "scores", *layouts.LABELS)),
        layouts.judged_text,
        _JUDGED,
    ),
)
"""Every known layout; the first that fits is taken, so the more particular ones come first."""
READ_COLUMNS = frozenset(
    (
        *(name for layout in LAYOUTS for needed in layout.needs for name in needed),
        *(name for pair in pair_layouts.SCORE_PAIRS for name in pair),
        *layouts.CONTEXT,
        *("margin", "votes", "reference", "generated", "subset", "group", "id"),
        *(TEXT_COLUMNS, JSON_COLUMNS, EXTRA_COLUMN),
    )
)
"""Columns that some layout reads."""
READ_ENDINGS = tuple(ending for layout in LAYOUTS for ending in layout.endings)
_EXPORTS = (exports.label_studio, exports.argilla_records, exports.argilla_table)


def read_record(record: Mapping[str, Any], origin: Origin | None = None, reading: Source | None = None) -> list[AnyRow]:
    """The rows of one record; `reading` is one object for all records of a source.

    Raises:
        LayoutError: no layout has these columns.
        DataError: a column holds what it must not; the message names it (the caller adds file and line).
    """
    # Columns of an export tell what it is, be they null.
    present = frozenset(name for name, value in record.items() if value is not None or name.endswith(READ_ENDINGS))
    # A null in a needed column should be called that, not an unknown layout: so look again with the nulls.
    layout = find_layout(present) or find_layout(frozenset(record))
    if layout is None:
        raise LayoutError(_unknown(record))
    for needed in layout.needs:
        if present.isdisjoint(needed):
            raise DataError(f"column {next(name for name in needed if name in record)!r} is missing or null")
    reading = reading or Source()
    if reading.chosen and layout.read not in _EXPORTS:
        raise DataError(
            f"there is no question {reading.chosen!r} here: it is a {layout.name}, not an annotation export"
        )
    rows = layout.read(Fields(record, origin, reading))
    reading.layouts[layout.name] += 1
    return rows


@functools.lru_cache(maxsize=256)
def find_layout(columns: frozenset[str]) -> Layout | None:
    """The first layout that a record with these columns fits, None if there is none."""
    return next((layout for layout in LAYOUTS if layout.fits(columns)), None)


def known_layouts() -> str:
    """The layouts in one line each, for an error message: name and the columns that are needed.

    Of layouts with a verdict, which differ in how their two columns are spelt (response_1, answer_a ...), the first
    stands for all.
    """
    lines: dict[str, str] = {}
    for layout in map(str, LAYOUTS):
        name = layout.partition(" (")[0]
        lines.setdefault(name if name.endswith(("verdict", "winner", "names", "each")) else layout, layout)
    return "\n".join(f"  {line}" for line in lines.values())


def _unknown(record: Mapping[str, Any]) -> str:
    columns = frozenset(name for name, value in record.items() if value is not None)
    found = ", ".join(list(map(str, record))[:20]) or "none"
    more = f" and {len(record) - 20} more" if len(record) > 20 else ""
    return f"no known layout has these columns: {found}{more}{_unjudged(columns) or _nearest(columns)}"


def _unjudged(columns: frozenset[str]) -> str:
    """What a prompt with responses lacks that nobody judged; empty for other columns."""
    answers = (*_RESPONSE, *layouts.ANSWERS)
    dialogue = not columns.isdisjoint(layouts.DIALOGUES)
    if not dialogue and (columns.isdisjoint(_PROMPT) or columns.isdisjoint(answers)):
        return ""
    return (
        "; nothing says what is thought of the responses. They can be scored (guerdon score), but to learn or measure "
        "by they need a score, a label, ranks, or a response that was rejected"
    )


def _nearest(columns: frozenset[str]) -> str:
    """A hint at the layout of which most of the needed columns are there, if half of them are."""
    possible = [
        layout
        for layout in LAYOUTS
        if layout.without.isdisjoint(columns) and not layout.endings and "messages" not in layout.lacking(columns)
    ]
    absent = {layout: layout.lacking(columns) for layout in possible}
    nearest = min(possible, key=lambda layout: (len(absent[layout]) / len(layout.needs), len(absent[layout])))
    lacking = absent[nearest]
    return (
        f"; the nearest is {nearest}, and lacks {', '.join(lacking)}" if 2 * len(lacking) <= len(nearest.needs) else ""
    )
