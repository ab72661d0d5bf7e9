"""Numbers, intervals and verdicts read the same wherever they are printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from guerdon.metrics import METRICS, Interval, Metric, format_bounds, format_interval, format_value, verdict_sentence

NAN = float("nan")


@pytest.mark.parametrize(
    ("interval", "options", "text"),
    [
        (Interval(0.6741, 0.635, 0.7117), {}, "0.674 [0.635, 0.712]"),
        (Interval(0.0242, -0.021, 0.075), {"signed": True}, "+0.024 [-0.021, 0.075]"),
        (Interval(-0.00001, -0.1, 0.1), {}, "0.000 [-0.100, 0.100]"),
        (Interval(0.5), {}, "0.500"),
        (Interval(NAN), {}, "-"),
        (Interval(11.31, -4.12, 29.1), {"signed": True, "decimals": None}, "+11.3 [-4.1, 29.1]"),
        (Interval(1.0, 0.5, 2.345), {"decimals": None}, "1.00 [0.50, 2.35]"),
        (Interval(160.4, 150.2, 171.0), {"decimals": None}, "160 [150, 171]"),
        (Interval(0.05, -0.01, 0.2), {"decimals": None}, "0.050 [-0.010, 0.200]"),
        (Interval(0.0), {"decimals": None}, "0.000"),
    ],
)
def test_an_interval_is_printed_one_way(interval, options, text):
    assert format_interval(interval, **options) == text


def test_a_value_and_bounds_alone_are_those_of_the_interval():
    assert format_value(-2.514, decimals=None) == "-2.51"
    assert format_value(0.25, signed=True) == "+0.250"
    assert format_bounds(Interval(0.5)) == ""
    assert format_bounds(Interval(11.3, -4.1, 29.1), decimals=None) == "[-4.1, 29.1]"


@pytest.mark.parametrize(
    ("difference", "outcome", "words"),
    [
        (Interval(0.02, 0.01, 0.03), "better", "mine beats the best baseline, length: accuracy +0.020 [0.010, 0.030]."),
        (Interval(-0.02, -0.03, -0.01), "worse", "mine is WORSE than the best baseline, length: accuracy -0.020"),
        (Interval(0.02, -0.01, 0.05), "unclear", "mine does NOT clearly beat the best baseline, length: "),
        (Interval(0.02), "unclear", "Whether mine beats the best baseline, length, cannot be told: accuracy +0.020."),
    ],
)
def test_a_verdict_needs_a_clear_interval(difference, outcome, words):
    assert METRICS["accuracy"].outcome(difference) == outcome
    assert verdict_sentence("mine", "length", METRICS["accuracy"], difference).startswith(words)


def test_a_metric_of_which_less_is_better_turns_the_outcome():
    loss = Metric("loss", "loss", "Mean loss.", higher_is_better=False)
    assert loss.outcome(Interval(0.2, 0.1, 0.3)) == "worse"
    assert loss.outcome(Interval(-0.2, -0.3, -0.1)) == "better"


def test_every_metric_says_in_one_sentence_what_it_is():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert metric.explanation.endswith(".")


def test_the_docs_explain_every_metric_and_say_what_guessing_gets():
    page = (Path(__file__).parents[2] / "docs" / "evaluate.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| ")]
    documented = {name: row[1] for row in rows if len(row) == 3 for name in row[0].removeprefix("| ").split(", ")}
    for metric in METRICS.values():
        expected = "-" if metric.chance is None else f"{metric.chance:g}"
        assert documented[metric.heading] == expected
