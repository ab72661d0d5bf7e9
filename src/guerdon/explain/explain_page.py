"""The page of `guerdon explain`: one file that needs nothing else, in English or Chinese."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from guerdon.explain.explanation import AttentionByWord, CaseExplained, RewardExplanation
from guerdon.explain.flips import RESPONSES
from guerdon.explain.importance import Mover
from guerdon.explain.units import Part, text_without
from guerdon.files import atomic_write
from guerdon.metrics import Floats, Interval, format_value
from guerdon.report.charts import Chart, Line, line_chart
from guerdon.report.drawing import AGAINST, MODEL
from guerdon.report.strips import Axis
from guerdon.report.templating import environment
from guerdon.text.language import is_chinese

TEMPLATE = "explain.html.j2"
_NAMES: dict[Part, str] = {"response": "first", "other": "other"}
"""The phrase that names a response."""
_MOVERS = 12
"""Words, or features, that are shown."""
_HEAD_WORDS = 3
"""Words that a head is shown to read most."""


def write_explain_page(found: RewardExplanation, path: Path, language: str = "auto") -> None:
    """Writes the page. Raises OutputError."""
    with atomic_write(path) as file:
        file.write(explain_page(found, language))


def explain_page(found: RewardExplanation, language: str = "auto") -> str:
    """The page as HTML text; `language` is `en`, `zh`, or `auto`, which takes that of the responses."""
    if language == "auto":
        texts = [case.case.response for case in found.cases]
        texts += [mover.name for mover in (found.importance.of("word") if found.importance else ())] * (not texts)
        language = "zh" if is_chinese(" ".join(texts)) else "en"
    words = _phrases()[language]
    templates = environment()
    templates.filters |= {"named": lambda name: words.get("names", {}).get(name, name)}
    movers = found.importance.movers if found.importance else ()
    return templates.get_template(TEMPLATE).render(
        found=found,
        t=words,
        cases=[CaseView(one, words) for one in found.cases],
        short=Path(found.model).name,
        movers={kind: _shown(movers, kind) for kind in ("word", "feature", "position")},
        axis=Axis.around(0.0, [mover.share for kind in ("word", "feature") for mover in _shown(movers, kind)]),
        faithful=Axis.around(None, [Interval(0.0), Interval(1.0)]),
    )


@cache
def _phrases() -> Mapping[str, Mapping[str, Any]]:
    text = Path(__file__).with_name("phrases.json").read_text(encoding="utf-8")
    found: Mapping[str, Mapping[str, Any]] = json.loads(text)
    return found


def _shown(movers: Sequence[Mover], kind: str) -> list[Mover]:
    return [one for one in movers if one.kind == kind and np.isfinite(one.share.point)][:_MOVERS]


@dataclass(frozen=True, slots=True)
class Shade:
    """A piece of text as it is drawn."""

    text: str
    value: float
    weight: float
    """0 no colour, 1 the strongest."""
    sentence: float | None = None
    """Behind the last word of a sentence, the sum of it."""
    removed: bool = False
    put: str = ""
    """What stands in place of what is removed."""


class CaseView:
    """One explained case as the page shows it."""

    def __init__(self, found: CaseExplained, words: Mapping[str, Any]) -> None:
        self.found, self.words = found, words
        self.case = found.case
        self.lang = ' lang="zh-Hans"' if is_chinese(found.case.response) else ""
        self.pair = found.case.other is not None
        one = found.attribution.at("word")
        self._attribution = one
        self._strongest = float(np.nanmax(np.abs(one.values), initial=0.0)) or 1.0

    @property
    def verdict(self) -> str:
        """What the reward says, in one sentence; `{model}` stands for its name."""
        found, words = self.found, self.words
        margin = format_value(found.attribution.total, signed=True, decimals=2)
        if not self.pair:
            return str(words["verdict_one"]).replace("{score}", format_value(found.score, decimals=2))
        if np.isnan(found.score):
            which = words["first"] if found.attribution.total > 0 else words["other"]
            return str(words["verdict_judge"]).replace("{which}", which).replace("{margin}", margin)
        sort = "more" if found.margin > 0 else "less" if found.margin < 0 else "equal"
        values = {
            "{score}": format_value(found.score, decimals=2),
            "{other}": format_value(found.other_score, decimals=2),
            "{margin}": margin.lstrip("+-"),
        }
        text = str(words[f"verdict_{sort}"])
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    @property
    def sides(self) -> list[tuple[Part, str, float]]:
        """The responses: part, heading and score."""
        first: tuple[Part, str, float] = ("response", self.words["First"], self.found.score)
        return [first, ("other", self.words["Other"], self.found.other_score)] if self.pair else [first]

    def shades(self, part: Part) -> list[Shade]:
        """A text word by word, or sentence by sentence where no more is known, as coloured by its own score."""
        one = self._attribution
        sign = -1.0 if part == "other" else 1.0
        whole = one.at("sentence")
        sums = {
            unit.stop: sign * value for unit, value in zip(whole.units, whole.values, strict=True) if unit.part == part
        }
        return [
            Shade(
                one.texts[part][unit.start : unit.stop],
                sign * float(value),
                round(min(1.0, abs(float(np.nan_to_num(value))) / self._strongest), 3),
                sums.get(unit.stop),
            )
            for unit, value in zip(one.units, one.values, strict=True)
            if unit.part == part
        ]

    def has(self, part: Part) -> bool:
        """Whether a part was attributed to."""
        return any(unit.part == part for unit in self._attribution.units)

    @property
    def between(self) -> dict[str, str] | None:
        """Where the values start from and what they add; None for methods without such a point."""
        one = self.found.attribution
        if np.isnan(one.reference):
            return None
        added = one.total - one.reference
        names = {"reference": one.reference, "added": added, "total": one.total}
        return {name: format_value(value, signed=name == "added", decimals=2) for name, value in names.items()}

    @property
    def between_phrase(self) -> str:
        """Key of the sentence that says so."""
        masked = self.found.attribution.method == "integrated-gradients"
        return f"read_between{('_margin' if masked else '_pair') if self.pair else ''}"

    @property
    def flip_parts(self) -> list[Part]:
        """The responses that are changed by the edit that turns the preference round, or would have been."""
        flip = self.found.flip
        if flip is None:
            return []
        return [part for part in RESPONSES if flip.edited_words[part]] or [flip.winner]

    @property
    def flip_edit(self) -> str:
        """How many words of these are changed, and to what."""
        flip = self.found.flip
        assert flip is not None
        edits = []
        for part in self.flip_parts:
            count, words, word = flip.edited_words[part], flip.words[part], flip.in_place[part]
            values = {"count": count, "words": words, "share": f"{count / words:.0%}", "word": word}
            phrase = self.words["flip_with" if word else "flip_without"]
            edits.append(phrase.format(which=self.words[_NAMES[part]], **values))
        return str(self.words["and"]).join(edits)

    def flip_pieces(self, part: Part) -> list[Shade]:
        """A response, with the words marked that are edited."""
        flip, text = self.found.flip, self.case.text(part)
        assert flip is not None
        gone = [(unit.start, unit.stop) for unit in flip.edited if unit.part == part]
        edges = sorted({0, len(text), *(edge for span in gone for edge in span)})
        pieces = [Shade(text[start:stop], 0.0, 0.0, removed=(start, stop) in gone) for start, stop in pairwise(edges)]
        word = flip.in_place[part]
        return [
            replace(one, put=text_without(one.text, [(0, len(one.text))], word)) if one.removed and word else one
            for one in pieces
        ]

    @property
    def charts(self) -> list[Chart]:
        """The score after each sentence."""
        colours = {"response": MODEL, "other": AGAINST}
        lines = []
        for part, curve in self.found.curves.items():
            points = tuple((float(at), float(y)) for at, y in enumerate(curve.scores) if np.isfinite(y))
            if len(points) > 2:
                lines.append(Line(self.words["First" if part == "response" else "Other"], points, colours[part]))
        return [line_chart(self.words["prefix"], self.words["sentences_read"], lines)] if lines else []

    def looked_at(self, part: Part) -> list[Shade]:
        """A response coloured by the rollout of attention."""
        paid = self.found.attention[part]
        text = self.case.text(part)
        own = [(unit, value) for unit, value in zip(paid.units, paid.rollout, strict=True) if unit.part == part]
        most = max((float(value) for _, value in own), default=0.0) or 1.0
        return [Shade(text[unit.start : unit.stop], float(value), round(float(value) / most, 3)) for unit, value in own]

    def heads(self, part: Part) -> list[tuple[str, list[str]]]:
        """Of each head the words that it reads most."""
        paid = self.found.attention[part]
        layers, heads, _ = paid.heads.shape
        return [
            (f"{layer + 1}, {head + 1}", self._most_read(paid, paid.heads[layer, head]))
            for layer in range(layers)
            for head in range(heads)
        ]

    def _most_read(self, paid: AttentionByWord, values: Floats) -> list[str]:
        order = np.argsort(-values, kind="stable")[:_HEAD_WORDS]
        return [self.case.text(paid.units[k].part)[paid.units[k].start : paid.units[k].stop].strip() for k in order]
