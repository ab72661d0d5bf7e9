"""One process at a time in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from guerdon.errors import OutputError
from guerdon.files import output_error

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = "lock.json"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Holds `folder/lock.json`, which names process, host and start time, while the block runs.

    The system's lock on the file goes with the process that held it, however that ended; a file that another host left
    cannot be judged from here and stays.

    Raises:
        OutputError: another process holds it, or the folder cannot be written.
    """
    path = folder / LOCK_FILE
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _take(path)
    except OSError as error:
        raise output_error(path, error) from error
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)
                path.unlink()
                for place in made:
                    place.rmdir()  # succeeds only where nothing was written


def _take(path: Path) -> IO[str]:
    """Opens the file, locked, with this process as its holder; to be closed by the caller."""
    with contextlib.ExitStack() as opened:
        file = opened.enter_context(path.open("a+", encoding="utf-8"))
        judged_here = fcntl is not None
        try:
            if judged_here:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(_held_message(path)) from None
        except OSError:  # a file system without locks: the file itself must do
            judged_here = False
        if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return _take(path)  # its holder has just put it away
        holder = _read(path)
        if holder is not None and not (judged_here and holder.get("host") == socket.gethostname()):
            raise OutputError(_held_message(path))
        file.truncate(0)
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "started": time.time()}, file)
        file.flush()
        opened.pop_all()
        return file


def _read(path: Path) -> dict[str, Any] | None:
    """Who holds a lock; None where nobody is named."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        found = json.loads(text) if text else None
    except ValueError:
        return {}
    return found if isinstance(found, dict | None) else {}


def _held_message(path: Path) -> str:
    holder = _read(path) or {}
    started = holder.get("started")
    since = time.strftime(" since %Y-%m-%d %H:%M:%S", time.localtime(started)) if isinstance(started, float) else ""
    return (
        f"{path.parent.parent} is in use: process {holder.get('pid', '?')} on {holder.get('host', '?')} has run there"
        f"{since}. Fix: wait for it or end it, or choose another --out; if it no longer runs, delete {path}"
    )
