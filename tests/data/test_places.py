from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from guerdon.data.data_files import iter_records
from guerdon.errors import DataError
from json_lines import write_lines


def numbers(source: str | Path) -> list[int]:
    return [record["n"] for _, record in iter_records(str(source)) if isinstance(record, dict)]


def shards(folder: Path, *names: str) -> Path:
    for at, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_lines(folder / name, {"n": at})
    return folder


def test_folders_patterns_and_several_files(tmp_path: Path) -> None:
    folder = shards(tmp_path / "a", "part-1.jsonl", "part-2.jsonl", "part-10.jsonl", "zoo/x.jsonl", ".hidden.jsonl")
    (folder / "README.md").write_text("no data")
    assert numbers(folder) == [0, 1, 2, 3]
    assert numbers(f"{folder}/part-*.jsonl") == [0, 1, 2]
    assert numbers(f"{folder}/**/x.jsonl") == [3]
    assert numbers(f"{folder}/part-10.jsonl,{folder}/part-1.jsonl") == [2, 0]
    with pytest.raises(DataError, match="no file fits this pattern"):
        numbers(f"{folder}/*.csv")


def test_a_file_whose_name_looks_like_several_is_one(tmp_path: Path) -> None:
    shards(tmp_path, "a,b[1].jsonl")
    assert numbers(tmp_path / "a,b[1].jsonl") == [0]


def test_splits_of_a_folder_are_not_mixed(tmp_path: Path) -> None:
    shards(tmp_path / "a", "train-00000.jsonl", "train-00001.jsonl", "test.jsonl")
    shards(tmp_path / "b", "data/validation/x.jsonl", "data/train/x.jsonl")
    with pytest.raises(DataError, match=r"choose one: .*a:test, .*a:train"):
        numbers(tmp_path / "a")
    assert numbers(f"{tmp_path / 'a'}:train") == [0, 1]
    assert numbers(f"{tmp_path / 'a'}:test") == [2]
    assert numbers(f"{tmp_path / 'b'}:train") == [1]
    with pytest.raises(DataError, match="not 'dev'; choose one"):
        numbers(f"{tmp_path / 'a'}:dev")


def saved(folder: Path, *values: int) -> None:
    """A folder as `datasets.save_to_disk` writes it."""
    folder.mkdir(parents=True)
    files = [f"data-{at:05}-of-{len(values):05}.arrow" for at in range(len(values))]
    for name, value in zip(files, values, strict=True):
        table = pa.table({"n": [value]})
        with pa.ipc.new_stream(str(folder / name), table.schema) as writer:
            writer.write_table(table)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in files]}))
    (folder / "dataset_info.json").write_text("{}")


def test_what_datasets_saved_to_disk(tmp_path: Path) -> None:
    saved(tmp_path / "one", 5, 6)
    assert numbers(tmp_path / "one") == [5, 6]
    saved(tmp_path / "two" / "train", 1)
    saved(tmp_path / "two" / "test", 2)
    (tmp_path / "two" / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    assert numbers(f"{tmp_path / 'two'}:test") == [2]
    with pytest.raises(DataError, match="choose one"):
        numbers(tmp_path / "two")
    (tmp_path / "bad.arrow").write_bytes(b"no arrow")
    with pytest.raises(DataError, match="not a readable Arrow file"):
        numbers(tmp_path / "bad.arrow")
