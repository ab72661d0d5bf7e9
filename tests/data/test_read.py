from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guerdon.data.read import iter_rows, load_rows
from guerdon.errors import ConfigError, DataError
from guerdon.types import Comparison, Origin, prompt_text
from json_lines import write_lines

PAIR: dict[str, Any] = {"prompt": "Q?", "chosen": "good", "rejected": "bad", "subset": "topic_for"}


def test_rows_and_faults_come_in_order(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", PAIR, PAIR | {"chosen": "bad"}, 3, PAIR | {"chosen": "fine"})
    good, same, number, last = iter_rows(source)
    assert isinstance(good, Comparison)
    assert good.origin == Origin(source, 1)
    assert str(same) == f"{source}:2: chosen and rejected are the same text; there is nothing to prefer"
    assert str(number).startswith(f"{source}:3: a row must be a JSON object")
    assert isinstance(last, Comparison)
    assert str(last.origin) == f"{source}:4"


def test_kinds_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    rows = load_rows(write_lines(tmp_path / "a.jsonl", PAIR, {"prompt": "Q?", "response": "a", "score": 1}))
    assert [type(row).__name__ for row in rows] == ["Comparison", "Rating"]


def test_load_rows_lists_the_first_faults_and_the_total(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", PAIR, *[PAIR | {"chosen": ""}] * 25)
    with pytest.raises(DataError) as caught:
        load_rows(source)
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{source}: 25 of 26 rows cannot be used; the first 20:"
    assert lines[1] == f"  {source}:2: column 'chosen' is empty"
    assert lines[20] == f"  {source}:21: column 'chosen' is empty"
    assert lines[21:] == ["Put them right, or keep the other rows: guerdon data convert DATA NEW.jsonl --skip-faulty"]


def test_unknown_columns_bring_the_list_of_layouts_once(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_rows(write_lines(tmp_path / "a.jsonl", {"a": 1}, {"b": 2}))
    text = str(caught.value)
    assert "no known layout has these columns: a" in text
    assert text.count("  comparison (chosen, rejected)") == 1


@pytest.mark.parametrize(
    ("name", "text"), [("a.jsonl", ""), ("a.jsonl", "\n\n"), ("a.csv", "prompt,score\n"), ("a.json", "[]")]
)
def test_an_empty_file_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}: there is no row in it"):
        load_rows(str(tmp_path / name))


def test_groups_from_a_column(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", PAIR | {"topic": 4}, PAIR | {"topic": "b", "subset": "other_x"})
    assert [row.group for row in load_rows(source)] == ["", ""]
    assert [row.group for row in load_rows(source, group="topic")] == ["4", "b"]
    assert [row.group for row in load_rows(source, group="subset", group_regex="^(.*)_")] == ["topic", "other"]
    assert [row.group for row in load_rows(source, group="subset", group_regex="[a-z]+")] == ["topic", "other"]
    assert [row.group for row in load_rows(source, group="prompt")] == ["Q?", "Q?"]


def test_dialogues_are_known_by_their_first_user_turn(tmp_path: Path) -> None:
    start = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    later = [*start, {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": "And?"}]
    prompts = ("Hi", start, later, [{"role": "tool", "content": "x"}])
    source = write_lines(
        tmp_path / "a.jsonl", *(PAIR | {"prompt": prompt} for prompt in prompts), PAIR | {"dialogue": 7}
    )
    assert [row.group for row in load_rows(source, group="dialogue")] == ["Hi", "Hi", "Hi", "tool: x", "7"]


def test_group_faults(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", PAIR)
    with pytest.raises(
        DataError, match="'topic' has no single value here; columns found: prompt, chosen, rejected, subset"
    ):
        load_rows(source, group="topic")
    with pytest.raises(DataError, match=r"group regex '\^\(x\)' finds nothing in 'topic_for'"):
        load_rows(source, group="subset", group_regex="^(x)")
    with pytest.raises(ConfigError, match="is not a regular expression"):
        load_rows(source, group="subset", group_regex="(")
    with pytest.raises(ConfigError, match="needs the group column"):
        load_rows(source, group_regex="(x)")


def test_the_parts_of_the_starter_set_make_up_the_whole_and_share_no_prompt() -> None:
    train, test = load_rows("starter:train"), load_rows("starter:test")
    assert {row.id for row in [*train, *test]} == {row.id for row in load_rows("starter")}
    assert not {prompt_text(row.prompt) for row in train} & {prompt_text(row.prompt) for row in test}
    for part, rows in (("starter:train", train), ("starter:test", test)):
        english, chinese = load_rows(f"{part}:en"), load_rows(f"{part}:zh")
        assert {row.extra["language"] for row in english} == {"en"}
        assert {row.id for row in english} | {row.id for row in chinese} == {row.id for row in rows}


def test_the_starter_set_is_a_source_of_its_own() -> None:
    rows = load_rows("starter", group="subset")
    assert rows
    assert all(row.group == row.subset != "" for row in rows)


def test_a_column_with_text_that_is_not_read_is_named_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"prompt": "Q?", "chosen": "a", "rejected": "b", "source": "mine", "scale": "from one to five stars"}
    rows = (row | {"passage": f"The text that question {at} is about."} for at in range(3))
    path = write_lines(tmp_path / "rows.jsonl", *rows)
    for _ in range(2):
        assert len(load_rows(path)) == 3
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{path}: not read, though there is text in it: column 'passage'.")


def test_question_chooses_for_the_whole_source(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    judged = {name: [{"value": value, "status": "submitted"}] for name, value in (("long", "text2"), ("best", "text1"))}
    records = [{"fields": {"prompt": f"Q{i}?", "text1": "a", "text2": "b"}, "responses": judged} for i in range(2)]
    path.write_text(json.dumps(records), encoding="utf-8")
    with pytest.raises(DataError, match="--question NAME"):
        load_rows(str(path))
    assert [row.chosen for row in load_rows(str(path), question="best")] == ["a", "a"]
