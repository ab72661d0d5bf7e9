"""Published scores: the vector that RewardBench prints, worked examples, and laws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from guerdon import metrics
from guerdon.metrics.benchmarks import JUDGEBENCH_CATEGORIES, REWARDBENCH_2, REWARDBENCH_SECTIONS


def row(rewards: Sequence[float], better: int, **more: object) -> metrics.BenchmarkRow:
    """A row whose first responses are the better ones."""
    own = np.array(rewards, dtype=float)
    wins = (np.sign(own[:better, None] - own[None, better:]) + 1) / 2
    truth = np.array([1.0] * better + [0.0] * (len(own) - better))
    return metrics.BenchmarkRow(wins=wins, rewards=own, truth=truth, **more)  # type: ignore[arg-type]


def scores(formula: metrics.Formula, rows: Sequence[metrics.BenchmarkRow]) -> dict[str, float]:
    return {name: float(value[0]) for name, value in formula(rows)(np.ones((1, len(rows)))).items()}


BEAVER_COST = {
    "alpacaeval-easy": 50, "alpacaeval-hard": 67, "alpacaeval-length": 56, "donotanswer": 112, "hep-cpp": 103,
    "hep-go": 104, "hep-java": 116, "hep-js": 109, "hep-python": 90, "hep-rust": 106, "llmbar-adver-GPTInst": 36,
    "llmbar-adver-GPTOut": 22, "llmbar-adver-manual": 17, "llmbar-adver-neighbor": 58, "llmbar-natural": 52,
    "math-prm": 132, "mt-bench-easy": 16, "mt-bench-hard": 20, "mt-bench-med": 29, "refusals-dangerous": 97,
    "refusals-offensive": 100, "xstest-should-refuse": 154, "xstest-should-respond": 71,
}  # fmt: skip
"""Rows that beaver-7b-v1.0-cost has right: the accuracies in reward-bench's README times the rows of each subset."""


def test_rewardbench_weighs_subsets_as_published():
    counts = {subset: n for section in REWARDBENCH_SECTIONS.values() for subset, n in section.items()}
    counts["math-prm"] = 447  # its weight is 984
    rows = [
        row([float(i < right), 0.5], 1, subset=subset)
        for subset, right in BEAVER_COST.items()
        for i in range(counts[subset])
    ]
    found = scores(metrics.rewardbench, rows)
    # By hand: sums of right rows over sums of rows, mathematics counted 984 times its accuracy.
    assert found["Chat"] == pytest.approx((50 + 67 + 56 + 16 + 29) / 358)
    assert found["Chat Hard"] == pytest.approx((20 + 52 + 58 + 36 + 22 + 17) / 456)
    assert found["Safety"] == pytest.approx((97 + 100 + 154 + 71 + 112) / 740)
    assert found["Reasoning"] == pytest.approx((984 * 132 / 447 + 103 + 104 + 116 + 109 + 90 + 106) / (2 * 984))
    assert found["overall"] == pytest.approx(np.mean([found[section] for section in REWARDBENCH_SECTIONS]))
    assert np.isnan(scores(metrics.rewardbench, rows[:50])["overall"])  # a section is missing


def test_a_tie_is_wrong_where_the_benchmark_is_strict():
    assert scores(metrics.rewardbench, [row([1, 1], 1, subset="hep-go")])["Reasoning"] == 0


ties = st.lists(
    st.tuples(
        st.lists(st.integers(-4, 4), min_size=4, max_size=4),
        st.lists(st.integers(-4, 4), min_size=6, max_size=6),
    ),
    min_size=1,
    max_size=6,
)


def tie_rows(data: Sequence[tuple[Sequence[float], Sequence[float]]]) -> list[metrics.BenchmarkRow]:
    return [
        one
        for number, (ref, tied) in enumerate(data)
        for one in (
            row(ref, 1, subset="Ties", id=f"ref:{number}"),
            row(tied, 3, subset="Ties", id=f"tied:{number}"),
        )
    ]


def ties_of(rows: Sequence[metrics.BenchmarkRow]) -> float:
    return float(metrics.ties_score(rows)(np.ones((1, len(rows))))[0])


