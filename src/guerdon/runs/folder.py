"""The run folder: whose it is, and how far it has come."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guerdon.data.write import row_record
from guerdon.errors import ConfigError, OutputError
from guerdon.files import atomic_write
from guerdon.types import AnyRow

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

RUN_FOLDER = "run"
RUN_FILE = "run.json"


def fingerprint_of(rows: Sequence[AnyRow]) -> dict[str, Any]:
    """What tells one data set from another."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(row_record(row), sort_keys=True, ensure_ascii=False, default=str).encode())
    sources = sorted({row.origin.source for row in rows if row.origin})
    return {"sources": [Path(source).name for source in sources], "rows": len(rows), "sha256": digest.hexdigest()}


def mark_run(run: Path, config: DataclassInstance, fingerprint: dict[str, Any]) -> None:
    """Says in the run folder whose it is."""
    with atomic_write(run / RUN_FILE) as file:
        json.dump({"config": asdict(config), "data": fingerprint}, file, indent=2)


def check_run(run: Path, config: DataclassInstance, fingerprint: dict[str, Any], resume: bool) -> None:
    """Checks that a run folder is free, or holds this very run and is to be resumed.

    Raises:
        OutputError: the folder holds a run and `resume` was not asked for.
        ConfigError: it holds another run than the one to resume.
    """
    marker = run / RUN_FILE
    mine = asdict(config)
    if marker.exists():
        if not resume:
            raise OutputError(
                f"{run.parent} holds a training run already. Fix: --resume goes on with it; or choose another --out"
            )
        theirs = json.loads(marker.read_text(encoding="utf-8"))
        differing = sorted(
            f"{name} was {theirs['config'].get(name)!r}, now {value!r}"
            for name, value in mine.items()
            if theirs["config"].get(name) != value
        )
        if theirs["data"]["sha256"] != fingerprint["sha256"]:
            differing.append(f"the data differs ({theirs['data']['rows']} rows then, {fingerprint['rows']} now)")
        if differing:
            raise ConfigError(f"cannot resume {run.parent}: " + "; ".join(differing))
    else:
        for left in run.glob("negatives*.jsonl"):
            left.unlink()  # of an attempt that never began: other rows, maybe, or another policy
