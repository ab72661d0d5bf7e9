from __future__ import annotations

import math
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.results import Evaluation
from guerdon.explain.occlusion import occlude
from guerdon.metrics import Interval
from guerdon.quickstart.evidence import Candidate, Evidence, Feature
from guerdon.quickstart.report_page import Explanation, ReportData, is_code, paired_rewards, render
from guerdon.quickstart.worked_examples import choose_examples
from guerdon.rewards.rules import LengthReward
from guerdon.types import AnyRow, Comparison, Ranking, Rating

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>&amp;\"'{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def evaluation(lengths: list[Comparison]) -> Evaluation:
    return evaluate_reward(
        {"model": LengthReward()}, lengths, baselines={"shortest wins": LengthReward(-1)}, resamples=50
    )


def full_page(evaluation: Evaluation, rows: list[Comparison], text: str = "plain") -> ReportData:
    scorer = LengthReward()
    examples = choose_examples(scorer, rows)
    return ReportData(
        data=text,
        evaluation=evaluation,
        notes=[text],
        headline=[text],
        evidence=Evidence(
            (
                Candidate("blend", Interval(0.7, 0.6, 0.8), Interval(0.6, 0.4, 0.7), 0.2, math.nan),
                Candidate(text, Interval(0.6, 0.5, 0.7), Interval(0.5, 0.4, 0.6), 0.1, 1.0),
            ),
            40,
            {text: (Feature(text, 0.5), Feature("commas", -0.25))},
            0.125,
            "longest",
            Interval(0.1, 0.02, 0.2),
            Interval(0.6, 0.4, 0.7),
            False,
        ),
        rewards=paired_rewards(scorer, rows),
        examples=examples,
        explanations=[
            Explanation(each, {text: occlude(scorer, each.prompt, each.responses[0].text)}, {text: [0.5, -0.25]})
            for each in examples
        ],
        facts={text: {text: text}},
        commands=[(text, text)],
    )


class Outline(HTMLParser):
    """Tags, attributes, and whether all that is opened is closed."""

    VOID = frozenset(("meta", "line", "path", "circle", "br"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(text: str) -> Outline:
    found = Outline()
    found.feed(text)
    assert found.open == []
    return found


def test_page_is_well_formed_and_stands_alone(evaluation: Evaluation, lengths: list[Comparison]) -> None:
    text = render(full_page(evaluation, lengths))
    seen = outline(text).seen
    tags = {tag for tag, _ in seen}
    assert {"h1", "table", "svg", "article", "pre"} <= tags
    assert not tags & {"script", "link", "img", "iframe", "a"}
    assert not re.search(r"https?://|url\(|@import", text)
    assert "default-src 'none'" in text


def test_text_of_the_data_cannot_become_markup(lengths: list[Comparison]) -> None:
    rows = [
        replace(row, prompt=f"{HOSTILE}{i}", chosen=f"{row.chosen} {HOSTILE}", subset=HOSTILE if i % 2 else "en")
        for i, row in enumerate(lengths)
    ]
    evaluation = evaluate_reward(
        {HOSTILE + "m": LengthReward()}, rows, baselines={HOSTILE: LengthReward(-1)}, resamples=9
    )
    text = render(full_page(evaluation, rows, HOSTILE))
    assert "<script" not in text
    assert "<img" not in text
    assert "&lt;script&gt;alert(&#39;x&#39;)" in text
    assert "{{ 7 * 7 }}" in text
    names = {name for _, attributes in outline(text).seen for name in attributes}
    assert not {name for name in names if name.startswith("on")}


def test_what_is_not_there_is_not_shown(evaluation: Evaluation) -> None:
    text = render(ReportData(data="few", evaluation=evaluation))
    outline(text)
    for heading in ("Worked examples", "Why it prefers", "The candidates", "Next", "Facts"):
        assert heading not in text


def test_what_it_rests_on_is_shown_and_distrust_is_marked(evaluation: Evaluation, lengths: list[Comparison]) -> None:
    text = render(full_page(evaluation, lengths))
    for shown in ("handed over", "0.700", "[0.600, 0.800]", "<code>commas</code> -0.25", "correlate by +0.12", "+0.75"):
        assert shown in text
    assert 'class="headline worse"' in text


@pytest.mark.parametrize(
    ("rows", "heading"),
    [
        ([Rating(prompt=f"p{i % 6}", response="x" * (i + 1), scores={"score": i % 7}) for i in range(40)], "Spearman"),
        ([Rating(prompt="p", response="x" * (i + 1), scores={"a": i, "b": -i}) for i in range(12)], "Ratings: b"),
        ([Ranking(prompt=f"p{i}", responses=("x", "yy", "zzz"), scores=(0, 1, 2)) for i in range(12)], "accuracy"),
    ],
)
def test_other_kinds_of_rows_render(rows: list[AnyRow], heading: str) -> None:
    scorer = LengthReward()
    found = evaluate_reward({"model": scorer}, rows, baselines={"shortest": LengthReward(-1)}, resamples=20)
    text = render(
        ReportData(
            data="d", evaluation=found, rewards=paired_rewards(scorer, rows), examples=choose_examples(scorer, rows)
        )
    )
    outline(text)
    assert heading in text
    assert "nan" not in text.lower().replace("nant", "")


def test_the_verdict_is_that_of_the_evaluation(evaluation: Evaluation) -> None:
    sentence = evaluation.sections[0].sentence("model", called="The reward")
    assert sentence in unescape(render(ReportData(data="d", evaluation=evaluation)))


def test_a_model_that_was_trained_on_the_rows_is_not_said_to_be_new_to_them(evaluation: Evaluation) -> None:
    assert "that the model has not learned from" in render(ReportData(data="d", evaluation=evaluation))
    seen = replace(evaluation, seen={"model": 0.5}, notes=("model was TRAINED on half of it.",))
    text = render(ReportData(data="d", evaluation=seen))
    assert "has not learned from" not in text
    assert "model was TRAINED on half of it." in text


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("def add(a, b):\n    return a + b", True),
        ("if a:\n\tgo()", True),
        ("A list:\n- one\n  - two", False),
        ("One line    with room in it.", False),
        ("Only room between.\n    \nthem", False),
    ],
)
def test_what_is_indented_as_code_is_set_in_columns(text: str, code: bool) -> None:
    assert is_code(text) is code
