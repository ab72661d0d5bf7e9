"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from guerdon.errors import OutputError
from guerdon.files import output_error

LOCK_FILE = "lock.json"

_START_TOLERANCE = 60.0
"""Seconds by which the start time of one process may seem to move when the system's clock is set."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder/lock.json` while the block runs.

    The file names process, host and start time. It appears whole or not at all. That of a process of this host that
    has ended is taken over.

    Raises:
        OutputError: another process holds it, or the folder cannot be written.
    """
    path = folder / LOCK_FILE
    mine = {"pid": os.getpid(), "host": socket.gethostname(), "started": psutil.Process().create_time()}
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(path, mine)
    except OSError as error:
        raise output_error(path, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
            for place in made:
                place.rmdir()  # succeeds only where nothing was written


def _take(path: Path, mine: dict[str, Any]) -> None:
    own = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    own.write_text(json.dumps(mine), encoding="utf-8")
    try:
        while True:
            try:
                _link(own, path)
            except FileExistsError:
                if not _removed_stale(path, own):
                    raise OutputError(_held_message(path)) from None
            else:
                return
    finally:
        own.unlink()


def _link(own: Path, path: Path) -> None:
    """Makes a file that is whole from the start, and only where there is none."""
    try:
        os.link(own, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with path.open("x", encoding="utf-8") as file:
            file.write(own.read_text(encoding="utf-8"))


def _removed_stale(path: Path, own: Path) -> bool:
    """Moves a lock away whose holder has ended, or which has just gone; says whether the way is free."""
    holder = _read(path)
    if holder is None:
        return True
    if _alive(holder):
        return False
    aside = own.with_suffix(".stale")
    try:
        path.rename(aside)
    except FileNotFoundError:
        return True
    if _read(aside) != holder:  # somebody else took over between our reading and our renaming: give it back
        with contextlib.suppress(FileExistsError):
            _link(aside, path)
        aside.unlink()
        return False
    aside.unlink()
    return True


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _alive(holder: dict[str, Any]) -> bool:
    """Whether the holder may still run; what cannot be told counts as alive."""
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return True
    try:
        started: float = psutil.Process(holder["pid"]).create_time()
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    return abs(started - float(holder.get("started", started))) < _START_TOLERANCE


def _held_message(path: Path) -> str:
    holder = _read(path) or {}
    started = holder.get("started")
    since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(started)) if isinstance(started, float) else ""
    return (
        f"{path.parent.parent} is in use: process {holder.get('pid', '?')} on {holder.get('host', '?')} has run there"
        f"{since}. Fix: wait for it or end it, or choose another --out; if it no longer runs, delete {path}"
    )
