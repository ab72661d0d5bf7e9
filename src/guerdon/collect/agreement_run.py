"""`guerdon collect agreement`: of a collection, or of any rows that say who judged them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Unpack

from guerdon.collect.collect_config import POSTGRESQL, STORE, Pooling, Who
from guerdon.collect.label_agreement import LabelAgreement, question_agreements
from guerdon.collect.labelled import Labelled, labelled_judgements, labelled_rows
from guerdon.data.data_options import ReadOptions
from guerdon.data.values import plain
from guerdon.errors import DataError
from guerdon.files import write_json
from guerdon.metrics import Interval

_SQLITE = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class AgreementReport:
    """How far annotators agree."""

    data: str
    questions: tuple[LabelAgreement, ...]
    soft_rows: int = 0
    """Rows with soft labels that were written."""

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as null."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(self.as_dict(), ensure_ascii=False, indent=2) + "\n"

    def save(self, path: str | Path) -> None:
        """Writes the report as JSON."""
        write_json(path, self.as_dict())


def annotator_agreement(
    data: str,
    *,
    soft_labels: str | Path | BinaryIO | None = None,
    pooling: Pooling = "dawid-skene",
    annotator: str | None = None,
    who: Who = "people",
    **reading: Unpack[ReadOptions],
) -> AgreementReport:
    """Measures how far annotators agree, how good each is, and how much of what they say is noise.

    Example:
        >>> found = annotator_agreement("collect.db")
        >>> found.questions[0].alpha["nominal"].point
        0.61...

    Args:
        data: a store of `guerdon collect` (a file, the folder that holds it, or an address), or rows in any layout with
            a column that names who judged, or with `votes`.
        soft_labels: as for `guerdon.data.write.write_rows`: one row for each item, with how sure its label is.
        pooling: how those labels are made, see `guerdon.collect.soft_labels.soft_rows`.
        annotator: the column of rows that names who judged; None takes one of the usual names.
        who: of a store: people, models, or all.
        reading: as for `guerdon.data.read.load_rows`; intervals draw groups instead of prompts where
            it names them. `question` is for a store too.

    Raises:
        ConfigError: no row has the column `annotator`, or `pooling` is not for what was judged.
        DataError: there is no such data, or nobody judged anything, as far as is known.
        OutputError: a file cannot be written.
    """
    place = store_place(data)
    gold: dict[str, Interval] = {}
    if place is None:
        from guerdon.data.read import load_rows

        labelled = labelled_rows(load_rows(data, **reading), annotator)
    else:
        labelled, gold = _of_store(place, reading.get("question"), who)
    written = 0
    if soft_labels is not None:
        from guerdon.collect.soft_labels import soft_rows
        from guerdon.data.write import write_rows

        written = write_rows(soft_rows(labelled, pooling), soft_labels)
    shown = data if place is None else place.rsplit("@", 1)[-1]  # without a password
    return AgreementReport(shown, question_agreements(labelled, gold), written)


def store_place(data: str) -> str | None:
    """The store that a name means, None where it means rows."""
    if data.startswith(POSTGRESQL):
        return data
    path = Path(data)
    if path.is_dir() and (path / STORE).is_file():
        path = path / STORE
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return str(path) if file.read(len(_SQLITE)) == _SQLITE else None


def _of_store(place: str, question: str | None, who: Who) -> tuple[list[Labelled], dict[str, Interval]]:
    """The judgements of a store by question, and who answered how many gold questions rightly."""
    from guerdon.collect.collection_run import open_store
    from guerdon.collect.quality import collection_figures
    from guerdon.collect.rows_out import chosen_question, current_judgements

    store = open_store(place)
    try:
        with store.reading() as connection:
            asked = store.questions(connection)
            figures = collection_figures(connection, asked)
            found = current_judgements(connection, who)
        labelled = labelled_judgements(found, asked if question is None else [chosen_question(asked, question)])
    finally:
        store.close()
    if not labelled:
        raise DataError(f"{store.place}: nobody has judged anything yet that people can agree on")
    return labelled, {one.name: one.gold for one in figures.annotators if one.gold is not None}
