"""The folder of a saved reward: `guerdon.json` says of which kind it is, and beside it lies what that kind needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from guerdon.errors import ContractError
from guerdon.files import atomic_write, staged
from guerdon.metrics import Calibration
from guerdon.types import Scorer

FILE_NAME = "guerdon.json"
FORMAT = 1
"""Rises when a reader of the older format would give other scores."""

KINDS: dict[str, tuple[str, set[str]]] = {
    "transformer": ("guerdon.rewards.transformer:TransformerReward", {"contract", "training"}),
    "ensemble": ("guerdon.rewards.ensemble:Ensemble", {"members", "k"}),
    "bm25": ("guerdon.rewards.bm25:Bm25Reward", {"frequencies", "documents", "mean_length"}),
    "linear": ("guerdon.rewards.linear:LinearReward", {"features", "shift", "scale"}),
    "repaired": ("guerdon.rewards.repaired:RepairedReward", {"correction", "format_features"}),
    "verdict": ("guerdon.rewards.verdict_judge:VerdictComparer", {"instruction", "verdict"}),
    "blend": ("guerdon.rewards.blend:Blend", {"members", "shift", "scale"}),
}
"""Each kind's class, whose `load(folder, **options)` takes device, dtype, overlong and trust_remote_code, and what
`guerdon.json` says of it."""


@contextmanager
def saving(
    folder: str | Path, kind: str, content: Mapping[str, Any], readme: str = "", *, clears: Iterable[str] = ()
) -> Iterator[Path]:
    """Gives a temporary folder for what lies beside `guerdon.json`; all of it takes its place when the block ends well.

    Args:
        folder: created if need be; other files there stay.
        kind: a key of `KINDS`.
        content: what `guerdon.json` says.
        readme: the model card, if there is one.
        clears: names of files that an earlier reward may have left there, to be gone where this one has none.

    Raises:
        OutputError: the folder cannot be written.
    """
    with staged(folder) as stage:
        yield stage
        if readme:
            (stage / "README.md").write_text(readme, encoding="utf-8")
        write_card(stage, kind, content)
        for name in (FILE_NAME, *(name for name in clears if not (stage / name).exists())):
            (Path(folder) / name).unlink(missing_ok=True)


def load_saved(folder: Path, **options: Any) -> Scorer:
    """Loads a saved reward of any kind. Raises ContractError."""
    card = read_card(folder)
    module, _, name = KINDS[card["kind"]][0].partition(":")
    scorer = getattr(import_module(module), name).load(folder, **options)
    if "calibration" in card:
        scorer.calibration = _calibration(card["calibration"], folder)
    return cast("Scorer", scorer)


def save_calibration(folder: Path, calibration: Calibration, about: Mapping[str, Any]) -> None:
    """Says in `guerdon.json` how a margin becomes P(a preferred); `compare()` of what is loaded from there applies it.

    Args:
        folder: of a saved reward of any kind.
        calibration: the fit; it takes the place of an earlier one.
        about: what it was fitted on.

    Raises:
        ContractError: the folder holds no reward that guerdon saved.
        OutputError: the file cannot be written.
    """
    card = read_card(folder)
    content = {name: value for name, value in card.items() if name not in ("format", "kind")}
    write_card(folder, card["kind"], content | {"calibration": {**calibration.to_dict(), "fitted_on": dict(about)}})


def _calibration(values: Any, folder: Path) -> Calibration:
    try:
        return Calibration.from_dict({name: value for name, value in values.items() if name != "fitted_on"})
    except (AttributeError, TypeError, ValueError) as error:
        raise ContractError(f"{folder / FILE_NAME}: {error}. Fix: calibrate it again, or take it out") from error


def write_card(folder: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Writes `guerdon.json` alone, beside weights that are there already."""
    text = json.dumps({"format": FORMAT, "kind": kind, **content}, indent=2, ensure_ascii=False) + "\n"
    with atomic_write(folder / FILE_NAME, "wb") as file:
        file.write(text.encode(errors="backslashreplace"))  # half a surrogate pair, as JSON writes it too


def read_card(folder: Path, kind: str | None = None) -> dict[str, Any]:
    """Reads `guerdon.json`.

    Raises:
        ContractError: it is missing, is not JSON, lacks a field, is of a format that this version cannot read, or of
            another kind than the one asked for.
    """
    path = folder / FILE_NAME
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ContractError(f"{folder} has no {FILE_NAME}: not a reward model that guerdon saved") from None
    except (ValueError, OSError) as error:
        raise ContractError(f"{path} cannot be read: {error}. Restore it from a backup or train again") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        got = card.get("format") if isinstance(card, dict) else type(card).__name__
        raise ContractError(f"{path} has format {got!r}, this version reads format {FORMAT}: upgrade guerdon")
    found = card.get("kind")
    if found not in KINDS:
        raise ContractError(f"{path} is of kind {found!r}; known are {', '.join(KINDS)}: upgrade guerdon")
    if missing := sorted(KINDS[found][1] - set(card)):
        raise ContractError(f"{path} lacks {', '.join(missing)}. Restore it from a backup or train again")
    if kind not in (None, found):
        raise ContractError(f"{folder} is of kind {found!r}; load it with guerdon.load_scorer")
    return card
