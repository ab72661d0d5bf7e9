"""Which texts stand in the data more than once, as they are or nearly, within a part and across parts of a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guerdon.data.near_duplicates import nearest_texts, plain
from guerdon.types import AnyRow, prompt_text, response_texts

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class LikeTexts:
    """Two texts that are nearly the same."""

    similarity: float
    text: str
    other: str


@dataclass(frozen=True, slots=True)
class Duplicates:
    """How many texts of one kind have a double."""

    what: str
    """`prompts` or `responses`."""
    beside: str
    """Where the double stands: empty for the data itself, else the name of the other part."""
    texts: int
    """Distinct texts that were looked at."""
    exact: int
    """Those whose double differs in case, width, white space and punctuation at most."""
    near: int
    """Those that have only a near one (`guerdon.data.near_duplicates`)."""
    examples: tuple[LikeTexts, ...]
    """The nearest ones that are not exact."""

    def sentence(self) -> str:
        """How many there are, in plain words."""
        elsewhere = "to another prompt" if self.what == "responses" else "in the data"
        where = f"in {self.beside}" if self.beside else elsewhere
        return f"{self.exact:,} of {self.texts:,} {self.what} have a double {where}, {self.near:,} a near double."


def find_duplicates(
    rows: Sequence[AnyRow], beside: Mapping[str, Sequence[AnyRow]]
) -> tuple[int, tuple[Duplicates, ...]]:
    """Doubles within the rows, and between them and other parts of a split.

    Within the rows, prompts are compared with each other, and responses with those to other prompts: two like answers
    to one prompt are a fair comparison. Across parts a double of either is a leak.

    Args:
        rows: the data.
        beside: name -> rows of another part, which should share nothing with the data.

    Returns:
        How many rows repeat an earlier row (prompt and responses in their order), and the doubles.
    """
    repeats = len(rows) - len({(prompt_text(row.prompt), *response_texts(row)) for row in rows})
    prompts, responses = _texts(rows)
    names = list(responses.values())
    codes = {name: code for code, name in enumerate(dict.fromkeys(names))}
    found = [
        _duplicates("prompts", "", prompts),
        _duplicates("responses", "", list(responses), apart=[codes[name] for name in names]),
    ]
    for name, others in beside.items():
        other_prompts, other_responses = _texts(others)
        found.append(_duplicates("prompts", name, prompts, other_prompts))
        found.append(_duplicates("responses", name, list(responses), list(other_responses)))
    return repeats, tuple(found)


def _texts(rows: Sequence[AnyRow]) -> tuple[list[str], dict[str, str]]:
    """The distinct prompts; and the distinct responses with their first prompt."""
    responses: dict[str, str] = {}
    for row in rows:
        for text in response_texts(row):
            responses.setdefault(text, prompt_text(row.prompt))
    return list(dict.fromkeys(prompt_text(row.prompt) for row in rows)), responses


def _duplicates(
    what: str, beside: str, texts: list[str], others: list[str] | None = None, apart: list[int] | None = None
) -> Duplicates:
    nearest = nearest_texts(texts, others, apart=apart)
    there = texts if others is None else others
    exact, near = 0, []
    for place in range(len(texts)):
        if nearest.found[place]:
            other = there[nearest.place[place]]
            if nearest.similarity[place] == 1 and plain(texts[place]) == plain(other):
                exact += 1
            else:
                near.append(LikeTexts(float(nearest.similarity[place]), texts[place], other))
    near.sort(key=lambda one: -one.similarity)
    shown: list[LikeTexts] = []
    for one in near:
        if len(shown) < EXAMPLES and one.text not in {two.other for two in shown}:
            shown.append(one)
    return Duplicates(what, beside, len(texts), exact, len(near), tuple(shown))
