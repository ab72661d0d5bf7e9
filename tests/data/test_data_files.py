from __future__ import annotations

import gzip
import io
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from guerdon.data.data_files import iter_records
from guerdon.data.places import split_ending
from guerdon.errors import DataError, MissingExtraError

RECORDS = [{"prompt": '你好, "a"\nb', "score": "1"}, {"prompt": "q", "score": "2"}, {"prompt": "last", "score": "3"}]


def records(source: Path | str) -> list[Any]:
    return [record for _, record in iter_records(str(source))]


def faults(source: Path | str) -> list[str]:
    return [str(record) for record in records(source) if isinstance(record, DataError)]


def csv_bytes(delimiter: str) -> bytes:
    quoted = ['"' + record["prompt"].replace('"', '""') + f'"{delimiter}{record["score"]}' for record in RECORDS]
    return "\n".join([f"prompt{delimiter}score", *quoted, ""]).encode()


def parquet_bytes() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(RECORDS), sink)
    return sink.getvalue()


FORMATS = {
    ".jsonl": "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode(),
    ".ndjson": b"\n".join(json.dumps(record).encode() for record in RECORDS),
    ".json": json.dumps(RECORDS, indent=2).encode(),
    ".csv": csv_bytes(","),
    ".tsv": csv_bytes("\t"),
    ".parquet": parquet_bytes(),
}


def zstd(data: bytes) -> bytes:
    return pa.compress(data, "zstd", asbytes=True)


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize(("packing", "pack"), [("", bytes), (".gz", gzip.compress), (".zst", zstd)])
def test_every_format_plain_and_packed(
    tmp_path: Path, ending: str, packing: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"rows{ending}{packing}"
    path.write_bytes(pack(FORMATS[ending]))
    assert records(path) == RECORDS


def test_packing_is_seen_from_the_bytes_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(gzip.compress(FORMATS[".jsonl"]))
    (tmp_path / "b.jsonl.gz").write_bytes(FORMATS[".jsonl"])
    assert records(tmp_path / "a.jsonl") == records(tmp_path / "b.jsonl.gz") == RECORDS


def test_several_packed_frames_in_one_file_are_read_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(FORMATS[".jsonl"]) * 2)
    (tmp_path / "b.jsonl.zst").write_bytes(zstd(FORMATS[".jsonl"]) * 2)
    assert records(tmp_path / "a.jsonl.gz") == records(tmp_path / "b.jsonl.zst") == RECORDS * 2


def test_json_lines_under_the_ending_json_and_objects_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(FORMATS[".jsonl"])
    (tmp_path / "b.json").write_text("\n".join(json.dumps(record, indent=1) for record in RECORDS))
    (tmp_path / "c.json").write_text("[]")
    assert records(tmp_path / "a.json") == records(tmp_path / "b.json") == RECORDS
    assert records(tmp_path / "c.json") == []


def test_a_json_array_much_longer_than_what_is_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guerdon.data.json_files._CHUNK", 7)
    path = tmp_path / "a.json"
    rows = [{"a": "x" * n, "b": [n, -1.5e3, None, {"c": '\\"\n\u00e9' * n}]} for n in range(40)]
    path.write_text(json.dumps(rows))
    assert records(path) == rows
    path.write_text(json.dumps(rows, indent=3, ensure_ascii=False), encoding="utf-8")
    assert records(path) == rows


def test_standard_input_is_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(FORMATS[".jsonl"])))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert [(str(origin), record) for origin, record in iter_records("-")][1] == ("<stdin>:2", RECORDS[1])


def test_byte_order_mark_blank_lines_and_missing_last_newline(tmp_path: Path) -> None:
    for name, text in {
        "a.jsonl": '\ufeff{"a": 1}\n\n  \n{"a": 2}',
        "b.csv": "\ufeffa\n1\n\n2",
        "c.json": '\ufeff[{"a":1},{"a":2}]',
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert records(tmp_path / "a.jsonl") == records(tmp_path / "c.json") == [{"a": 1}, {"a": 2}]
    assert records(tmp_path / "b.csv") == [{"a": "1"}, {"a": "2"}]


BAD_LINES = {
    "broken": (b'{"prompt": "a"', "broken JSON: Expecting ',' delimiter"),
    "not an object": (b'["a"]', "got an array; a JSON array belongs in a .json file"),
    "a number": (b"3", "got a number"),
    "not UTF-8": (b'{"prompt": "\xff"}', "not UTF-8 (byte 13 of the line is 0xff)"),
    "NUL": (b'{"prompt": "\x00"}', "NUL byte"),
    "too deep": (b"[" * 100_000, "nested too deeply"),
    "huge number": (b'{"a": ' + b"9" * 5000 + b"}", "broken JSON"),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_a_bad_line_is_reported_with_its_number_and_the_rest_is_read(tmp_path: Path, name: str) -> None:
    line, message = BAD_LINES[name]
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 2}\n')
    first, fault, last = records(path)
    assert (first, last) == ({"a": 1}, {"a": 2})
    assert str(fault).startswith(f"{path}:2: ")
    assert message in str(fault)


def test_a_huge_line_is_a_fault_and_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("guerdon.data.json_files.LINE_LIMIT", 2**20)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (3 * 2**20) + b'"}\n{"a": 2}\n{"a": "' + b"x" * (3 * 2**20))
    assert records(path)[1] == {"a": 2}
    assert [fault.split(": ")[1] for fault in faults(path)] == [
        "the line is longer than 1 MiB; is it one row a line?"
    ] * 2


