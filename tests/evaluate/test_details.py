"""What stands behind the accuracy: margins, probabilities, people, best of k; and a calibration that is kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guerdon import metrics
from guerdon.errors import ConfigError, ContractError, DataError
from guerdon.evaluate.agreement import evaluate_reward
from guerdon.evaluate.best_of_k import BEST
from guerdon.evaluate.calibrate import calibrate_reward
from guerdon.evaluate.probabilities import AS_IT_IS
from guerdon.evaluate.results import Evaluation, Section
from guerdon.rewards.load import load_scorer
from guerdon.rewards.terms import fit_tfidf
from guerdon.types import AnyRow, Comparison, Ranking, Rating, References


class Numbers:
    """Rewards a response by the number that it ends with."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def score(self, prompts: Sequence[Any], responses: Sequence[str], *, references: References = None) -> np.ndarray:
        return np.array([self.scale * float(text.split()[-1]) for text in responses], dtype=np.float32)


class Judge(Numbers):
    """Scores, and says P by a temperature of its own."""

    def compare(
        self, prompts: Sequence[Any], a: Sequence[str], b: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        return metrics.sigmoid((self.score(prompts, a) - self.score(prompts, b)) / 2)


class Comparing:
    """Only compares."""

    def compare(
        self, prompts: Sequence[Any], a: Sequence[str], b: Sequence[str], *, references: References = None
    ) -> np.ndarray:
        return Judge().compare(prompts, a, b)


def section_of(system: Any, rows: Sequence[AnyRow], resamples: int = 100) -> Section:
    return evaluate_reward({"m": system}, rows, baselines={}, resamples=resamples).sections[0]


def drawn_pairs(count: int = 600, temperature: float = 2.0) -> list[Comparison]:
    """Pairs whose preferred response is drawn with P = sigmoid(difference / temperature)."""
    rng = np.random.default_rng(0)
    rows = []
    for i in range(count):
        a, b = np.round(rng.normal(0, 3, 2), 4)
        if rng.random() > metrics.sigmoid((a - b) / temperature):
            a, b = b, a
        rows.append(Comparison(prompt=f"p{i}", chosen=f"x {a}", rejected=f"y {b}"))
    return rows


# --- by margin


@pytest.mark.parametrize(
    ("margins", "bins"),
    [
        ([1.0, 1.0, 2.0, None, 3.0, 3.0], [(1, 1, 2), (2, 2, 1), (3, 3, 2)]),
        ([0.1 * i for i in range(9)], [(0.0, 0.2, 3), (0.3, 0.5, 3), (0.6, 0.8, 3)]),
        ([1.0] * 5, []),
        ([None] * 5, []),
    ],
)
def test_pairs_are_put_together_by_how_clearly_people_preferred(margins, bins):
    rows = [
        Comparison(prompt=f"p{i}", chosen=f"x {i % 2}", rejected="y 0.5", margin=margin)
        for i, margin in enumerate(margins)
    ]
    found = section_of(Numbers(), rows).details.by_margin
    assert [(round(one.low, 9), round(one.high, 9), one.pairs) for one in found] == bins
    for one in found:
        inside = [i % 2 for i, margin in enumerate(margins) if margin is not None and one.low <= margin <= one.high]
        assert one.accuracy["m"].point == pytest.approx(np.mean(inside))


def test_vote_shares_and_differences_of_ratings_are_margins_too():
    rows = [Comparison(prompt=f"p{i}", chosen="x 1", rejected="y 0", preference=p) for i, p in enumerate([0.6, 0.9])]
    assert [one.low for one in section_of(Numbers(), rows).details.by_margin] == pytest.approx([0.2, 0.8])
    rated = [
        Rating(prompt=f"p{i}", response=f"x {value}", scores={"score": value}) for i in range(3) for value in (0, 1, 3)
    ]
    assert [(one.low, one.pairs) for one in section_of(Numbers(), rated).details.by_margin] == [(1, 3), (2, 3), (3, 3)]


# --- probabilities


def test_a_fit_finds_the_temperature_and_is_measured_on_other_prompts():
    (found,) = section_of(Numbers(), drawn_pairs()).details.probabilities
    assert found.pairs == 600
    assert found.fits["temperature"].scale == pytest.approx(2.0, rel=0.15)
    before, after = found.values[AS_IT_IS], found.values["temperature"]
    assert before["ece"].point > 0.05 > after["ece"].point
    assert after["brier"].point < before["brier"].point
    assert after["log_loss"].low < after["log_loss"].point < after["log_loss"].high
    assert found.best in found.fits
    assert sum(one.pairs for one in found.reliability[AS_IT_IS]) == 1200


def test_what_a_system_says_itself_is_what_is_measured():
    rows = drawn_pairs()
    own, asked, compared = (
        section_of(system, rows).details.probabilities[0].values[AS_IT_IS]
        for system in (Numbers(0.5), Judge(), Comparing())
    )
    assert asked["brier"].point == pytest.approx(own["brier"].point, abs=1e-6)
    assert compared["brier"].point == pytest.approx(own["brier"].point, abs=1e-6)
    logits = section_of(Comparing(), rows).details.probabilities[0].fits["temperature"]
    assert logits.scale == pytest.approx(1.0, rel=0.15)  # its P is honest already


def test_few_pairs_or_one_prompt_say_nothing_of_probabilities():
    assert section_of(Numbers(), drawn_pairs(19)).details.probabilities == ()
    assert len(section_of(Numbers(), drawn_pairs(20)).details.probabilities) == 1


# --- people


def test_a_person_stands_beside_the_system_on_the_rows_with_votes():
    rows = [
        Comparison(prompt=f"p{i}", chosen="x 1", rejected="y 0", extra={"votes": votes})
        for i, votes in enumerate([[3, 0], [2, 1], [2, 0, 1], [1, 0], "many"])
    ]
    section = section_of(Numbers(), rows)
    found = section.details.people
    assert found is not None
    assert found.rows == 3
    assert found.person.point == pytest.approx(np.mean([1, 1 / 3, 2.5 / 3]))
    assert found.systems["m"].point == pytest.approx(np.mean([1, 2 / 3, 1]))
    assert found.lead["m"].point == pytest.approx(found.systems["m"].point - found.person.point)
    assert found.sentence("m").startswith(
        "Of 3 comparisons the votes are known: one person agrees with the majority of the others in 0.722"
    )
    assert section_of(Numbers(), rows[3:]).details.people is None


# --- best of k


def test_best_of_k_is_in_human_scores_beside_the_best_that_there_is():
    rows = [
        Ranking(prompt=f"p{i}", responses=tuple(f"x {(n * 5 + i) % 4}" for n in range(4)), scores=(0.0, 1.0, 2.0, 5.0))
        for i in range(8)
    ]
    mine, best = section_of(Numbers(), rows).details.best_of_k
    assert (mine.system, best.system) == ("m", BEST)
    assert list(mine.scores) == [1, 2, 4]
    assert mine.scores[1].point == pytest.approx(2.0)
    assert best.scores[4].point == pytest.approx(5.0)
    picked = [row.scores[int(np.argmax([float(text.split()[-1]) for text in row.responses]))] for row in rows]
    assert mine.scores[4].point == pytest.approx(np.mean(picked))


def test_two_responses_a_prompt_have_no_curve():
    rows = [Ranking(prompt=f"p{i}", responses=("x 1", "y 0"), scores=(1.0, 0.0)) for i in range(4)]
    assert section_of(Numbers(), rows).details.best_of_k == ()


# --- a calibration that is kept


def words(count: int = 40) -> list[Comparison]:
    return [
        Comparison(prompt=f"p{i}", chosen=f"good answer {i % 7}", rejected=f"bad {i % 5} reply")
        if i % 5
        else Comparison(prompt=f"p{i}", chosen=f"bad {i % 5} reply", rejected=f"good answer {i % 7}")
        for i in range(count)
    ]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Evaluation]:
    folder = tmp_path_factory.mktemp("saved") / "words"
    fit_tfidf(words()).save(folder)
    evaluation = evaluate_reward({"words": load_scorer(folder)}, words(), baselines={}, resamples=20)
    return folder, evaluation


