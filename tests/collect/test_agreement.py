"""`guerdon collect agreement`: of rows and of stores, what it says of known annotators, and soft labels that train."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import guerdon
from collection import SECRET
from guerdon.cli.main import main
from guerdon.collect.accounts import ensure_person
from guerdon.collect.agreement_run import store_place
from guerdon.collect.assigning import next_task
from guerdon.collect.kinds.asking import Task
from guerdon.collect.label_agreement import crowd_strengths_of, label_agreement
from guerdon.collect.labelled import labelled_rows
from guerdon.collect.recording import Judged, record
from guerdon.collect.soft_labels import soft_rows
from guerdon.collect.store import CollectStore
from guerdon.collect.tasks import add_tasks
from guerdon.data.read import load_rows
from guerdon.errors import ConfigError, DataError
from guerdon.metrics import krippendorff_alpha
from guerdon.types import AnyRow, Comparison, Ranking, Rating, Reference, Steps

RIGHT = {"Ann": 0.95, "Ben": 0.8, "Cyd": 0.5, "Dan": 0.9, "Eve": 0.7}


def judged_pairs(items: int = 300, seed: int = 0) -> list[AnyRow]:
    """Comparisons by annotators who are right so often; "good" is truly better."""
    rng = np.random.default_rng(seed)
    rows: list[AnyRow] = []
    for n in range(items):
        texts = (f"good {n}", f"bad {n}") if n % 2 else (f"z good {n}", f"y bad {n}")
        for name, share in RIGHT.items():
            chosen, rejected = texts if rng.random() < share else texts[::-1]
            rows.append(
                Comparison(
                    prompt=f"Q{n}",
                    chosen=chosen,
                    rejected=rejected,
                    margin=float(rng.integers(1, 4)),
                    extra={"annotator": name},
                )
            )
    return rows


def test_known_annotators() -> None:
    preference, strength = labelled_rows(judged_pairs())
    found = label_agreement(preference, strength=strength, resamples=200)
    assert (found.items, found.judgements, found.annotators, found.several) == (300, 1500, 5, 300)
    shares = [one.accuracy for one in found.quality]
    assert [one.name for one in found.quality] == list(RIGHT)
    for share, known in zip(shares, RIGHT.values(), strict=True):
        assert share.point == pytest.approx(known, abs=0.06)
        assert share.low < share.point < share.high
    equal = [p * q + (1 - p) * (1 - q) for p, q in itertools.combinations(RIGHT.values(), 2)]
    assert found.agreement.point == pytest.approx(np.mean(equal), abs=0.04)
    assert found.noise_dawid_skene.point == pytest.approx(1 - np.mean(list(RIGHT.values())), abs=0.03)
    assert found.alpha.keys() == {"nominal", "ordinal, with strength"}
    best, *_ = sorted(found.pairs, key=lambda pair: -pair.kappa.point)
    assert {best.first, best.second} == {"Ann", "Dan"}
    assert all(one.reliability is None for one in found.quality), "each text is in one pair only"


def test_the_order_of_texts_changes_nothing() -> None:
    rows = judged_pairs(60)
    (one, _), other = labelled_rows(rows), []
    for row in rows:  # the same, with texts whose alphabetical order is the opposite
        assert isinstance(row, Comparison)
        names = {row.chosen: row.rejected, row.rejected: row.chosen}
        other.append(
            Comparison(
                prompt=row.prompt, chosen=names[row.chosen][::-1], rejected=names[row.rejected][::-1], extra=row.extra
            )
        )
    found, same = label_agreement(one, resamples=100), label_agreement(labelled_rows(other)[0], resamples=100)
    assert found.alpha["nominal"].point == pytest.approx(same.alpha["nominal"].point, abs=1e-12)
    assert found.fleiss.point == pytest.approx(same.fleiss.point, abs=1e-12)
    assert [pair.kappa.point for pair in found.pairs] == pytest.approx([pair.kappa.point for pair in same.pairs])


def test_ties_both_bad_and_second_thoughts() -> None:
    def row(name: str, chosen: str, **more: Any) -> Comparison:
        extra = {"annotator": name} | more.pop("extra", {})
        return Comparison(prompt="Q", chosen=chosen, rejected="ab".replace(chosen, ""), extra=extra, **more)

    rows = [
        row("Ann", "a"),
        row("Ann", "b"),
        row("Ben", "a", preference=0.5),
        row("Cyd", "a", preference=0.5, extra={"both_bad": True}),
    ]
    (one,) = labelled_rows(rows)
    assert one.categories == ("first", "second", "tie", "both bad")
    assert one.counts().tolist() == [[0, 1, 1, 1]], "of two judgements of one person the later counts"
    assert one.swap is not None
    assert one.swap.tolist() == [1, 0, 2, 3]


def test_votes_without_names() -> None:
    rows: list[AnyRow] = [
        Comparison(prompt="Q1", chosen="b", rejected="a", extra={"votes": [3, 1, 1]}),
        Comparison(prompt="Q2", chosen="a", rejected="b", extra={"votes": [2, 0]}),
    ]
    (one,) = labelled_rows(rows)
    assert one.counts().tolist() == [[1, 3, 1], [2, 0, 0]]
    found = label_agreement(one, resamples=50)
    assert (found.annotators, found.quality, found.pairs) == (0, (), ())
    table = np.array([[1, 3, 1], [2, 0, 0], [3, 1, 1], [0, 2, 0]])
    assert found.alpha["nominal"].point == pytest.approx(krippendorff_alpha(table))
    soft = soft_rows([one], "votes")
    assert [row.preference for row in soft if isinstance(row, Comparison)] == [0.7, 1.0]
    assert soft[0].extra["votes"] == [3, 1, 1]


def test_ratings_rankings_and_steps() -> None:
    rows: list[AnyRow] = [
        Rating(prompt="Q", response=text, scores={"clear": score, "brief": 1 + (score > 2)}, extra={"rater": name})
        for text, scores in {"x": (1, 2), "y": (4, 5), "z": (3, 3)}.items()
        for name, score in zip("ab", scores, strict=True)
    ]
    clear, brief = labelled_rows(rows)
    found = label_agreement(clear, resamples=50)
    assert (clear.name, clear.kind, brief.name) == ("clear", "score", "brief")
    assert clear.values.tolist() == [1, 2, 3, 4, 5]
    assert found.alpha.keys() == {"ordinal", "interval"}
    assert found.alpha["interval"].point == pytest.approx(
        krippendorff_alpha(clear.counts(), [1, 2, 3, 4, 5], "interval")
    )
    means = {row.response: row.scores["clear"] for row in soft_rows([clear, brief], "votes") if isinstance(row, Rating)}
    assert means == {"x": 1.5, "y": 4.5, "z": 3}

    ranked: list[AnyRow] = [
        Ranking(prompt="Q", responses=("x", "y", "z"), scores=scores, extra={"annotator": name})
        for name, scores in {"a": (2, 1, 0), "b": (2, 0, 1), "c": (0, 1, 2)}.items()
    ]
    (pairs,) = labelled_rows(ranked)
    assert pairs.counts().tolist() == [[2, 1], [2, 1], [1, 2]], "x and y, x and z, y and z"
    quality = label_agreement(pairs, resamples=50).quality
    assert all(one.reliability is not None for one in quality)
    assert crowd_strengths_of(pairs)[0].strengths.argmax() == 0

    solutions: list[AnyRow] = [
        Steps(prompt="Q", steps=("one", "two", "three"), labels=labels, extra={"annotator": name})
        for name, labels in {"a": (1, 0, None), "b": (1, 1, 0)}.items()
    ]
    (steps,) = labelled_rows(solutions)
    assert steps.counts().tolist() == [[0, 2], [1, 1], [1, 0]]
    (soft,) = soft_rows([steps], "votes")
    assert isinstance(soft, Steps)
    assert soft.labels == (1.0, 0.5, 0.0)


def test_what_cannot_be_told() -> None:
    with pytest.raises(DataError, match="no row says who judged it.*--annotator"):
        labelled_rows([Comparison(prompt="Q", chosen="a", rejected="b")])
    with pytest.raises(DataError, match="no row says who judged it"):
        labelled_rows([Reference(prompt="Q", reference="a", extra={"annotator": "Ann"})])
    with pytest.raises(ConfigError, match="no row has a column 'who'"):
        labelled_rows(judged_pairs(2), "who")
    rated = labelled_rows([Rating(prompt="Q", response="x", scores={"score": 1.0}, extra={"annotator": "Ann"})])
    with pytest.raises(ConfigError, match="score was not compared"):
        soft_rows(rated, "bradley-terry")
    found = label_agreement(rated[0])
    assert found.several == 0
    assert np.isnan(found.agreement.point)


@pytest.mark.parametrize("pooling", ["votes", "dawid-skene", "bradley-terry"])
def test_soft_labels_say_how_sure_they_are(pooling: Any) -> None:
    rows = [row for row in soft_rows(labelled_rows(judged_pairs()), pooling) if isinstance(row, Comparison)]
    assert len(rows) == 300
    right = np.array(["good" in row.chosen for row in rows])
    sure = np.array([row.preference for row in rows])
    assert ((sure >= 0.5) & (sure <= 1)).all()
    assert sure[right].mean() > sure[~right].mean() + 0.04
    if pooling == "dawid-skene":
        assert sure.mean() == pytest.approx(right.mean(), abs=0.05), (
            "what it is sure of by p is right in p of the cases"
        )
        assert right.mean() > 0.9, "who guesses is not believed"


def test_command_and_function_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, soft, report = tmp_path / "judged.jsonl", tmp_path / "soft.jsonl", tmp_path / "report.json"
    guerdon.data.write.write_rows(judged_pairs(40), path)
    assert main(["collect", "agreement", str(path), "--soft-labels", str(soft), "--json", str(report)]) == 0
    printed = capsys.readouterr()
    assert "preference: 200 judgements of 40 items, 5 annotators" in printed.out
    assert "40 rows in" in printed.err
    found = guerdon.annotator_agreement(str(path), soft_labels=tmp_path / "again.jsonl")
    assert json.loads(report.read_text()) == found.as_dict()
    assert (tmp_path / "again.jsonl").read_bytes() == soft.read_bytes()
    assert all(0.5 <= row.preference <= 1 for row in load_rows(str(soft)) if isinstance(row, Comparison))
    assert main(["collect", "agreement", str(path), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["questions"][0]["name"] == "preference"


def test_a_store_by_any_name(
    store: CollectStore, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DataError, match="nobody has judged anything yet"):
        guerdon.annotator_agreement(place)
    gold = [Task(f"Gold {n}?", ("yes", "no"), gold={"preference": {"choice": 0}}) for n in range(4)]
    add_tasks(store, gold)
    for name, choice in (("Ann", 0), ("Ben", 1)):
        person = ensure_person(store, name, "annotator")
        while (found := next_task(store, SECRET, person.id, overlap=2, gold_every=2)) is not None:
            judged = Judged(token=f"{name} {found.id}", answers={"preference": {"choice": choice, "strength": 1}})
            record(store, SECRET, person.id, found.id, judged)
    guerdon.judge_collection(place, "longest")
    (one,) = guerdon.annotator_agreement(place, question="preference").questions
    assert (one.name, one.items, one.judgements) == ("preference", 10, 20), "gold tasks are others"
    assert one.agreement.point == 0
    assert [each.gold and each.gold.point for each in one.quality] == [1.0, 0.0]
    (everybody,) = guerdon.annotator_agreement(place, who="all").questions
    assert everybody.annotators == 3
    with pytest.raises(DataError, match="there is no question"):
        guerdon.annotator_agreement(place, question="other")
    assert main(["collect", "agreement", place]) == 0
    assert "gold right" in capsys.readouterr().out
    if "://" not in place:
        os.rename(place, tmp_path / "collect.db")
        assert store_place(str(tmp_path)) == str(tmp_path / "collect.db")


def test_what_is_no_store_is_rows(tmp_path: Path) -> None:
    assert store_place("postgresql://ann@example.org/labels") == "postgresql://ann@example.org/labels"
    assert store_place(str(tmp_path)) is None
    assert store_place(str(tmp_path / "judged.jsonl")) is None
    (tmp_path / "judged.jsonl").write_text("{}")
    assert store_place(str(tmp_path / "judged.jsonl")) is None
