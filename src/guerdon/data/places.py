"""Which files a source means: one, several parted by commas, a pattern, a folder of shards, what `datasets` saved."""

from __future__ import annotations

import glob
import json
import re
from pathlib import Path

from guerdon.errors import DataError

ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
FILE_ENDINGS = (*ENDINGS, ".arrow")
COMPRESSIONS = (".gz", ".zst")
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev|eval)(?![a-z])", re.IGNORECASE)
_NO_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "guerdon.json")


def split_ending(path: str | Path) -> tuple[str, str]:
    """The ending that names the format and the one that names the compression, each `""` where there is none."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return (suffixes[-1] if suffixes else ""), packed


def places_of(source: str) -> list[Path | str]:
    """The files that a source means, in their order; what is no file is left as it is, maybe a name on the hub.

    Raises:
        DataError: a pattern that no file fits, or a folder without data or with several splits.
    """
    if Path(source).exists():
        return [*_in_folder(Path(source), "")] if Path(source).is_dir() else [Path(source)]
    if "," in source:
        return [place for part in source.split(",") for place in places_of(part.strip())]
    folder, colon, split = source.rpartition(":")
    if colon and Path(folder).is_dir():
        return [*_in_folder(Path(folder), split)]
    if not re.search(r"[*?[]", source):
        return [source]
    if not (
        found := sorted((path for path in glob.glob(source, recursive=True) if Path(path).is_file()), key=_natural)
    ):
        raise DataError(f"{source}: no file fits this pattern")
    return [Path(path) for path in found]


def _natural(name: object) -> list[tuple[int, str]]:
    """A key by which shard-2 stands before shard-10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", str(name))]


def _in_folder(folder: Path, split: str) -> list[Path]:
    """The data files of a folder and those below, of one split; what `save_to_disk` wrote in the order of its list."""
    if (folder / "dataset_dict.json").is_file():
        names = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
        return _in_folder(folder / _one(folder, split, names), "")
    if (folder / "state.json").is_file() and not split:
        listed = json.loads((folder / "state.json").read_text(encoding="utf-8"))["_data_files"]
        return [folder / one["filename"] for one in listed]
    found = [
        path
        for path in sorted(folder.rglob("*"), key=_natural)
        if path.is_file()
        and split_ending(path)[0] in FILE_ENDINGS
        and path.name not in _NO_DATA
        and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    ]
    if not found:
        raise DataError(f"{folder}: no data file in this folder; known endings: {', '.join(FILE_ENDINGS)}")
    splits = {path: _split_of(path.relative_to(folder)) for path in found}
    names = list(dict.fromkeys(splits.values()))
    wanted = _one(folder, split, names) if split or len(names) > 1 else names[0]
    return [path for path in found if splits[path] == wanted]


def _split_of(path: Path) -> str:
    named = (_SPLIT.match(part) for part in reversed(path.parts))
    return next((found[1].lower() for found in named if found), "")


def _one(folder: Path, split: str, names: list[str]) -> str:
    if split in names:
        return split
    if not split and len(names) == 1:
        return names[0]
    choices = ", ".join(f"{folder}:{name}" if name else f"{folder} (files outside of a split)" for name in names)
    raise DataError(f"{folder} holds several splits, or not {split!r}; choose one: {choices}")