@pytest.mark.parametrize("method", ["temperature", "platt", "isotonic"])
def test_a_calibration_is_kept_and_applied_by_compare(measured, method):
    folder, evaluation = measured
    plain = load_scorer(folder)
    a, b = ["good answer 1", "bad 1 reply"], ["bad 2 reply", "good answer 2"]
    margins = plain.score(["p", "p"], a) - plain.score(["p", "p"], b)
    fit = calibrate_reward(folder, evaluation, method)
    again = load_scorer(folder)
    assert again.compare(["p", "p"], a, b) == pytest.approx(fit(margins), abs=1e-6)
    assert again.compare(["p", "p"], b, a) == pytest.approx(1 - fit(margins), abs=1e-6)
    assert again.score(["p"], ["good answer 1"]) == plain.score(["p"], ["good answer 1"])
    assert fit(2.0) != pytest.approx(metrics.sigmoid(2.0), abs=1e-3)
    card = json.loads((folder / "guerdon.json").read_text(encoding="utf-8"))
    assert card["calibration"]["method"] == method
    assert card["calibration"]["fitted_on"]["pairs"] == 40
    later = evaluate_reward({"words": again}, words(), baselines={}, resamples=20)
    (stated,) = later.sections[0].details.probabilities
    (before,) = evaluation.sections[0].details.probabilities
    assert stated.values[AS_IT_IS]["brier"].point < before.values[AS_IT_IS]["brier"].point


def test_what_cannot_keep_a_calibration_says_why(measured, tmp_path):
    folder, evaluation = measured
    with pytest.raises(ConfigError, match="only a reward that guerdon saved keeps a calibration, and longest has no"):
        calibrate_reward("longest", evaluation)
    with pytest.raises(ConfigError, match="knows no system 'other'; it knows words"):
        calibrate_reward(folder, evaluation, system="other")
    few = evaluate_reward({"words": load_scorer(folder)}, words(5), baselines={}, resamples=2)
    with pytest.raises(DataError, match="a calibration needs 20 pairs"):
        calibrate_reward(folder, few)


def test_a_broken_calibration_is_refused(tmp_path):
    folder = tmp_path / "words"
    fit_tfidf(words()).save(folder)
    path = folder / "guerdon.json"
    card = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(card | {"calibration": {"method": "platt", "scale": -1}}), encoding="utf-8")
    with pytest.raises(ContractError, match="scale must be above 0.*Fix: calibrate it again"):
        load_scorer(folder)
