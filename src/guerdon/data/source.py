"""What is asked of a source, and what becomes known of it while its records pass: one object for all of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from guerdon.errors import DataError

if TYPE_CHECKING:
    from guerdon.types import Row

logger = logging.getLogger(__name__)


class Source:
    """The question that was chosen, the layouts that were found, what was not read, what must be said once."""

    _rows = 1000
    _said: ClassVar[set[tuple[str, ...]]] = set()

    def __init__(self, question: str | None = None, source: str = "") -> None:
        self.chosen = question
        """The user's choice among the questions of an annotation export."""
        self.layouts = Counter[str]()
        """Layout -> records that have it."""
        self.prompted = False
        """Whether a record had a prompt."""
        self.map: dict[str, str] = {}
        """Name that Guerdon reads -> column, where columns of other names were mapped."""
        self.taken: dict[str, None] = {}
        """Columns that were read, under the names that Guerdon reads."""
        self.columns: dict[str, None] = {}
        """Columns that are kept beside the rows and not read, in the order in which they were met."""
        self._source, self._seen = source, 0
        self._questions: dict[str, None] = {}
        self._notes: dict[str, None] = {}
        self._first: dict[str, object] = {}
        self._differing: dict[str, None] = {}

    def only(self, possible: Sequence[str]) -> str:
        """The one question that could say what is preferred.

        Raises:
            DataError: several could be it, in this record or together with those before it.
        """
        self._questions.update(dict.fromkeys(possible))
        if len(self._questions) > 1:
            names = ", ".join(self._questions)
            raise DataError(
                f"several questions could say which response is preferred: {names}. Fix: choose one, --question NAME"
            )
        return possible[0]

    def note(self, text: str) -> None:
        """Something that holds for many records, to be said once."""
        self._notes[text] = None

    def see(self, row: Row) -> None:
        """Looks at what is left of a row, as long as it is one of the first."""
        if self._seen < self._rows and row.extra:
            self._seen += 1
            self.columns.update(dict.fromkeys(row.extra))
            for name, value in row.extra.items():
                if looks_like_text(value) and self._first.setdefault(name, value) != value:
                    self._differing[name] = None

    def take(self, columns: Iterable[str], rows: Sequence[Row]) -> None:
        """Keeps which columns of a record its rows were made of, as long as it is one of the first."""
        if self.layouts.total() <= self._rows:
            self.taken.update((name, None) for name in columns if not any(name in row.extra for row in rows))

    def warn(self) -> None:
        """Says once of each source what was noted, and which columns hold text that no layout reads.

        Such a column may be context that would be missed. A text that is the same in every row tells about the data
        set, and is no context.
        """
        for note in self._notes:
            self._say((note,), note)
        if names := tuple(self._first if self._seen == 1 else self._differing):
            listed = ", ".join(map(repr, names))
            self._say(
                names,
                f"not read, though there is text in it: column {listed}. It is kept beside the rows, but it is no part "
                "of prompts or responses",
            )

    def _say(self, key: Iterable[str], text: str) -> None:
        if (entry := (self._source, *key)) not in self._said:
            self._said.add(entry)
            logger.warning("%s: %s", self._source, text)


def looks_like_text(value: object) -> bool:
    """Whether it is a text of some words, or the turns of a chat."""
    if isinstance(value, str):
        return len(value.split(maxsplit=3)) > 3 or (len(value) > 12 and not value.isascii())
    one = value[0] if isinstance(value, list) and value else None
    return isinstance(one, dict) and not {"content", "value", "parts", "text"}.isdisjoint(one)
