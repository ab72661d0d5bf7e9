from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from guerdon.errors import DataError, ModelError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.rewards.rules import LengthReward
from guerdon.rewards.terms import fit_tfidf
from guerdon.rewards.training_data import TrainingPrompts, write_training_prompts
from guerdon.types import AnyRow, Comparison, Ranking, Rating, Reference, References


class ByText:
    """A scorer whose reward is a function of the response; it remembers what it was asked."""

    def __init__(self, reward: Callable[[str], float]) -> None:
        self.reward = reward
        self.asked: list[tuple[object, str, str | None]] = []

    def score(
        self, prompts: Sequence[object], responses: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        self.asked += zip(prompts, responses, references or [None] * len(responses), strict=True)
        return np.array([self.reward(text) for text in responses], dtype=np.float32)


def good_first(text: str) -> float:
    return float(text.startswith("good"))


def comparisons(prompts: int, per_prompt: int = 2, **more: object) -> list[Comparison]:
    return [
        Comparison(prompt=f"p{i}", chosen=f"good {i} {j}" + "x" * (j % 2 * 9), rejected=f"bad {i} {j} xxx", **more)
        for i in range(prompts)
        for j in range(per_prompt)
    ]


def section_of(rows: Sequence[AnyRow], scorer: object, **options: object):
    return evaluate_reward({"model": scorer}, rows, **{"baselines": {}, "resamples": 200} | options).sections[0]


def overall(rows: Sequence[AnyRow], scorer: object):
    return section_of(rows, scorer).overall


def test_a_perfect_a_reversed_and_an_indifferent_scorer():
    rows = comparisons(12)
    for reward, accuracy in ((good_first, 1.0), (lambda t: -good_first(t), 0.0), (lambda t: 3.0, 0.5)):
        part = overall(rows, ByText(reward))
        assert part.models[0].metrics["accuracy"].point == accuracy
        assert part.models[0].metrics["length_balanced"].point == accuracy
    assert part.models[0].score_ties == part.pairs == 24
    assert (part.clusters, part.unit) == (12, "prompt")


def test_length_balance_shows_what_accuracy_hides():
    rows = [Comparison(prompt=f"p{i}", chosen="long" * (2 if i % 5 else 1), rejected="longer") for i in range(50)]
    part = overall(rows, LengthReward())
    assert (part.longer_won, part.shorter_won) == (40, 10)
    points = {name: value.point for name, value in part.models[0].metrics.items()}
    assert points == {"accuracy": 0.8, "length_balanced": 0.5, "longer_won": 1, "shorter_won": 0}


def test_human_ties_take_no_part_and_vote_shares_weigh_nothing():
    rows = [
        *comparisons(4, preference=0.6),
        Comparison(prompt="p0", chosen="good", rejected="bad", preference=0.5),
    ]
    scorer = ByText(good_first)
    part = overall(rows, scorer)
    assert (part.rows, part.pairs, part.human_ties) == (9, 8, 1)
    assert part.models[0].metrics["accuracy"].point == 1
    assert "good" not in {text for _, text, _ in scorer.asked}


@pytest.mark.parametrize(
    ("rows", "reward"),
    [
        ([Comparison(prompt="p", chosen="a", rejected="b", preference=0.5)] * 3, good_first),
        (comparisons(5), lambda text: np.nan),
    ],
    ids=["only ties", "no rewards"],
)
def test_where_there_is_nothing_to_say_nothing_is_said(rows, reward):
    evaluation = evaluate_reward({"model": ByText(reward)}, rows, baselines={"longest": LengthReward()})
    assert np.isnan(evaluation.sections[0].overall.models[0].metrics["accuracy"].point)
    assert evaluation.sections[0].verdict("model") is None
    assert json.dumps(evaluation.to_dict(), allow_nan=False)


def test_every_text_is_scored_once_with_its_reference():
    rows = [
        *comparisons(3, per_prompt=1, reference="r"),
        *comparisons(3, per_prompt=1, reference="r"),
        Rating(prompt="p0", response="good 0 0", scores={"score": 1.0}, reference="r"),
    ]
    scorer = ByText(good_first)
    evaluate_reward({"model": scorer}, rows, baselines={}, resamples=10)
    assert len(scorer.asked) == len(set(scorer.asked)) == 6
    assert {reference for _, _, reference in scorer.asked} == {"r"}


def test_a_judged_reference_is_not_shown_to_the_scorer():
    rows = [Reference(prompt=f"p{i}", reference=f"good {i}", generated=("bad", "good enough")) for i in range(4)]
    scorer = ByText(good_first)
    part = overall(rows, scorer)
    assert part.pairs == 8
    assert part.models[0].metrics["accuracy"].point == 0.75  # over "bad", level with "good enough"
    assert {reference for _, _, reference in scorer.asked} == {None}


@pytest.mark.parametrize("missing", [np.nan, np.inf])
def test_missing_rewards_are_masked_for_all_and_counted(missing):
    rows = comparisons(10, per_prompt=1)
    scorer = ByText(lambda text: missing if text.startswith("good 3") else good_first(text))
    section = section_of(rows, scorer, baselines={"longest": LengthReward()})
    assert section.overall.pairs == 9
    (model,) = section.overall.models
    assert (model.unscored, model.metrics["accuracy"].point) == (1, 1)
    assert model.reason == f"the scorer gave {missing}"
    note = f"model gave no reward to 1 responses, and no system is measured on them; 1 of them: {model.reason}."
    assert section.notes[-1] == note


def test_ratings_correlate_inside_prompts_and_over_all():
    rows = [
        Rating(prompt=f"p{i}", response="x" * (j + 10 * i + 1), scores={"score": float(j)})
        for i in range(8)
        for j in range(4)
    ]
    section = section_of(rows, LengthReward())
    points = {name: value.point for name, value in section.overall.models[0].metrics.items()}
    assert section.primary == "spearman_within"
    assert points["spearman_within"] == points["accuracy"] == 1
    assert 0 < points["kendall"] < points["spearman"] < 0.5


def test_ratings_of_one_prompt_draw_rows():
    rng = np.random.default_rng(0)
    lengths = rng.permutation(60) + 1
    rows = [Rating(prompt="p", response="x" * n, scores={"score": n + rng.normal(0, 10)}) for n in lengths]
    section = section_of(rows, LengthReward())
    metrics = section.overall.models[0].metrics
    assert (section.primary, section.overall.unit, section.overall.clusters) == ("spearman", "row", 60)
    assert "one prompt" in section.notes[0]
    for name in ("spearman", "accuracy"):
        assert metrics[name].low < metrics[name].point < metrics[name].high
    assert np.isnan(metrics["spearman_within"].low)  # the one prompt is never drawn as a whole
    assert metrics["spearman_within"].point == pytest.approx(metrics["spearman"].point)


def test_single_ratings_are_judged_over_all_prompts():
    rows = [Rating(prompt=f"p{i}", response="x" * (i + 1), scores={"score": float(i)}) for i in range(20)]
    section = section_of(rows, LengthReward())
    assert (section.primary, section.overall.pairs) == ("spearman", 0)
    assert section.overall.models[0].metrics["spearman"].point == 1


def test_each_attribute_is_a_section():
    rows = [
        Rating(prompt="p", response="x" * i, scores={"long": float(i), "short": -(float(i) ** 2)}) for i in range(1, 7)
    ]
    sections = evaluate_reward({"model": LengthReward()}, rows, baselines={}, resamples=20).sections
    assert [s.kind for s in sections] == ["ratings: overall", "ratings: long", "ratings: short"]
    assert [s.overall.models[0].metrics["spearman"].point for s in sections[1:]] == [1, -1]


def test_rankings_give_pairs_ranks_and_ndcg():
    rows = [
        Ranking(prompt=f"p{i}", responses=("x" * 5, "x" * 3, "x" * 9, "x"), scores=(2.0, 1.0, 1.0, 0.0))
        for i in range(6)
    ]
    section = section_of(rows, LengthReward(), baselines={"shortest": LengthReward(-1)})
    metrics = section.overall.models[0].metrics
    assert section.primary == "accuracy"
    assert metrics["accuracy"].point == pytest.approx(4 / 5)
    assert 0 < metrics["spearman_within"].point < 1
    assert metrics["ndcg"].point > section.overall.baselines[0].metrics["ndcg"].point
    assert section.verdict("model").outcome == "better"


def test_rows_of_several_kinds_have_a_section_each():
    rows = [
        *comparisons(3),
        Rating(prompt="p", response="x", scores={"score": 1.0}),
        Ranking(prompt="p", responses=("x", "y"), scores=(1.0, 0.0)),
        Reference(prompt="p", reference="x", generated=("y",)),
    ]
    sections = evaluate_reward({"model": LengthReward()}, rows, baselines={}, resamples=10).sections
    assert [section.kind for section in sections] == ["comparisons", "ratings", "rankings", "references"]


def test_subsets_are_measured_apart():
    rows = [*comparisons(6, subset="right"), *comparisons(6, subset="left")]
    rows += [Comparison(prompt="q", chosen="bad", rejected="good", subset="wrong") for _ in range(2)]
    section = section_of(rows, ByText(good_first))
    assert [(part.subset, part.rows) for part in section.subsets] == [("left", 12), ("right", 12), ("wrong", 2)]
    assert [part.models[0].metrics["accuracy"].point for part in section.subsets] == [1, 1, 0]
    assert not section_of(comparisons(3, subset="only"), ByText(good_first)).subsets


def test_groups_are_what_the_bootstrap_draws():
    rows = [Comparison(prompt=f"p{i}", chosen="a", rejected="bb", group=f"topic {i % 4}") for i in range(40)]
    section = section_of(rows, LengthReward())
    assert (section.overall.clusters, section.overall.unit) == (4, "group")
    assert "too narrow" in section.notes[0]


@pytest.mark.parametrize(
    ("right", "outcome"), [(0.95, "better"), (0.75, "unclear"), (0.4, "worse")], ids=["better", "unclear", "worse"]
)
def test_the_verdict_needs_a_clear_interval(right, outcome):
    rng = np.random.default_rng(3)
    rows = [
        Comparison(prompt=f"p{i}", chosen=f"{i} " + "x" * (8 if i % 4 else 1), rejected=f"{i} xxxx") for i in range(200)
    ]
    hits = {row.chosen for row in rows if rng.random() < right}
    scorer = ByText(lambda text: 0.5 if text.endswith(" xxxx") else float(text in hits))
    baselines = {"longest": LengthReward(), "shortest": LengthReward(-1)}
    verdict = section_of(rows, scorer, baselines=baselines).verdict("model")
    assert (verdict.baseline, verdict.outcome) == ("longest", outcome)


def test_the_order_of_rows_changes_no_point_and_the_seed_repeats_all_that_is_saved(tmp_path):
    rows = comparisons(15)
    scorer = ByText(lambda text: hash(text) % 7)
    first = evaluate_reward({"model": scorer}, rows, resamples=50).to_dict()
    evaluate_reward({"model": scorer}, rows, resamples=50).save(tmp_path / "new" / "evaluation.json")
    assert json.loads((tmp_path / "new" / "evaluation.json").read_text(encoding="utf-8")) == first
    points = [overall(order, scorer).models[0].metrics["accuracy"].point for order in (rows, rows[::-1])]
    assert points[0] == points[1]


def test_progress_is_reported_for_every_system():
    seen = []
    evaluate_reward(
        {"model": LengthReward()},
        comparisons(200),
        baselines={"shortest": LengthReward(-1)},
        resamples=5,
        progress=lambda *step: seen.append(step),
    )
    assert seen[-1] == ("shortest", 800, 800)
    assert [step[0] for step in seen] == ["model"] * 4 + ["shortest"] * 4


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(DataError, match="no rows"):
        evaluate_reward({"model": LengthReward()}, [])
    with pytest.raises(DataError, match="no generated texts"):
        evaluate_reward({"model": LengthReward()}, [Reference(prompt="p", reference="x")], baselines={})
    with pytest.raises(ValueError, match="named like a system"):
        evaluate_reward({"model": LengthReward()}, comparisons(2), baselines={"model": LengthReward()})
    with pytest.raises(ValueError, match="resamples"):
        evaluate_reward({"model": LengthReward()}, comparisons(2), baselines={}, resamples=0)
    with pytest.raises(ValueError, match="no system"):
        evaluate_reward({}, comparisons(2))


class LongerWins:
    """A comparer; NaN where the texts start with `?`. It remembers which text stood first."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def compare(self, prompts, a, b, *, references=None):
        self.asked += zip(a, b, strict=True)
        return np.array(
            [np.nan if x[0] == y[0] == "?" else (np.sign(len(x) - len(y)) + 1) / 2 for x, y in zip(a, b, strict=True)]
        )


def test_three_scorers_and_a_comparer_stand_in_one_table():
    rows = [
        Ranking(prompt=f"p{i}", responses=("x" * 5 + str(i), "x" * 3, "x" * 9, "x"), scores=(2.0, 1.0, 1.0, 0.0))
        for i in range(12)
    ]
    flat, comparer = ByText(lambda text: 0.0), LongerWins()
    systems = {"longest": LengthReward(), "shortest": LengthReward(-1), "flat": flat, "comparer": comparer}
    evaluation = evaluate_reward(systems, rows, baselines={"length": LengthReward()}, resamples=50)
    section = evaluation.sections[0]
    part = section.overall
    assert evaluation.systems == ("longest", "shortest", "flat", "comparer")
    assert [system.name for system in part.baselines] == ["length"]
    assert part.system("comparer").metrics["accuracy"] == part.system("longest").metrics["accuracy"]
    assert part.system("flat").metrics["accuracy"].point == 0.5
    assert part.system("flat").score_ties == part.pairs == 60
    assert set(part.system("comparer").metrics) == {"accuracy", "length_balanced", "longer_won", "shorter_won"}
    assert "ndcg" in part.system("longest").metrics
    missing = "Spearman in prompt, accuracy with ties, best pick or nDCG@10"
    note = f"comparer compares two responses and gives no rewards, so it has no {missing}."
    assert note in section.notes
    same = part.difference("longest", "comparer", "accuracy")
    assert (same.point, same.low, same.high) == (0, 0, 0)
    gap, back = (part.difference(*pair, "accuracy") for pair in (("longest", "shortest"), ("shortest", "longest")))
    assert (gap.point, gap.low, gap.high) == pytest.approx((-back.point, -back.high, -back.low))
    with pytest.raises(KeyError):
        part.difference("longest", "comparer", "ndcg")
    with pytest.raises(KeyError, match="there is no system 'other'"):
        part.difference("longest", "other", "accuracy")
    assert section.verdict("shortest").outcome == "worse"
    assert section.verdict("comparer").outcome == "unclear"
    found = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))["sections"][0]
    assert list(found["overall"]["systems"]) == [*systems, "length"]
    assert found["overall"]["systems"]["flat"]["minus"]["length"]["point"] < 0
    assert found["verdicts"]["shortest"]["baseline"] == "length"


def test_a_comparer_sees_each_pair_once_and_the_better_one_in_either_place():
    comparer = LongerWins()
    rows = [Comparison(prompt=f"p{i}", chosen=f"good {i}", rejected=f"bad {i}") for i in range(100)]
    part = overall([*rows, *rows], comparer)
    assert len(comparer.asked) == len(set(comparer.asked)) == 100
    first = sum(a.startswith("good") for a, _ in comparer.asked)
    assert 30 < first < 70
    assert part.models[0].metrics["accuracy"].point == 1.0


def test_a_comparer_without_a_verdict_costs_everybody_the_pair():
    rows = [Comparison(prompt=f"p{i}", chosen=f"good {i}", rejected="bad") for i in range(9)]
    rows.append(Comparison(prompt="q", chosen="?good", rejected="?b"))
    evaluation = evaluate_reward({"c": LongerWins(), "s": ByText(good_first)}, rows, baselines={}, resamples=9)
    part = evaluation.sections[0].overall
    assert part.pairs == 9
    assert [system.unscored for system in part.systems] == [1, 0]
    note = "c gave no verdict on 1 pairs, and no system is measured on them; 1 of them: the comparer gave nan."
    assert note in evaluation.sections[0].notes


def test_a_pair_on_which_a_comparer_raises_fails_alone():
    class Touchy(LongerWins):
        def compare(self, prompts, a, b, *, references=None):
            if "good 3" in (*a, *b):
                raise RuntimeError("too odd")
            return super().compare(prompts, a, b)

    rows = [Comparison(prompt=f"p{i}", chosen=f"good {i}", rejected="bad") for i in range(9)]
    part = overall(rows, Touchy())
    assert (part.pairs, part.models[0].unscored, part.models[0].reason) == (8, 1, "raised RuntimeError: too odd")
    with pytest.raises(ModelError, match=r"Touchy.compare raised RuntimeError: too odd, for each of 2 pairs"):
        overall([replace(rows[3], prompt=f"q{i}") for i in range(2)], Touchy())


def test_a_response_beside_itself_is_a_tie_that_nobody_is_asked_about():
    comparer = LongerWins()
    rows = [Comparison(prompt="p", chosen="same", rejected="same"), Comparison(prompt="q", chosen="good", rejected="b")]
    part = overall(rows, comparer)
    assert len(comparer.asked) == 1
    assert part.models[0].metrics["accuracy"].point == 0.75


def test_ratings_are_judged_by_pairs_where_a_comparer_takes_part():
    rows = [
        Rating(prompt=f"p{i}", response="x" * (j + 1), scores={"score": float(j)}) for i in range(12) for j in range(3)
    ]
    systems = {"length": LengthReward(), "comparer": LongerWins()}
    section = evaluate_reward(systems, rows, baselines={}, resamples=9).sections[0]
    assert section.primary == "accuracy"
    assert section.overall.system("comparer").metrics["accuracy"].point == 1


def test_answers_of_the_wrong_shape_and_what_is_no_system_are_named():
    class Wrong:
        def score(self, prompts, responses, *, references=None):
            return np.zeros((len(responses), 2), dtype=np.float32)

    class WrongToo:
        def compare(self, prompts, a, b, *, references=None):
            return np.zeros(1)

    for system, error, message in (
        (Wrong(), ModelError, r"Wrong.score must give one reward per response, shape \(8,\)"),
        (WrongToo(), ModelError, r"WrongToo.compare must give one probability per pair, shape \(4,\)"),
        ("longest", TypeError, "a str has neither"),
    ):
        with pytest.raises(error, match=message):
            overall(comparisons(2), system)


def test_a_model_that_was_trained_on_the_prompts_is_told_from_one_that_was_not(tmp_path):
    rows = comparisons(8, per_prompt=1)
    trained = ByText(good_first)
    trained.folder = tmp_path
    write_training_prompts(tmp_path, TrainingPrompts.of(["P0 ", "p1", "elsewhere"]))
    systems = {"trained": trained, "fresh": ByText(good_first)}
    evaluation = evaluate_reward(systems, rows, baselines={}, resamples=9)
    assert evaluation.seen == {"trained": 0.25}
    assert evaluation.folders == {"trained": str(tmp_path)}
    (note,) = evaluation.notes
    assert note.startswith("trained was TRAINED on the prompts of 25.0% of these rows")
    assert evaluation.to_dict()["seen"] == {"trained": 0.25}
    unseen = evaluate_reward(systems, rows[2:], baselines={}, resamples=9)
    assert (unseen.seen, unseen.notes) == ({}, ())
    assert evaluate_reward({"words": fit_tfidf(rows[:3])}, rows[:6], baselines={}, resamples=9).seen == {"words": 0.5}
