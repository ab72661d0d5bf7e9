from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

import guerdon
from collection import PAIRWISE, Visitor
from guerdon.cli.main import main
from guerdon.collect.accounts import ensure_person
from guerdon.collect.adjudicating import settle
from guerdon.collect.assigning import next_task
from guerdon.collect.choosing.arms import mixed, read_labels
from guerdon.collect.choosing.choosing_config import ChoosingConfig
from guerdon.collect.choosing.learning import as_pairs, learn_round
from guerdon.collect.choosing.paying import accuracy, paid
from guerdon.collect.choosing.rounds import Learnt, Paid, latest_round
from guerdon.collect.kinds.asking import Task
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.recording import Judged, record
from guerdon.collect.store import CollectStore
from guerdon.collect.store_tables import rounds, tasks
from guerdon.collect.tasks import add_tasks
from guerdon.collect.web.collect_app import create_app
from guerdon.collect.web.site import Site
from guerdon.errors import ConfigError, DataError
from guerdon.metrics import Interval
from guerdon.types import Comparison

SECRET = bytes(32)
WORDS = ["plain", "short", "brief", "clear", "good", "nice", "fine", "kind", "warm", "calm"]


def some_task(n: int) -> Task:
    long = " ".join([WORDS[n % 10]] * (3 + n % 7))
    return Task(f"Question {n}?", (f"{long} {n}", f"{n}"))


@pytest.fixture
def config(tiny_bert: str) -> ChoosingConfig:
    return ChoosingConfig(encoder=tiny_bert, device="cpu", ahead=20, random_share=0.25)


def open_with(place: str | Path, count: int, *, in_order: bool = False) -> CollectStore:
    store = CollectStore.open(place, create=True)
    store.set_project(PAIRWISE)
    add_tasks(store, [some_task(n) for n in range(count)], in_order=in_order)
    return store


def judge(store: CollectStore, count: int) -> list[int]:
    """Somebody judges the next tasks: the longer response is better."""
    person = ensure_person(store, "me", "admin")
    seen = []
    for _ in range(count):
        found = next_task(store, SECRET, person.id)
        assert found is not None
        choice = int(len(found.task.responses[1]) > len(found.task.responses[0]))
        answers = {"preference": {"choice": choice, "strength": 1}}
        record(store, SECRET, person.id, found.id, Judged(token=f"t{found.id}", answers=answers, seconds=1.0))
        seen.append(found.id)
    return seen


def test_a_round_puts_what_nobody_has_into_an_order(place: str, config: ChoosingConfig) -> None:
    store = open_with(place, 80)
    before = judge(store, 24)
    learnt = learn_round(store, config)
    assert (learnt.judged, learnt.drawn, learnt.chosen, learnt.waiting) == (24, 24, 0, 56)
    assert learnt.accuracy.point > 0.9
    assert learnt.paid is None
    with store.reading() as connection:
        rows = connection.execute(select(tasks).order_by(tasks.c.priority.desc(), tasks.c.place)).all()
        ranked = [row for row in rows if row.priority > 0]
        assert len(ranked) == learnt.ranked
        assert [row.arm for row in ranked[:8]] == ["chosen", "chosen", "chosen", "random"] * 2
        assert {row.round for row in ranked} == {1}
        assert {row.id for row in rows if row.taken} == set(before)
        assert {row.arm for row in rows if row.taken} == {"random"}
        assert latest_round(connection) == learnt
    assert judge(store, 8) == [row.id for row in ranked[:8]]
    again = learn_round(store, config)
    assert (again.judged, again.drawn, again.chosen) == (32, 26, 6)
    with store.reading() as connection:
        assert connection.execute(select(rounds.c.id)).scalars().all() == [1, 2]
        taken = connection.execute(select(tasks.c.round).where(tasks.c.id.in_([row.id for row in ranked[:8]])))
        assert set(taken.scalars()) == {1}
    store.close()


def test_the_order_of_the_data_is_nobodys_draw(tmp_path: Path, config: ChoosingConfig) -> None:
    store = open_with(tmp_path / "labels.db", 40, in_order=True)
    judge(store, 12)
    learnt = learn_round(store, config)
    assert (learnt.judged, learnt.drawn) == (12, 0)
    assert np.isnan(learnt.accuracy.point)
    judge(store, 8)
    assert learn_round(store, config).drawn == 2
    store.close()


def test_a_final_label_stands_for_its_task(lite: CollectStore) -> None:
    task = judge(lite, 1)[0]
    person = ensure_person(lite, "Eve", "reviewer")
    with lite.reading() as connection:
        (before,) = read_labels(connection, PAIRWISE.questions[0])
    final = {"preference": {"choice": 0 if before.row.chosen.startswith("Bad") else 1}}
    settle(lite, person.id, task, final, token="one", shown=(0, 1), guidelines=1)
    with lite.reading() as connection:
        (after,) = read_labels(connection, PAIRWISE.questions[0])
    assert (after.row.chosen, after.row.rejected) == (before.row.rejected, before.row.chosen)
    assert (before.arm, after.arm) == ("random", "random")


