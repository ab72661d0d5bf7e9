from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest

from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.results import Evaluation
from guerdon.explain.occlusion import occlude
from guerdon.metrics import Interval
from guerdon.quickstart.report_page import Axis, ReportData, evaluate_by_coverage, paired_rewards, render
from guerdon.quickstart.worked_examples import choose_examples
from guerdon.rewards.encode import Reading
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.transformer import TransformerReward
from guerdon.runs.log import LearningCurve
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
        coverage={
            "": Reading(texts=80, unknown=40, total=100, prompts_cut=3, responses_cut=2),
            "zh": Reading(texts=40, unknown=80, total=100),
            "en": Reading(texts=40, unknown=1, total=100),
            text: Reading(texts=1, unknown=1, total=2),
        },
        curve=LearningCurve(((1, 0.7), (2, 0.6)), ((1, 0.5), (2, 0.6)), ((2, 0.65),), ((2, 0.61),)),
        rewards=paired_rewards(scorer, rows),
        examples=examples,
        explanations=[(each, {text: occlude(scorer, each.prompt, each.responses[0].text)}) for each in examples],
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
    for heading in ("Worked examples", "Why it prefers", "Training and rewards", "Next", "Facts", "could not read"):
        assert heading not in text


def test_unread_text_is_pointed_out(evaluation: Evaluation, lengths: list[Comparison]) -> None:
    text = render(full_page(evaluation, lengths))
    assert "40% of the text is unknown" in text
    assert "3 of 80 texts were too long" in text
    assert "the model cannot read 80% of such texts" in text
    assert "cannot read 1%" not in text


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
    sentence = evaluation.sections[0].sentence("model", called="The reward model")
    assert sentence in unescape(render(ReportData(data="d", evaluation=evaluation)))


def test_a_model_that_was_trained_on_the_rows_is_not_said_to_be_new_to_them(evaluation: Evaluation) -> None:
    assert "that the model has not learned from" in render(ReportData(data="d", evaluation=evaluation))
    seen = replace(evaluation, seen={"model": 0.5}, notes=("model was TRAINED on half of it.",))
    text = render(ReportData(data="d", evaluation=seen))
    assert "has not learned from" not in text
    assert "model was TRAINED on half of it." in text


def test_axis_holds_everything() -> None:
    axis = Axis.around(0.5, [Interval(0.73, 0.68, 0.81), Interval(math.nan)])
    assert (axis.low, axis.high, axis.chance) == (0.5, 0.9, 0.5)
    assert axis.mark(Interval(0.7, 0.6, 0.8)) == {"at": 50.0, "from": 25.0, "span": 50.0}
    assert axis.mark(Interval(math.nan)) is None
    assert Axis.around(0.0, [Interval(-0.25)]).low == -0.3


def test_rows_are_measured_by_whether_they_are_read(polite: Callable[..., list[Comparison]], tiny_bert: str) -> None:
    odd = [Comparison(prompt=f"q{i}", chosen="龘靐齉", rejected="爩麤") for i in range(30)]
    reward, scorer = TransformerReward.create(tiny_bert), LengthReward()
    found = evaluate_by_coverage(reward, scorer, [*polite(), *odd], {"shortest": LengthReward(-1)}, seed=0)
    assert [part.sections[0].overall.rows for part in found.values()] == [40, 30]
    assert evaluate_by_coverage(reward, scorer, polite(), {}, seed=0) == {}
