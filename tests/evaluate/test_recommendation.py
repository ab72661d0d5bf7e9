"""The recommendation follows from the measurement, and says where nothing can be trusted."""

from __future__ import annotations

import numpy as np
import pytest

from guerdon.evaluate.advice import CandidateResult
from guerdon.evaluate.cheap_candidates import CHEAP
from guerdon.evaluate.counted_pairs import CountedPairs, Measured
from guerdon.evaluate.learning_curve import Gain
from guerdon.evaluate.recommendation import choose, gain_sentence, next_commands, task_notes, worth_of
from guerdon.rewards.judged import JudgedResponses
from guerdon.types import Comparison, Rating

COUNT = 400


@pytest.fixture
def judged() -> JudgedResponses:
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 60, size=(COUNT, 2))
    return JudgedResponses.of(
        [
            Comparison(prompt=f"p{i}", chosen=f"a{i}" + "x" * int(a), rejected=f"b{i}" + "x" * int(b))
            for i, (a, b) in enumerate(lengths)
        ]
    )


def measured(judged: JudgedResponses, **accuracy: float) -> Measured:
    """Every candidate right on its share of the pairs, drawn by chance."""
    rng = np.random.default_rng(1)
    margins = {name: np.where(rng.permutation(COUNT) < accuracy.get(name, 0.5) * COUNT, 1.0, -1.0) for name in CHEAP}
    return Measured.of(CountedPairs.of(judged), margins)


def results(found: Measured) -> dict[str, CandidateResult]:
    return {
        name: CandidateResult(
            name=name,
            about=CHEAP[name],
            state="cross-validated",
            accuracy=found.accuracy[name],
            length_balanced=found.length_balanced[name],
            length_correlation=found.length_correlation[name],
        )
        for name in CHEAP
    }


def test_blend_unless_another_is_clearly_better(judged: JudgedResponses) -> None:
    assert choose(measured(judged, blend=0.6, tfidf=0.6025)) == "blend"
    assert choose(measured(judged, blend=0.6, tfidf=0.64)) == "blend"
    assert choose(measured(judged, blend=0.6, tfidf=0.7)) == "tfidf"
    assert choose(measured(judged, blend=0.6, tfidf=0.6)) == "blend"


def test_what_beats_length_is_recommended_with_its_evidence(judged: JudgedResponses) -> None:
    found = measured(judged, blend=0.7, tfidf=0.65)
    verdict = worth_of("blend", results(found), found)
    assert verdict.trustworthy
    assert verdict.headline.startswith("Take blend")
    assert any("blend minus tfidf, the best of the others: +0.050" in line for line in verdict.evidence)


def test_nothing_is_trusted_where_only_length_wins(judged: JudgedResponses) -> None:
    found = measured(judged, longest=0.7)
    verdict = worth_of(choose(found), results(found), found)
    assert not verdict.trustworthy
    assert "No trustworthy reward found: longest wins" in verdict.headline
    assert verdict.evidence[-1].startswith("What to do")


def test_nothing_is_trusted_that_is_level_with_length(judged: JudgedResponses) -> None:
    found = measured(judged, longest=0.7, blend=0.7)
    assert found.balanced("blend").low > 0.5
    verdict = worth_of("blend", results(found), found)
    assert not verdict.trustworthy
    assert verdict.headline == "No trustworthy reward found: blend knows little more than length."
    assert verdict.evidence[0].startswith("blend minus longest: accuracy +0.000 [-0.0")
    clear = measured(judged, longest=0.7, blend=0.8)
    assert worth_of("blend", results(clear), clear).trustworthy


def test_nothing_is_trusted_where_nothing_beats_guessing(judged: JudgedResponses) -> None:
    found = measured(judged, blend=0.52)
    verdict = worth_of("blend", results(found), found)
    assert not verdict.trustworthy
    assert "guessing" in verdict.headline


def test_gains_are_said_in_points() -> None:
    assert (
        gain_sentence(Gain(300, 0.012, 0.02, 0.031), "pairs")
        == "300 more pairs: +1 to +3 points of accuracy (80% band)."
    )
    assert gain_sentence(Gain(1000, -0.002, 0.01, 0.026), "pairs").startswith("1,000 more pairs: 0 to +3 points")


def test_single_ratings_want_a_plain_classifier_or_regression(judged: JudgedResponses) -> None:
    result = CandidateResult(name="tfidf", about="", state="cross-validated", length_correlation=0.1)
    for values, word in ((2, "classifier"), (30, "regression")):
        rows = [Rating(prompt="Rate it", response=f"r{i}", scores={"": float(i % values)}) for i in range(60)]
        (note,) = task_notes(rows, JudgedResponses.of(rows), result)
        assert f"a plain {word}" in note
    pairs = [Comparison(prompt="p", chosen="a", rejected="b")]
    assert not task_notes(pairs, judged, result)
    (note,) = task_notes(pairs, judged, CandidateResult(name="x", about="", state="estimated", length_correlation=0.8))
    assert "longer responses" in note


def test_commands_name_what_was_compared() -> None:
    costly = {"lora": "guerdon train {data} --backbone minilm --lora-r 16 --out {out}"}
    for name, command in {
        "longest": "guerdon score longest 'my data.jsonl' --out scores.jsonl",
        "blend": "guerdon fit 'my data.jsonl' --out my-reward --group topic",
        "tfidf": "guerdon fit 'my data.jsonl' --members tfidf --out my-reward --group topic",
        "lora": "guerdon train 'my data.jsonl' --backbone minilm --lora-r 16 --out my-reward --group topic",
    }.items():
        ((_, found),) = next_commands(name, "my data.jsonl", costly, " --group topic", "minilm")
        assert found == command
