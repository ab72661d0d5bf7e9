from __future__ import annotations

import json
from pathlib import Path

import pytest

from guerdon.data.candidates import read_candidates, read_prompts
from guerdon.data.column_map import maps_file, parse_map
from guerdon.data.read import load_rows
from guerdon.errors import ConfigError, DataError
from guerdon.evaluate.doctor import check_reward_model
from guerdon.explain.explain_run import explain_reward
from guerdon.recipes.readers import preferred_candidates, program_candidates
from guerdon.rewards.score_rows import score_rows
from guerdon.types import Comparison, Rating
from json_lines import write_lines

PAIR = {"frage": "Best tea?", "lecker": "Assam.", "fad": "Mud."}
MAP = "prompt=frage,chosen=lecker,rejected=fad"
ROW = Comparison(prompt="Best tea?", chosen="Assam.", rejected="Mud.")


@pytest.fixture(autouse=True)
def _own_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_columns_of_other_names_are_read_and_kept_for_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source, later = (write_lines(tmp_path / name, PAIR) for name in ("a.jsonl", "b.jsonl"))
    with pytest.raises(DataError, match="no known layout has these columns: frage, lecker, fad"):
        load_rows(source)
    assert load_rows(source, map=MAP) == [ROW]
    assert json.loads(maps_file().read_text()) == [{"prompt": "frage", "chosen": "lecker", "rejected": "fad"}]
    assert not caplog.records
    assert load_rows(later) == [ROW]
    assert [record.message for record in caplog.records] == [
        f"{later}: read with the column map that was given before: --map {MAP}"
    ]
    assert read_candidates(later)[0].responses == ("Assam.", "Mud.")
    assert read_prompts(later)[0].prompt == "Best tea?"


def test_nested_columns_attributes_and_lists(tmp_path: Path) -> None:
    answers = [{"t": "a"}, {"t": "b"}]
    record = {"ask": {"text": "Q?"}, "answers": answers, "marks": {"good": "4,5"}, "brief": 1, "x.y": "z"}
    source = write_lines(tmp_path / "a.jsonl", record)
    nested = "prompt=ask.text,response=answers.1.t,scores.good=marks.good,scores.brief=brief,id=x.y"
    (row,) = load_rows(source, map=nested)
    assert isinstance(row, Rating)
    assert (row.prompt, row.response, dict(row.scores), row.id) == ("Q?", "b", {"good": 4.5, "brief": 1.0}, "z")
    (tmp_path / "map.json").write_text(json.dumps(dict(part.split("=") for part in nested.split(","))))
    assert load_rows(source, map=str(tmp_path / "map.json")) == [row]


def test_what_a_map_replaces_is_kept_and_no_known_layout_is_changed_later(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {"prompt": "Q?", "chosen": "a", "rejected": "b", "best": "c"})
    (row,) = load_rows(source, map="chosen=best")
    assert row == Comparison(prompt="Q?", chosen="c", rejected="b", extra={"chosen": "a"})
    assert not maps_file().exists()
    (row,) = load_rows(source)
    assert row == Comparison(prompt="Q?", chosen="a", rejected="b", extra={"best": "c"})


def test_the_empty_prompt_on_purpose(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", {"text": "Fine.", "score": 1, "remark": "why is that so?"})
    with pytest.raises(DataError, match="text in the column 'remark'"):
        load_rows(source)
    assert load_rows(source, map="prompt=,response=text")[0].prompt == ""


def test_mistakes_are_named(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "a.jsonl", PAIR)
    with pytest.raises(DataError, match="--map names columns that are not there: frag; columns: frage, lecker, fad"):
        load_rows(source, map="prompt=frag,chosen=lecker,rejected=fad")
    for source in ("starter:test", "rewardbench2"):
        with pytest.raises(ConfigError, match="leave --map out"):
            load_rows(source, map=MAP)
    for given in ("prompt", "prompt=a,b", "=a"):
        with pytest.raises(ConfigError, match="--map must be NAME=COLUMN"):
            parse_map(given)
    with pytest.raises(ConfigError, match="names that no layout reads: promt"):
        parse_map("promt=a")


def test_whoever_reads_candidates_takes_a_map(tmp_path: Path) -> None:
    source, out = write_lines(tmp_path / "a.jsonl", PAIR), tmp_path / "out.jsonl"
    assert score_rows("longest", source, out, map=MAP).columns == ("reward_longest_chosen", "reward_longest_rejected")
    assert json.loads(out.read_text())["reward_longest_chosen"] == 6
    maps_file().unlink()
    (case,) = explain_reward("longest", source, map=MAP).cases
    assert (case.case.response, case.case.other) == ("Assam.", "Mud.")
    maps_file().unlink()
    (one,) = preferred_candidates(source, map=MAP)
    assert (one.responses, one.scores) == (("Assam.", "Mud."), (1.0, 0.0))
    maps_file().unlink()
    assert not check_reward_model("longest", data=source, map=MAP).faults
    with pytest.raises(DataError, match="read in their own columns. Fix: leave out --map prompt=frage"):
        program_candidates(source, map=MAP)
