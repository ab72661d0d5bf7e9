from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guerdon.data.formats import read_record
from guerdon.data.read import load_rows
from guerdon.data.values import plain
from guerdon.data.write import row_record, write_rows
from guerdon.errors import DataError, OutputError
from guerdon.types import AnyRow, Comparison, Message, Ranking, Rating, Reference, Steps, ToolCall

CHAT = (Message("system", "Kurz."), Message("user", 'Zeile 1\r\n"zwei", drei\tvier'))
COMMON: dict[str, Any] = {"subset": "s", "group": "g", "id": "7"}
ROWS: list[AnyRow] = [
    Comparison(prompt="Q?", chosen="好,\n的", rejected="bad", margin=1.5, preference=0.75, **COMMON),
    Comparison(prompt=CHAT, chosen="[1, 2]", rejected='{"a": 1}', reference="r"),
    Rating(prompt="Q?", response="a", scores={"score": 2.0}, **COMMON),
    Rating(prompt="Q?", response="a", scores={"fluent": 2.0, "true": -1.0}),
    Ranking(prompt="Q?", responses=("a", "b", "c"), scores=(1.0, 0.5, 0.5)),
    Reference(prompt="Q?", reference="r", generated=("x", "y"), **COMMON),
    Reference(prompt=CHAT, reference="r"),
    Steps(prompt="Q?", steps=("one", '[{"a": 1}]', "三"), labels=(1.0, 0.25, None), **COMMON),
    Steps(prompt="Q?", steps=("one",), labels=(1.0,)),
]
ENDINGS = [".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet"]

AWKWARD = [
    "one\rtwo", "\r", " led and trailed ", "\ttab\t", "1", "1.0", "007", "1e5", "nan", "null", "true", "[1, 2]",
    '{"a": 1}',     '"quoted"', "a,b", "a\r\nb", "\u2028", "\x85", "\x1e", "\ufeffbom", "=1+1", "'",
    '[{"role": "user", "content": "no chat"}]',
    "\n\nHuman: no\n\nAssistant: chat", "a\n<extra_id_1>User\nb", "2020-01-02",
]  # fmt: skip
awkward = st.sampled_from(AWKWARD)


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


texts = (st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1) | awkward).filter(
    lambda text: not text.isspace()
)
numbers = st.floats(-1e18, 1e18)
chats = st.lists(st.builds(Message, st.sampled_from(["user", "assistant", "tool", "system"]), texts), max_size=3)
calls = st.builds(
    Message, st.just("assistant"), texts | st.just(""),
    st.lists(
        st.builds(ToolCall, texts, st.dictionaries(texts, st.integers() | texts, max_size=2).map(json_text), texts),
        min_size=1, max_size=2,
    ).map(tuple),
    texts | st.just(""),
)  # fmt: skip
chats = st.lists(st.one_of(chats.filter(bool).map(lambda chat: chat[0]), calls), max_size=3)
prompts = texts | st.just("") | st.builds(lambda chat, last: (*chat, Message("user", last)), chats, texts)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
    | st.sampled_from(["", "\x00", "\ud83d", " "]),
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
)
common: dict[str, Any] = {
    "prompt": prompts,
    "subset": texts | st.just(""),
    "group": texts | st.just(""),
    "id": texts | st.just(""),
    "extra": st.dictionaries(
        st.sampled_from(
            ["source", "votes_by", "x", "a b", "score", "label", "chosen", "history", "input", "x.responses"]
        ),
        json_values.filter(lambda value: value is not None),
        max_size=4,
    ),
}
rows = (
    st.builds(
        Comparison,
        chosen=texts.map(lambda text: f"a{text}"),
        rejected=texts.map(lambda text: f"b{text}"),
        preference=st.floats(0.5, 1.0),
        margin=st.none() | st.floats(0, 1e6),
        reference=st.none() | texts,
        **common,
    )
    | st.builds(Rating, response=texts, scores=st.dictionaries(texts, numbers, min_size=1), **common)
    | st.lists(st.tuples(texts, numbers), min_size=2).flatmap(
        lambda pairs: st.builds(
            Ranking,
            responses=st.just(tuple(text for text, _ in pairs)),
            scores=st.just(tuple(number for _, number in pairs)),
            **common,
        )
    )
    | st.builds(
        Reference,
        reference=texts.map(lambda text: f"r{text}"),
        generated=st.lists(texts.map(lambda text: f"g{text}")).map(tuple),
        **common,
    )
    | st.lists(st.tuples(texts, st.none() | st.floats(0, 1)), min_size=1).flatmap(
        lambda pairs: st.builds(
            Steps,
            steps=st.just(tuple(text for text, _ in pairs)),
            labels=st.just(tuple(label for _, label in pairs)),
            **common,
        )
    )
)


