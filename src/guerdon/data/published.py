"""What is known of a published set, and its rows from the hub or from a file of it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from guerdon.data.data_files import iter_records
from guerdon.data.formats import read_record
from guerdon.data.json_files import Record
from guerdon.data.places import ENDINGS, split_ending
from guerdon.data.values import Fields
from guerdon.errors import DataError
from guerdon.metrics import Formula
from guerdon.types import AnyRow, Origin

Reader: TypeAlias = Callable[[Fields], list[AnyRow]]
Found: TypeAlias = tuple[Record, list[AnyRow] | DataError]
"""A record, and its rows or what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedSet:
    """A line of the table."""

    name: str
    title: str
    about: str
    """What is judged, by whom, in a few words."""
    parts: Mapping[str, str] = field(default_factory=dict)
    """Part -> where it is on the hub, `owner/name[:config]:split`; all are read unless one is named. Empty for a set
    that is not there."""
    file: str = ""
    """Which file (or folder) of its repository to give, where it is published as files."""
    read: Reader | None = None
    """Rows of one record; None for the layouts that every source is read in."""
    joined: tuple[str, ...] = ()
    """Columns whose values the records of one row share, where a row has several; then `join` reads them."""
    join: Callable[[Sequence[Fields]], list[AnyRow]] | None = None
    files: str = "*"
    """Which files of a folder hold rows."""
    quoted: bool = True
    """Whether cells of its tables may be quoted; False where a quotation mark is a character like any other."""
    formula: Formula | None = None
    """What its authors compute; None where agreement alone is reported."""
    notes: tuple[str, ...] = ()
    """What a reader of figures must know."""
    warning: str = ""
    """What whoever trains on the set must know."""

    def rows(self, part: str = "") -> Iterator[tuple[Origin, Found]]:
        """The rows of one part of the set, of all where `part` is empty, or of a file or folder at that path."""
        if part and part not in self.parts:
            places = [(self._part_of(path, part), str(path)) for path in _files(Path(part), self.files)]
        else:
            wanted = [part] if part else self.parts
            places = [(name, self.parts[name]) for name in wanted if self.parts[name]]
        if not places:
            raise DataError(f"{self.title} is not on the hub; give its file: {self.name}:PATH, {self.file}")
        for name, source in places:
            yield from self._read(name, source)

    def _read(self, part: str, source: str) -> Iterator[tuple[Origin, Found]]:
        groups: dict[Hashable, list[tuple[Origin, Record]]] = {}
        for origin, record in iter_records(source, quoted=self.quoted):
            if isinstance(record, DataError):
                yield origin, ({}, record)
            elif self.join is not None:
                groups.setdefault(tuple(str(record.get(name)) for name in self.joined), []).append((origin, record))
            else:
                yield origin, (record, self._rows(part, [(origin, record)]))
        for records in groups.values():
            yield records[0][0], (records[0][1], self._rows(part, records))

    def _rows(self, part: str, records: Sequence[tuple[Origin, Record]]) -> list[AnyRow] | DataError:
        origin = records[0][0]
        try:
            if self.join is not None:
                found = self.join([Fields(record, place) for place, record in records])
            elif self.read is not None:
                found = self.read(Fields(records[0][1], origin))
            else:
                found = read_record(records[0][1], origin)
        except DataError as error:
            return type(error)(f"{origin}: {error}")
        return [row if row.subset or len(self.parts) < 2 else replace(row, subset=part) for row in found]

    def _part_of(self, path: Path, given: str) -> str:
        """The part that a file holds: its name, or the name of a folder that it lies in, below what was given."""
        folders = path.relative_to(given).parts if path != Path(given) else (path.parent.name, path.name)
        names = {name.partition(".")[0].lower() for name in folders}
        return next((part for part in self.parts if part.lower() in names), "")


def _files(path: Path, pattern: str) -> list[Path]:
    """The file itself, or every data file in a folder and below that fits the pattern, in the order of their names."""
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.rglob(pattern) if one.is_file() and split_ending(one)[0] in ENDINGS)
    if not found:
        raise DataError(f"{path} holds no data file of that set ({pattern}); known endings: {', '.join(ENDINGS)}")
    return found
