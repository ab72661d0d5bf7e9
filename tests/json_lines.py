"""Files of JSON Lines for tests of any room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write_lines(path: Path, *records: Any) -> str:
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    return str(path)
