"""`guerdon explain`."""

from __future__ import annotations

import json as jsonlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import OmitArgPrefixes, Positional, arg

from guerdon.cli.progress import RunProgress, terminal
from guerdon.cli.scorers import Model, ScorerOptions
from guerdon.cli.sources import AS_THEY_ARE, ColumnsRead
from guerdon.cli.tables import new_table, output
from guerdon.explain.explain_config import ExplainConfig
from guerdon.metrics import format_interval, format_value

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from guerdon.explain.explanation import CaseExplained, RewardExplanation
    from guerdon.explain.faithfulness_table import FaithfulnessTable
    from guerdon.explain.importance import FeatureImportance, Mover

Rows = Annotated[
    Positional[str | None],
    arg(metavar="[DATA]", help="Rows to explain instead of --response: a file, a hub name, - or starter."),
]

_RAISES, _LOWERS = (31, 95, 168), (180, 88, 26)
"""Colours of a word that raises a score and of one that lowers it, on a terminal."""
_MOVERS = 10


def explain(
    model: Model,
    data: Rows = None,
    /,
    prompt: str = "",
    response: str | None = None,
    versus: str | None = None,
    reference: str | None = None,
    page: Path | None = None,
    json: Path | None = None,
    columns: ColumnsRead = AS_THEY_ARE,
    config: OmitArgPrefixes[ExplainConfig] = ExplainConfig(),  # noqa: B008  # frozen
    scorer: OmitArgPrefixes[ScorerOptions] = ScorerOptions(),  # noqa: B008  # frozen
) -> None:
    """Say why a reward gives a response its score, or prefers one response to another.

    Each word, or sentence, gets what it adds to the score; beside another response (--versus), what it adds to the
    difference, and the fewest words whose edit turns the preference round. With DATA, some rows are explained so, and
    first what moves the scores of the whole data: words, features of the text, and where in the response they stand.

    Args:
        model: The scorer, or a comparer as module:object.
        data: Rows to explain instead of --response.
        prompt: The prompt.
        response: The response to explain.
        versus: Another response to the prompt: why is the first preferred to it, or not?
        reference: A reference answer, for rules that need one.
        page: File for an HTML page, in English or Chinese.
        json: File for all values (- is standard output, instead of the text).
        columns: Which columns of DATA are read.
        config: How scores are explained.
        scorer: How MODEL is loaded, and how it reads.
    """
    from guerdon.explain.explain_run import explain_reward

    with terminal() as console, RunProgress(console) as progress:
        found = explain_reward(
            scorer.named(model),
            data,
            prompt=prompt,
            response=response,
            versus=versus,
            reference=reference,
            config=config,
            page=page,
            json=None if str(json) == "-" else json,
            progress=progress.progressed,
            **columns,
        )
    if str(json) == "-":
        print(jsonlib.dumps(found.to_dict(), ensure_ascii=False, indent=2, allow_nan=False))
        return
    show_explanation(found)
    if page is not None:
        output().print(f"page: {page}", soft_wrap=True)


def show_explanation(found: RewardExplanation) -> None:
    """Prints what moves the data, how faithful the methods are, and each case."""
    console = output()
    for note in found.notes:
        console.print(note)
    if found.importance is not None:
        _show_importance(found.importance)
    if found.faithfulness is not None:
        for removal in found.faithfulness.removals:
            console.print(_faithfulness_table(found.faithfulness, removal))
        for line in found.faithfulness.lines():
            console.print(line)
    for case in found.cases:
        _show_case(case)


def _show_case(found: CaseExplained) -> None:
    from rich.text import Text

    console = output()
    console.print()
    console.print(Text("prompt", style="bold"), Text(found.case.text("prompt")))
    scores = {"response": found.score, "other": found.other_score}
    for part, curve in found.curves.items():
        name = part if part == "response" else "other response"
        score = "" if scores[part] != scores[part] else f", score {format_value(scores[part], decimals=2)}"
        console.print(Text(f"{name}{score}", style="bold"))
        console.print(_coloured(found, part))
        table = new_table("", "sentence or clause", "score after it", show_header=True)
        for text, value in zip(curve.sentences, curve.scores[1:], strict=True):
            table.add_row(" ".join(text.split()), format_value(float(value), signed=True, decimals=2))
        if len(curve.sentences) > 1:
            console.print(table)
    if found.members or found.features:
        console.print(_contributions_table(found))
    for line in found.lines():
        console.print(line)


def _coloured(found: CaseExplained, part: str) -> Text:
    """A response word by word: blue where a word raises its score, orange where it lowers it."""
    from rich.text import Text

    one = found.attribution.at("word")
    sign = -1 if part == "other" else 1
    most = max((abs(float(value)) for value in one.values if value == value), default=0.0) or 1.0
    text = Text("  ")
    for unit, value in zip(one.units, one.values, strict=True):
        if unit.part == part:
            weight = 0.0 if value != value else min(1.0, abs(float(value)) / most)
            colour = _RAISES if sign * value > 0 else _LOWERS
            piece = one.texts[unit.part][unit.start : unit.stop]
            word = piece.rstrip()
            style = f"on rgb({','.join(map(str, colour))}) rgb(255,255,255)" if weight > 0.25 else ""
            text.append(word, style=style + (" bold" if weight > 0.6 else ""))
            text.append(piece[len(word) :])
    return text


def _contributions_table(found: CaseExplained) -> Table:
    pair = found.case.other is not None
    headings = ("adds", "response", "other", "difference") if pair else ("adds", "response")
    table = new_table("what the score is made of", *headings)
    for one in (*found.members, *found.features):
        name = f"{one.member}: {one.name}" if one.member else one.name
        values = [*one.values, one.difference] if pair else list(one.values)
        table.add_row(name, *(format_value(value, signed=True, decimals=2) for value in values))
    return table


def _show_importance(found: FeatureImportance) -> None:
    console = output()
    titles = {
        "word": ("words", "word", "one occurrence\nadds"),
        "feature": ("features of the text", "feature", "a deviation more\ngoes with"),
        "position": ("where in the response", "position", "a word there\nadds more"),
    }
    for kind, (title, heading, effect) in titles.items():
        table = new_table(title, heading, "share of the\ndifferences", effect, "responses", title_style="bold")
        movers: tuple[Mover, ...] = found.of(kind)  # type: ignore[arg-type]
        for one in movers[:_MOVERS]:
            table.add_row(
                one.name,
                format_interval(one.share, decimals=2),
                format_interval(one.effect, signed=True, decimals=None),
                f"{one.responses:,}",
            )
        console.print(table)
    for line in found.lines():
        console.print(line)


def _faithfulness_table(found: FaithfulnessTable, removal: str) -> Table:
    table = new_table(
        f"faithfulness, words {removal}: {found.rows:,} rows of {found.prompts:,} prompts", "method", "normalised",
        "less a random order", "comprehen-\nsiveness", "sufficiency", "deletion", "insertion", title_style="bold",
    )  # fmt: skip
    for one in found.removals[removal]:
        shares = (one.comprehensiveness, one.sufficiency, one.deletion, one.insertion)
        table.add_row(
            one.method,
            format_interval(one.normalised, decimals=2),
            format_interval(one.over_random, signed=True, decimals=2),
            *(format_value(value, decimals=2) for value in shares),
        )
    return table