def test_too_little_and_other_questions_are_said(tmp_path: Path, config: ChoosingConfig) -> None:
    store = open_with(tmp_path / "labels.db", 20)
    judge(store, 3)
    with pytest.raises(DataError, match="3 tasks are judged; a reward is learnt from 10"):
        learn_round(store, config)
    store.close()
    other = CollectStore.open(tmp_path / "ratings.db", create=True)
    other.set_project(Project(questions=(parse_question({"kind": "rating", "name": "quality"}),)))
    with pytest.raises(ConfigError, match="quality is of kind rating"):
        learn_round(other, config)
    other.close()


def test_a_share_is_drawn_as_evenly_as_can_be() -> None:
    found = list(mixed(range(100), range(100, 200), 0.3))
    for count in range(1, 100):
        assert sum(arm == "random" for _, arm in found[:count]) == int(count * 0.3 + 1e-9)
    assert [task for task, arm in found if arm == "random"] == list(range(100, 100 + len(found) - 100))
    assert list(mixed([1, 2], [], 0.5)) == [(1, "chosen")]
    assert list(mixed([], [3, 4], 1.0)) == [(3, "random"), (4, "random")]


def test_comparisons_keep_their_places() -> None:
    rows = [
        Comparison(prompt="p", chosen="a", rejected="b", preference=0.5),
        Comparison(prompt="q", chosen="c", rejected="d", preference=0.75),
        Comparison(prompt="p", chosen="b", rejected="e"),
    ]
    judged = as_pairs(rows)
    assert [judged.responses[at] for at in judged.better] == ["a", "c", "b"]
    assert [judged.responses[at] for at in judged.worse] == ["b", "d", "e"]
    assert judged.target.tolist() == [0.5, 0.75, 1.0]
    assert judged.group[0] == judged.group[2] != judged.group[1]


def test_labels_that_teach_more_are_found_to() -> None:
    rng = np.random.default_rng(0)
    judged = as_pairs([Comparison(prompt=f"{n}?", chosen=f"a{n}", rejected=f"b{n}") for n in range(300)])
    truth = np.array([2.0, -2.0])
    differences = rng.normal(size=(300, 2))
    differences *= np.sign(differences @ truth)[:, None]
    drawn, chosen = np.arange(150), np.arange(150, 300)
    where = np.arange(300)
    noisy = differences.copy()
    noisy[chosen] *= rng.choice([-1, 1], size=150)[:, None]
    assert accuracy(differences, judged, where, drawn).point > 0.95
    good, bad = paid(differences, judged, where, drawn, chosen), paid(noisy, judged, where, drawn, chosen)
    assert good is not None
    assert bad is not None
    assert good.labels == bad.labels
    assert 100 <= good.labels <= 120
    assert abs(good.difference.point) < 0.03
    assert bad.difference.high < 0
    assert paid(differences, judged, where, drawn, chosen[:5]) is None


def test_a_record_is_read_back() -> None:
    paid = Paid(Interval(0.1), 12)
    learnt = Learnt("margin", 20, 8, 12, Interval(float("nan")), paid, 5, 9)
    found = Learnt.of(learnt.record())
    assert found.record() == learnt.record()
    assert (found.pays, found.paid and found.paid.labels) == ("unclear", 12)
    assert np.isnan(found.accuracy.point)


def test_command_and_function_say_the_same(
    tmp_path: Path, config: ChoosingConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "labels.db"
    store = open_with(place, 60)
    judge(store, 20)
    options = ["--encoder", config.encoder, "--device", "cpu", "--ahead", "20"]
    assert main(["collect", "learn", str(place), *options]) == 0
    said = capsys.readouterr().out
    assert "20 tasks judged: 20 drawn at random, 0 chosen" in said
    assert "cannot be told yet" in said
    learnt = guerdon.learn_collection(place, config)
    assert f"{learnt.ranked} of {learnt.waiting} tasks that nobody was given yet are ranked" in said
    store.close()


def test_the_overview_says_whether_choosing_pays(tmp_path: Path, config: ChoosingConfig) -> None:
    store = open_with(tmp_path / "labels.db", 60)
    judge(store, 20)
    site = Site(store, SECRET, url="http://127.0.0.1:8765")
    visitor = Visitor(create_app(site, [site.url])).join(site, "Ann", "reviewer")
    assert "What is asked next" not in visitor.get("/overview").text
    learn_round(store, config)
    page = visitor.get("/overview").text
    assert "20 drawn at random, 0 chosen" in page
    assert "cannot be told yet" in page
    assert "arXiv:2604.02766" in page
    store.close()