def test_a_file_that_is_cut_off_is_a_fault_at_its_end(tmp_path: Path) -> None:
    many = "".join(json.dumps({"a": n, "b": str(n * 7919 % 1000)}) + "\n" for n in range(20_000)).encode()
    for name, data in {"a.jsonl.gz": gzip.compress(many), "b.jsonl.zst": zstd(many)}.items():
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        found = records(tmp_path / name)
        assert found[0] == {"a": 0, "b": "0"}
        assert "cannot be read beyond here" in faults(tmp_path / name)[-1]
    (tmp_path / "c.json").write_text('[{"a": 1}, {"a": 2}')
    assert records(tmp_path / "c.json")[:2] == [{"a": 1}, {"a": 2}]
    assert "element 3, reading stops here: the file ends inside the array" in faults(tmp_path / "c.json")[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"a": 1}, {"a": }, {"a": 3}]', "a.json:2: broken JSON in element 2"),
        ('[{"a": 1} {"a": 2}]', "a.json:2: broken JSON in element 2, reading stops here: expected ',' or ']'"),
        ('[{"a": 1}, 5]', "a.json:2: a row must be a JSON object"),
        ('[{"a": 1}, "unfinished', "a.json:2: broken JSON in element 2"),
        ('[{"a": 1}] more', "a.json:2: broken JSON in element 2, reading stops here: there is text after the array"),
        ("{'a': 1}", "a.json:1: broken JSON"),
    ],
)
def test_broken_arrays(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert message in faults(tmp_path / "a.json")[-1]


def test_csv_faults(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b'prompt,score\n"two\nlines",1\nq,1,2\n\xe9t\xe9,1\nlast,\n"open,1\n')
    found = [(origin.line, record) for origin, record in iter_records(str(path))]
    assert found[0] == (2, {"prompt": "two\nlines", "score": "1"})
    assert found[3] == (6, {"prompt": "last", "score": None})
    assert [str(record).split(": ", 1)[1] for _, record in found if isinstance(record, DataError)] == [
        "the row has 3 cells, the header 2; is a text with commas unquoted?",
        "not UTF-8 (column 'prompt'); save the file as UTF-8",
        "broken CSV: unexpected end of data; is a quote missing?",
    ]
    path.write_text("a,b,a\n1,2,3\n")
    with pytest.raises(DataError, match="names 'a' more than once"):
        records(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.txt", b"x", "unknown file ending '.txt'; known: .jsonl"),
        ("a", b"x", "unknown file ending ''"),
        ("a.jsonl", bytes(range(256)) * 20, "binary file"),
        ("a.jsonl", parquet_bytes(), "this is a Parquet file"),
        ("a.csv", "a,b\n".encode("utf-16"), "UTF-16"),
        ("a.parquet", b"not parquet at all", "not a readable Parquet file"),
        ("a.parquet", b"", "not a readable Parquet file"),
    ],
)
def test_a_file_that_is_not_what_its_ending_says(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"{name}: .*{message}"):
        records(tmp_path / name)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.jsonl: no such file"):
        records(tmp_path / "missing.jsonl")
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert records(tmp_path) == [{"a": "1"}]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no data file in this folder"):
        records(tmp_path / "empty")


def test_a_hub_name_without_the_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r'pip install "guerdon\[hub\]"'):
        records("owner/name")


def test_a_hub_set_is_streamed_and_its_failures_are_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    # The package is an extra and the hub out of reach in tests, so its three functions stand here as it documents them.
    def load_dataset(name: str, config: str | None, *, data_dir: str | None, split: str, streaming: bool) -> Any:
        if name != "owner/name":
            raise FileNotFoundError(f"Dataset '{name}' doesn't exist on the Hub\nand a long tail")
        return iter([{"config": config, "folder": data_dir, "split": split, "streaming": streaming}])

    def split_names(name: str, config: str | None, *, data_dir: str | None) -> list[str]:
        return ["only"] if config is None else ["a", "b"]

    hub = types.SimpleNamespace(
        load_dataset=load_dataset,
        get_dataset_split_names=split_names,
        get_dataset_config_names=lambda name: ["zh", "de"],
    )
    monkeypatch.setitem(sys.modules, "datasets", hub)
    plain = {"config": None, "folder": None, "split": "test", "streaming": True}
    assert [(str(origin), record) for origin, record in iter_records("owner/name:test")] == [
        ("owner/name:test:1", plain)
    ]
    assert records("owner/name") == [plain | {"split": "only"}]
    assert records("owner/name:zh:test") == [plain | {"config": "zh"}]
    with pytest.raises(DataError, match="choose one: owner/name:de:a, owner/name:de:b"):
        records("owner/name:de")
    assert records("owner/name:preference/:train") == [plain | {"folder": "preference/", "split": "train"}]
    with pytest.raises(DataError, match="cannot be read from the hub: Dataset 'owner/other' doesn't exist on the Hub$"):
        records("owner/other")
    hub.get_dataset_split_names = lambda name, config, data_dir: ["a", "b"]
    with pytest.raises(DataError, match="choose one: owner/name:a, owner/name:b"):
        records("owner/name")


def test_a_quotation_mark_may_be_a_character_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('a\tb\n"open\tshut"\n')
    assert [record for _, record in iter_records(str(tmp_path / "a.tsv"), quoted=False)] == [
        {"a": '"open', "b": 'shut"'}
    ]


def test_endings() -> None:
    assert split_ending("a.b.JSONL.GZ") == (".jsonl", ".gz")
    assert split_ending("a") == ("", "")
    assert split_ending("a.gz") == ("", ".gz")