@given(rows)
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much], deadline=None)
def test_reading_what_was_written_gives_the_row_back(row: AnyRow) -> None:
    assert read_record(json.loads(json.dumps(row_record(row)))) == [row]


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet"])
@given(some=st.lists(rows, min_size=1, max_size=3))
@settings(
    max_examples=25,
    suppress_health_check=[
        HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
    deadline=None,
)  # fmt: skip
def test_whatever_is_written_reads_back_equal(ending: str, tmp_path: Path, some: list[AnyRow]) -> None:
    path = tmp_path / f"rows{ending}"
    write_rows(some, path)
    assert load_rows(str(path)) == some


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_texts_read_back_equal_from_every_format(ending: str, text: str, tmp_path: Path) -> None:
    said = text.strip() or "said"
    pair = Comparison(prompt=said, chosen=f"{text}x", rejected=f"{text}y", extra={"own": text, "n": 1, "none": ""})
    listed = Ranking(prompt=(Message("user", said),), responses=(said, f"{said}.", f"{text}x"), scores=(1, 2, 3))
    same = Rating(prompt="p", response=said, scores={"score": 1.0}, reference=said)
    write_rows([pair, listed, same], tmp_path / f"a{ending}")
    assert load_rows(str(tmp_path / f"a{ending}")) == [pair, listed, same]


def test_dates_and_numbers_that_are_none_are_read_as_json_has_them(tmp_path: Path) -> None:
    values = {"day": [datetime.date(2020, 1, 2)], "none": [float("nan")], "bytes": [b"b"], "nested": [{"x": [1, None]}]}
    columns = {"prompt": ["Q?"], "chosen": ["a"], "rejected": ["b"], **values}
    pq.write_table(pa.table(columns), tmp_path / "in.parquet")
    rows = load_rows(str(tmp_path / "in.parquet"))
    assert dict(rows[0].extra) == {"day": "2020-01-02", "bytes": "b'b'", "nested": {"x": [1, None]}}
    for ending in ENDINGS:
        write_rows(rows, tmp_path / f"out{ending}")
        assert load_rows(str(tmp_path / f"out{ending}")) == rows


def test_tables_stay_readable_where_they_can(tmp_path: Path) -> None:
    write_rows(
        [Comparison(prompt="Q?", chosen="a", rejected="b", extra={"topic": "t", "year": 2020})], tmp_path / "a.csv"
    )
    assert (tmp_path / "a.csv").read_text() == (
        'prompt,chosen,rejected,topic,year,guerdon_json\nQ?,a,b,t,2020,"[""year""]"\n'
    )
    write_rows([Comparison(prompt="Q?", chosen="a", rejected="b", extra={"topic": "t"})], tmp_path / "b.csv")
    assert (tmp_path / "b.csv").read_text() == "prompt,chosen,rejected,topic\nQ?,a,b,t\n"


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_every_format_gives_the_rows_back(tmp_path: Path, ending: str, packing: str) -> None:
    path = tmp_path / f"rows{ending}{packing}"
    assert write_rows(iter(ROWS), path) == len(ROWS)
    assert load_rows(str(path)) == ROWS


def test_defaults_are_left_out_and_extra_columns_kept() -> None:
    row = Comparison(prompt="Q?", chosen="good", rejected="bad", extra={"source": "x", "chosen": "never wins"})
    record = {"prompt": "Q?", "chosen": "good", "rejected": "bad", "source": "x"}
    assert row_record(row) == record | {"guerdon_extra": {"chosen": "never wins"}}


def test_parquet_keeps_lists_as_lists_where_a_column_is_alike(tmp_path: Path) -> None:
    chats = [
        Ranking(prompt=CHAT, responses=("a", "b"), scores=(1, 0.5), extra={"n": 1, "mixed": at}) for at in (1, "x")
    ]
    write_rows(chats, tmp_path / "a.parquet")
    schema = pq.read_schema(tmp_path / "a.parquet")
    kinds = {field.name: str(field.type) for field in schema}
    assert kinds["scores"] == "list<element: double>"
    assert kinds["responses"] == "list<element: string>"
    assert kinds["prompt"].startswith("list<element: struct<role")
    assert kinds["n"] == "int64"
    assert kinds["mixed"] == "string"
    assert [row.prompt for row in load_rows(str(tmp_path / "a.parquet"))] == [CHAT, CHAT]


def test_the_same_rows_give_the_same_packed_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        write_rows(ROWS, tmp_path / name)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()


def test_a_failing_stream_of_rows_leaves_the_old_file(tmp_path: Path) -> None:
    def rows() -> Iterator[AnyRow]:
        yield ROWS[0]
        raise DataError("a fault")

    for ending in ENDINGS:
        path = tmp_path / f"a{ending}"
        path.write_text("old")
        with pytest.raises(DataError, match="a fault"):
            write_rows(rows(), path)
        assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == len(ENDINGS)


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"a\.xlsx: unknown ending; known: \.jsonl"):
        write_rows(ROWS, tmp_path / "a.xlsx")


def test_no_rows_make_an_empty_file(tmp_path: Path) -> None:
    for ending in ENDINGS:
        assert write_rows([], tmp_path / f"a{ending}") == 0
    assert json.loads((tmp_path / "a.json").read_text()) == []


def test_values_that_json_does_not_have() -> None:
    day = datetime.date(2020, 1, 2)
    assert plain({"a": float("nan"), 1: (day, b"x", {3})}) == {"a": None, "1": ["2020-01-02", "b'x'", "{3}"]}
