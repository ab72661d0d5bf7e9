"""Files as they come: other line ends, wrappers, tables by columns, names spelt otherwise, things that are no data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from guerdon.data.candidates import read_candidates, read_prompts
from guerdon.data.read import load_rows
from guerdon.errors import DataError
from guerdon.types import Comparison, Message, Rating

PAIRS = [{"prompt": f"Q {n}?", "chosen": f"good {n}", "rejected": f"bad {n}"} for n in range(3)]
ROWS = [Comparison(**pair) for pair in PAIRS]
LINES = [json.dumps(pair) for pair in PAIRS]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cr.jsonl", "\r".join(LINES)),
        ("mixed.jsonl", f"{LINES[0]}\r\n{LINES[1]}\r{LINES[2]}\n"),
        ("pretty.jsonl", "\n".join(json.dumps(pair, indent=2) for pair in PAIRS)),
        ("pretty_array.jsonl", json.dumps(PAIRS, indent=1)),
        ("wrapped.json", json.dumps({"data": PAIRS})),
        ("wrapped_pretty.json", json.dumps({"version": 2, "rows": PAIRS}, indent=1)),
        ("wrapped_long.json", json.dumps({"about": "x" * 100, "examples": PAIRS * 1000})),
        ("capitals.csv", " Prompt ,CHOSEN,Rejected\n" + "".join(f"Q {n}?,good {n},bad {n}\n" for n in range(3))),
    ],
)
def test_rows_are_found(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(text.encode())
    assert load_rows(str(tmp_path / name))[:3] == ROWS


def test_an_object_that_is_a_row_is_not_taken_apart(tmp_path: Path) -> None:
    task = {"data": {"prompt": "Q?", "text": "a"}, "annotations": [{"result": []}]}
    (tmp_path / "a.json").write_text(json.dumps(task))
    with pytest.raises(DataError, match="no finished judgement"):
        load_rows(str(tmp_path / "a.json"))
    (tmp_path / "b.jsonl").write_text(json.dumps(PAIRS[0] | {"data": [{"x": 1}]}))
    (row,) = load_rows(str(tmp_path / "b.jsonl"))
    assert row.extra == {"data": [{"x": 1}]}


def test_names_but_for_capitals(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"Prompt": "Q?", "Response": "abc", "Source": "mine"}')
    (one,) = read_candidates(str(path))
    assert (one.prompt, one.responses, one.extra) == ("Q?", ("abc",), {"Source": "mine"})
    assert "read without their capitals and spaces: 'Prompt' as prompt, 'Response' as response" in caplog.text
    assert read_prompts(str(path))[0].prompt == "Q?"
    path.write_text('{"prompt": "Q?", "response": "abc", "score": 1, "System": "x", "Text": "y"}')
    assert load_rows(str(path))[0].extra == {"System": "x", "Text": "y"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"prompt": ["p", "q"], "chosen": ["a", "b"], "rejected": ["c", "d"]}', "'prompt' holds several"),
        ("b.json", '{"chosen": {"0": "a"}, "rejected": {"0": "b"}}', r"'chosen' holds several texts.*orient=.records"),
        ("c.jsonl", '{"prompt": "q", "chosen": "a", "chosen": "z", "rejected": "b"}', "the name 'chosen' stands twice"),
        ("d.json", '[{"prompt": "q", "prompt": "r"}]', "element 1, .*: the name 'prompt' stands twice"),
        ("e.jsonl", "version https://git-lfs.github.com/spec/v1\noid sha256:1", "a pointer of Git LFS"),
        ("f.json", "<!DOCTYPE html><html>Not found</html>", "a web page, not data"),
        ("g.xlsx", "PK", "unknown file ending '.xlsx'.*Fix: save the sheet as CSV"),
        ("h.jsonl", '{"prompt": 17, "chosen": "a", "rejected": "b"}', r"got a number \(17\). Fix: write it as text"),
        ("i.jsonl", '{"contents": [{"role": "user", "parts": [{"text": "q"}]}], "chosen": "a", "rejected": "b"}',
         "there is no prompt, but text in the column 'contents'"),
        ("j.jsonl", '{"prompt": "p", "responses": ["a", "b"], "best": 1}', "'responses' has no scores beside it"),
        ("k.jsonl", '{"prompt": "p", "response": "a"}', "nothing says what is thought of the responses"),
        ("m.jsonl", '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}',
         r"nothing says what is thought .*guerdon score"),
        ("l.jsonl", '{"prompt": "p", "responses": ["a"], "scores": [1]}', "a ranking needs two or more"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        load_rows(str(tmp_path / name))


def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pairs.jsonl").write_text(LINES[0])
    with pytest.raises(DataError, match=r"pair.jsonl: no such file; did you mean .*pairs.jsonl\?"):
        load_rows(str(tmp_path / "pair.jsonl"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"did you mean pairs.jsonl\?"):
        load_rows("pairs.json")
    with pytest.raises(DataError, match=r"other.jsonl: no such file \(a set on the hub"):
        load_rows("other.jsonl")


def test_nan_is_no_value_where_none_is_needed(tmp_path: Path) -> None:
    nan = float("nan")
    own = {
        "margin": nan,
        "subset": nan,
        "group": nan,
        "id": nan,
        "score_chosen": nan,
        "score_rejected": 1.0,
        "note": nan,
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(PAIRS[0] | own))
    (row,) = load_rows(str(tmp_path / "a.jsonl"))
    assert isinstance(row, Comparison)
    assert (row.margin, row.subset, row.group, row.id, row.extra) == (None, "", "", "", {"score_rejected": 1.0})


def test_columns_of_parquet(tmp_path: Path) -> None:
    def table(name: str, **columns: Any) -> Any:
        pq.write_table(pa.table(columns), tmp_path / name)
        return load_rows(str(tmp_path / name))[0]

    chats = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": text}] for text in "ab"]
    prompt = (Message("user", "q"),)
    pair = Comparison(prompt=prompt, chosen="a", rejected="b")
    assert table("structs.parquet", chosen=[chats[0]], rejected=[chats[1]]) == pair
    arrays = [{name: [turn[name] for turn in chat] for name in ("role", "content")} for chat in chats]
    assert table("arrays.parquet", chosen=[arrays[0]], rejected=[arrays[1]]) == pair
    coded = pa.array(["p"]).dictionary_encode()
    assert table("codes.parquet", prompt=coded, chosen=["a"], rejected=["b"]).prompt == "p"
    scores = pa.array([[("clear", 2.0)]], pa.map_(pa.string(), pa.float64()))
    assert table("map.parquet", prompt=["p"], response=["a"], scores=scores) == Rating(
        prompt="p", response="a", scores={"clear": 2.0}
    )


def test_parts_of_gemini(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(
        json.dumps(
            {"messages": [{"role": "user", "parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "a"}]}]}
            | {"score": 1}
        )
    )
    assert load_rows(str(tmp_path / "a.jsonl")) == [
        Rating(prompt=(Message("user", "q"),), response="a", scores={"score": 1.0})
    ]