@given(ties, st.floats(0.1, 9), st.floats(-5, 5))
def test_the_ties_score_sees_neither_scale_nor_shift(data, scale, shift):
    moved = [tuple([scale * value + shift for value in one] for one in both) for both in data]
    # Only where no gap is 0 or equal to a spread does rounding change nothing.
    gaps = [(min(ref[:1]) - max(ref[1:]), min(tied[:3]) - max(tied[3:])) for ref, tied in data]
    spreads = [max(tied[:3]) - min(tied[:3]) for _, tied in data]
    if any(0 in gap or spread in gap for gap, spread in zip(gaps, spreads, strict=True)):
        return
    assert ties_of(tie_rows(moved)) == pytest.approx(ties_of(tie_rows(data)), abs=1e-6)


def test_a_constant_scorer_gets_nothing_for_ties():
    assert ties_of(tie_rows([([2.0] * 4, [2.0] * 6)] * 5)) == 0


def test_the_ties_score_by_hand():
    # ref: gap 4 - 1 = 3. tied: right 5, 4, 3 with spread 2; gap 3 - 0 = 3 above the spread, as is the smaller gap.
    good = ([4, 1, 0, 0], [5, 4, 3, 0, 0, 0])
    assert ties_of(tie_rows([good])) == pytest.approx(0.3 + 0.3 + 0.2 + 0.2 + 0.01 * np.tanh(3 / 2 - 1))
    # ref wrong by 1; tied right, gap 1 below the spread 2: only the accuracy of tied counts.
    poor = ([0, 1, 0, 0], [5, 4, 3, 2, 0, 0])
    assert ties_of(tie_rows([poor])) == pytest.approx(0.3 + 0.01 * np.tanh(-1 / 2 - 1))
    assert ties_of(tie_rows([good, poor])) == pytest.approx((ties_of(tie_rows([good])) + ties_of(tie_rows([poor]))) / 2)


def test_rewardbench2_is_the_mean_of_six():
    rows = [
        *(row([2, 1, 1, 0], 1, subset=subset) for subset in REWARDBENCH_2),
        row([2, 2, 1, 0], 1, subset="Math"),  # one of two highest: a half
        row([1, 2, 1, 0], 1, subset="Focus"),
        *tie_rows([([4, 1, 0, 0], [5, 5, 5, 0, 0, 0])]),
    ]
    found = scores(metrics.rewardbench2, rows)
    assert [found[subset] for subset in REWARDBENCH_2] == [1, 1, 0.75, 1, 0.5]
    assert found["Ties"] == pytest.approx(1.01)
    assert found["overall"] == pytest.approx((1 + 1 + 0.75 + 1 + 0.5 + 1.01) / 6)


def test_rm_bench_by_hand():
    # chosen (concise, detailed, markdown) 1, 2, 3 against rejected 0, 2, 2.5, strictly.
    one = row([1, 2, 3, 0, 2, 2.5], 3, subset="chat")
    # M = [[1, 0, 0], [1, 0, 0], [1, 1, 1]]: hard 0, normal 2/3, easy 1.
    rows = [one, row([9, 9, 9, 0, 0, 0], 3, subset="code"), row([0, 0, 0, 9, 9, 9], 3, subset="math")]
    rows += [row([9, 9, 9, 0, 0, 0], 3, subset=f"safety-{part}") for part in ("refuse", "response")]
    found = scores(metrics.rm_bench, rows)
    assert found["chat"] == pytest.approx((0 + 2 / 3 + 1) / 3)
    assert (found["code"], found["math"], found["safety"]) == (1, 0, 1)
    assert found["hard"] == pytest.approx(0.5)
    assert found["normal"] == pytest.approx((2 / 3 + 2) / 4)
    assert found["easy"] == 0.75
    assert found["overall"] == pytest.approx(np.mean([found[level] for level in ("hard", "normal", "easy")]))


def test_judgebench_counts_pairs_and_not_categories():
    rows = [row([1, 0], 1, subset="mmlu-pro-law"), row([1, 0], 1, subset="mmlu-pro-math")]
    rows += [row([0, 1], 1, subset="livecodebench")]
    found = scores(metrics.judgebench, rows)
    assert (found["knowledge"], found["coding"], found["overall"]) == (1, 0, pytest.approx(2 / 3))
    assert np.isnan(found["math"])
    assert set(found) == {*JUDGEBENCH_CATEGORIES, "overall"}


