from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import guerdon
from guerdon.cli.main import main
from guerdon.collect.accounts import ensure_person
from guerdon.collect.assigning import next_task
from guerdon.collect.kinds.asking import Task
from guerdon.collect.questions import Project, parse_question
from guerdon.collect.recording import Judged, record
from guerdon.collect.store import CollectStore
from guerdon.collect.tasks import add_tasks, read_tasks
from guerdon.data.read import load_rows
from guerdon.errors import ConfigError, DataError
from guerdon.types import Comparison, Message, Rating, Steps

SECRET = bytes(32)
TASKS = [
    Task(
        "Which egg?", ("The white one.", "None."), {"subset": "eggs", "id": "7", "extra": {"annotator": "x", "own": 1}}
    ),
    Task((Message("user", "你好"),), ("您好！", "哦。")),
]


@pytest.fixture
def judged(tmp_path: Path) -> CollectStore:
    """Two people and a model judged two tasks by two questions."""
    store = CollectStore.open(tmp_path / "labels.db", create=True)
    questions = [{"kind": "pairwise", "name": "truth"}, {"kind": "rating", "name": "quality", "attributes": ["brief"]}]
    store.set_project(Project(questions=tuple(map(parse_question, questions))))
    add_tasks(store, TASKS, in_order=True)
    votes = {"Ann": 0, "Ben": 1, "longest": 0}
    for name, role in (("Ann", "annotator"), ("Ben", "admin"), ("longest", "model")):
        person = ensure_person(store, name, role)
        while (found := next_task(store, SECRET, person.id, overlap=3)) is not None:
            choice = votes[name] if found.id == 1 else 0
            answers = {"truth": {"choice": choice, "strength": 2}, "quality": [{"brief": 3}, {"brief": 1}]}
            record(store, SECRET, person.id, found.id, Judged(token=f"{name} {found.id}", answers=answers, seconds=9))
    return store


def export(store: CollectStore, out: Path, **options: Any) -> list[Any]:
    guerdon.export_judgements(store.place, out, **options)
    return load_rows(str(out))


@pytest.mark.parametrize("ending", [".jsonl", ".csv", ".parquet"])
def test_each_judgement_is_a_row(judged: CollectStore, tmp_path: Path, ending: str) -> None:
    rows = export(judged, tmp_path / f"out{ending}", question="truth")
    assert [(row.extra["annotator"], row.chosen, row.margin) for row in rows] == [
        ("Ann", "The white one.", 2),
        ("Ben", "None.", 2),
        ("Ann", "您好！", 2),
        ("Ben", "您好！", 2),
    ]
    assert rows[0].subset == "eggs"
    assert rows[0].id == "7"
    assert rows[0].extra["data_annotator"] == "x"
    assert rows[0].extra["answers"] == {"quality": [{"brief": 3}, {"brief": 1}]}
    assert rows[2].prompt == (Message("user", "你好"),)
    assert {row.extra["shown_first"] for row in rows} <= {"chosen", "rejected"}


def test_pooled_rows_have_votes(judged: CollectStore, tmp_path: Path) -> None:
    first, second = export(judged, tmp_path / "out.jsonl", question="truth", pool=True)
    assert (first.preference, first.extra["votes"]) == (0.5, [1, 1, 0])
    assert (second.preference, second.extra["votes"], second.margin) == (1.0, [2, 0, 0], 2.0)
    assert second.extra["annotators"] == ["Ann", "Ben"]


def test_models_are_left_out_unless_asked(judged: CollectStore, tmp_path: Path) -> None:
    (first, _) = export(judged, tmp_path / "m.jsonl", question="truth", who="models")
    assert (first.extra["annotator"], first.extra["annotator_kind"]) == ("longest", "model")
    everybody = export(judged, tmp_path / "a.jsonl", question="truth", who="all")
    assert len(everybody) == 6
    assert sum("annotator_kind" in row.extra for row in everybody) == 2


def test_questions_stay_apart(judged: CollectStore, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="several questions were asked: truth, quality. Fix: choose one, --question"):
        export(judged, tmp_path / "out.jsonl")
    with pytest.raises(DataError, match="there is no question 'other'"):
        export(judged, tmp_path / "out.jsonl", question="other")
    ratings = export(judged, tmp_path / "out.jsonl", question="quality")
    assert all(isinstance(row, Rating) for row in ratings)
    assert len(ratings) == 8


