from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

import guerdon
from guerdon.errors import ConfigError
from guerdon.evaluate.comparison import compare_rewards
from guerdon.evaluate.pages import write_comparison_page
from guerdon.types import Comparison, Rating


class ByText:
    def __init__(self, reward: Callable[[str], float]) -> None:
        self.reward = reward

    def score(self, prompts: Sequence[object], responses: Sequence[str], *, references: object = None) -> np.ndarray:
        return np.array([self.reward(text) for text in responses], dtype=np.float32)


class PrefersGood:
    """A comparer."""

    def compare(self, prompts, a, b, *, references=None) -> np.ndarray:
        return np.array([0.9 if "good" in x else 0.1 for x in a], dtype=np.float32)


ROWS = [
    Comparison(
        prompt=f"p{i}", chosen=f"good {i} {'x' * (i % 3)}", rejected=f"bad {i} x", subset="even" if i % 2 else "odd"
    )
    for i in range(30)
    for _ in range(2)
]


def right_where(known: Callable[[int], bool]) -> ByText:
    """Right about the prompts whose number is `known`, wrong about the others."""
    return ByText(lambda text: float(("good" in text) == known(int(text.split()[1]))))


def compared(systems: dict[str, object], rows: Sequence[object] = ROWS, **options: object):
    return compare_rewards(systems, rows, **{"baselines": {}, "resamples": 300} | options)


def test_differences_counts_and_places_are_those_of_the_rows():
    systems = {"half": right_where(lambda i: i < 15), "most": right_where(lambda i: i < 27), "judge": PrefersGood()}
    section = compared(systems).sections[0]
    assert [one.name for one in section.leaderboard] == ["judge", "most", "half"]
    assert [one.value.point for one in section.leaderboard] == [1.0, 0.9, 0.5]
    tests = {(one.a, one.b): one for one in section.tests}
    assert set(tests) == {("judge", "most"), ("judge", "half"), ("most", "half")}
    test = tests["most", "half"]
    assert (test.only_a, test.only_b) == (24, 0)
    assert test.difference.point == pytest.approx(0.4)
    assert test.p_value < 0.01
    assert test.sentence("accuracy").startswith("most agrees better with people than half: accuracy +0.400 [")
    assert set(test.by_subset) == {"even", "odd"}
    assert section.standing("judge").ranks == (1, 1)
    assert section.standing("half").ranks == (3, 3)


def test_the_strength_is_the_log_odds_of_being_the_one_that_is_right():
    systems = {"a": right_where(lambda i: i < 20), "b": right_where(lambda i: i >= 10)}
    section = compared(systems).sections[0]
    # Both are right about 10 to 19; a alone has 20 pairs, b alone 20.
    assert (section.tests[0].only_a, section.tests[0].only_b) == (20, 20)
    assert section.standing("a").strength.point == pytest.approx(0, abs=1e-6)
    assert section.tests[0].p_value == 1.0
    assert "do not clearly differ" in section.tests[0].sentence("accuracy")
    assert section.tests[0].detectable == pytest.approx(
        2.8 * (20 / 30 / 30) ** 0.5, rel=0.15
    )  # of +-1 in 20 of 30 prompts


def test_examples_are_those_that_one_system_alone_orders_rightly():
    systems = {"a": right_where(lambda i: i != 4), "b": right_where(lambda i: i != 7)}
    examples = compared(systems).sections[0].tests[0].examples
    assert {(one.right, one.prompt) for one in examples} == {("a", "p7"), ("b", "p4")}
    assert all(one.preferred.startswith("good") and one.margins[0] > 0 > one.margins[1] for one in examples)


def test_ratings_without_pairs_have_correlations_alone():
    rows = [Rating(prompt=f"p{i}", response="x" * (i % 7), scores={"score": i % 7}) for i in range(40)]
    systems = {"good": ByText(len), "poor": ByText(lambda text: (len(text) * 3) % 7)}
    section = compared(systems, rows).sections[0]
    assert section.metric == "spearman"
    assert np.isnan(section.tests[0].p_value)
    assert section.tests[0].sentence("spearman").startswith("good agrees better with people than poor: Spearman +")
    assert section.leaderboard[0].name == "good"


def test_one_prompt_gives_no_interval_and_no_failure():
    rows = [Comparison(prompt="p", chosen="good 1 x", rejected="bad 1 x")]
    section = compared({"a": right_where(lambda i: True), "b": right_where(lambda i: False)}, rows).sections[0]
    assert np.isnan(section.tests[0].difference.low)
    assert any("permutation test" in note for note in section.notes)


def test_fewer_than_two_systems_are_refused():
    with pytest.raises(ConfigError, match="two systems or more, got 1"):
        compared({"a": PrefersGood()})


def test_json_and_page_hold_what_was_found(tmp_path):
    systems = {"<b>half</b>": right_where(lambda i: i < 15), "most": right_where(lambda i: i < 27)}
    found = guerdon.compare_rewards(systems, ROWS, resamples=100)
    found.save(tmp_path / "found.json")
    written = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert written["sections"][0]["tests"][0]["only_a"] == 24
    assert {one["name"] for one in written["sections"][0]["leaderboard"] if one["is_baseline"]} >= {"longest wins"}
    write_comparison_page(found, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<b>half</b>" not in page
    assert "&lt;b&gt;half&lt;/b&gt;" in page
    assert "most agrees better with people than" in page