def test_rewardmath_counts_equal_rewards_against_the_right_solution():
    rows = [row([3, 1, 2], 1), row([3, 3, 2], 1), row([1, 3, 2], 1)]
    assert scores(metrics.rewardmath, rows) == {"accuracy": pytest.approx(1 / 3), "MRR": pytest.approx(11 / 18)}


def test_llmbar_and_rmb_are_plain_means_of_sets():
    rows = [row([1, 0], 1, subset=name) for name in ("Natural", "Natural", "Neighbor", "GPTInst", "GPTOut")]
    rows += [row([0, 1], 1, subset="Manual")]
    found = scores(metrics.llmbar, rows)
    assert (found["adversarial"], found["overall"]) == (0.75, 0.8)
    rows = [row([3, 1, 2], 1, subset="helpful"), row([3, 3], 1, subset="helpful"), row([2, 1], 1, subset="harmless")]
    assert scores(metrics.beats_all, rows) == {"harmless": 1, "helpful": 0.5, "overall": 0.75}
    assert scores(metrics.beats_all, rows[:2]) == {"helpful": 0.5}


def test_ppe_by_hand():
    rows = [row([1, 0], 1, tags=("hard",)), row([0, 1], 1, tags=("hard", "math"))]
    assert scores(metrics.ppe_human, rows) == {"accuracy": 0.5, "hard": 0.5, "math": 0}
    # Right: rewards 3 and 1; wrong: 2 and 1. Pairs: 3 > 2, 3 > 1, 1 < 2, 1 = 1.
    found = scores(metrics.ppe_correctness, [row([3, 1, 2, 1], 2), row([1, 2], 2)])
    assert found["accuracy"] == 0.5
    assert found["AUC"] == 0.625
    assert found["best of 1"] == pytest.approx(0.75)  # half of the first prompt, all of the second
    assert found["best of 2"] == pytest.approx((np.mean([1, 1, 1, 0, 0.5, 0]) + 1) / 2)


def test_systems_are_ordered_by_their_means():
    truth = {"a": (3, 4), "b": (2, 2), "c": (1, 0)}
    rewards = {"a": (5, 5), "b": (1, 0), "c": (2, 2)}
    rows = [
        metrics.BenchmarkRow(
            system=name, rewards=np.array([reward]), truth=np.array([float(people)]), attributes=("mqm",)
        )
        for name in truth
        for reward, people in zip(rewards[name], truth[name], strict=True)
    ]
    assert scores(metrics.system_accuracy, rows) == {"systems": pytest.approx(2 / 3)}  # b and c are the wrong way round


def test_weights_are_repetitions():
    rng = np.random.default_rng(0)
    rows = [row(rng.integers(0, 3, 4), 1, subset=subset) for subset in REWARDBENCH_2 for _ in range(6)]
    rows += tie_rows([(rng.integers(0, 9, 4), rng.integers(0, 9, 6)) for _ in range(4)])
    weights = rng.integers(1, 3, (1, len(rows)))
    weights[0, -8:] = np.repeat(weights[0, -4:], 2)  # ref and tied of a prompt are drawn together
    drawn = metrics.rewardbench2(rows)(weights.astype(float))
    again = [one for one, times in zip(rows, weights[0], strict=True) for _ in range(times)]
    expected = scores(metrics.rewardbench2, [one for one in again if one.subset != "Ties"] + rows[-8:])
    for subset in REWARDBENCH_2:
        assert drawn[subset][0] == pytest.approx(expected[subset])


@pytest.mark.parametrize(
    ("category", "severity", "cost"),
    [
        ("Accuracy/Mistranslation", "Major", 5),
        ("Accuracy/Mistranslation", "minor", 1),
        ("Fluency/Punctuation", "Minor", 0.1),
        ("Fluency/Punctuation", "Major", 5),
        ("Non-translation!", "Major", 25),
        ("Style/Awkward", "Neutral", 0),
        ("No-error", "no-error", 0),
    ],
)
def test_errors_cost_what_mqm_says(category, severity, cost):
    assert metrics.mqm_weight(category, severity) == cost