def test_the_command_writes_what_the_function_does(
    judged: CollectStore, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    guerdon.export_judgements(judged.place, tmp_path / "a.jsonl", question="truth", pool=True)
    assert main(["collect", "export", judged.place, "-", "--question", "truth", "--pool"]) == 0
    assert capfdbinary.readouterr().out == (tmp_path / "a.jsonl").read_bytes()


def test_nothing_judged_is_an_error(lite: CollectStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["collect", "export", lite.place, str(tmp_path / "x.jsonl")]) == 2
    assert "nobody has answered preference yet" in capsys.readouterr().err
    assert main(["collect", "export", str(tmp_path / "no.db"), str(tmp_path / "x.jsonl")]) == 2
    assert "there is no store" in capsys.readouterr().err


def test_tasks_from_data(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    lines: list[dict[str, Any]] = [
        {"prompt": "p", "responses": ["a", "b", "c", "a"], "system": ["x", "y", "z", "w"], "topic": "t"},
        {"prompt": "q", "chosen": "good", "rejected": "bad"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    pairs = list(read_tasks(str(path), "pair", pairs=2))
    assert [len(set(task.responses)) for task in pairs] == [2, 2, 2]
    assert list(read_tasks(str(path), "pair", pairs=2)) == pairs, "drawn the same each time"
    assert len(list(read_tasks(str(path), "pair", pairs=99))) == 6
    assert [len(task.responses) for task in read_tasks(str(path), "several")] == [4, 2]
    assert [task.responses for task in read_tasks(str(path), "one")][-2:] == [("good",), ("bad",)]
    assert pairs[0].about["extra"] == {"topic": "t"}
    path.write_text('{"prompt": "p", "response": "a"}\n')
    with pytest.raises(DataError, match=r"data.jsonl:1: comparing takes two different responses, and there is 1"):
        list(read_tasks(str(path), "pair"))


def test_steps_are_kept_apart(tmp_path: Path) -> None:
    row = Steps(prompt="2+3*4", steps=("a\n\nb", "c"), labels=(1, 0))
    from guerdon.data.write import write_rows

    write_rows([row], tmp_path / "s.jsonl")
    (task,) = read_tasks(str(tmp_path / "s.jsonl"), "one")
    assert task.steps == row.steps


def test_what_is_exported_is_a_comparison_as_any_other(judged: CollectStore, tmp_path: Path) -> None:
    rows = export(judged, tmp_path / "out.jsonl", question="truth")
    assert all(isinstance(row, Comparison) for row in rows)
    report = guerdon.describe_data(str(tmp_path / "out.jsonl"))
    assert report.kinds == {"Comparison": 4}


@pytest.mark.parametrize("layout", ["label-studio", "argilla"])
def test_other_tools_read_what_was_judged(judged: CollectStore, tmp_path: Path, layout: str) -> None:
    """And so does Guerdon: what they hold of a question is what pooling gives."""
    out = tmp_path / "out.json"
    assert guerdon.export_judgements(judged.place, out, layout=layout) == 2
    pooled = export(judged, tmp_path / "pooled.jsonl", question="truth", pool=True)
    for read, row in zip(load_rows(str(out), question="truth"), pooled, strict=True):
        assert isinstance(read, Comparison)
        assert (read.prompt, read.chosen, read.rejected) == (row.prompt, row.chosen, row.rejected)
        assert read.preference == row.preference
    with pytest.raises(ConfigError, match="has all questions"):
        guerdon.export_judgements(judged.place, out, layout=layout, pool=True)


@pytest.mark.parametrize("layout", ["label-studio", "argilla"])
def test_ratings_for_other_tools(tmp_path: Path, layout: str) -> None:
    store = CollectStore.open(tmp_path / "labels.db", create=True)
    store.set_project(Project(questions=(parse_question({"kind": "rating", "attributes": ["brief", "kind"]}),)))
    add_tasks(store, [Task("How long?", ("Eight minutes.",))])
    for name, brief in (("Ann", 3), ("Ben", 4)):
        person = ensure_person(store, name, "annotator")
        found = next_task(store, SECRET, person.id, overlap=2)
        assert found is not None
        record(
            store, SECRET, person.id, found.id, Judged(token=name, answers={"quality": [{"brief": brief, "kind": 1}]})
        )
    guerdon.export_judgements(store.place, tmp_path / "out.json", layout=layout)
    (row,) = load_rows(str(tmp_path / "out.json"))
    assert isinstance(row, Rating)
    assert row.scores == {"brief": 3.5, "kind": 1}
