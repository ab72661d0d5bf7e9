"""Files that are either whole or not there: written under a temporary name beside the target, then renamed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from guerdon.errors import OutputError

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another place",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another place",
    errno.EFBIG: "the file grew past the size that the system allows (see `ulimit -f`)",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EACCES: "you may not write there; change the folder's permissions or choose another place",
    errno.EPERM: "you may not write there; change the folder's permissions or choose another place",
    errno.EISDIR: "it is a folder; give the name of a file",
    errno.ENOTDIR: "a part of the path is a file, not a folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk reports an input/output error",
}


def output_error(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The `OutputError` that tells a user why `path` cannot be written."""
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {os.fspath(path)}: {reason}")


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], mode: str = "w") -> Iterator[IO[Any]]:
    """Opens a file that takes its place only when the block ends well.

    Until then whatever stood at `path` stays as it was, whatever happens: an exception, a full disk, `kill -9`.
    Missing parent folders are made. A device or pipe (`/dev/stdout`) is written to directly. The mode is `"w"` (UTF-8
    text, newlines as they are) or `"wb"`.

    Raises:
        OutputError: the file cannot be written; the message says why.
    """
    if mode not in ("w", "wb"):
        raise ValueError(f'mode must be "w" or "wb", got {mode!r}')
    target, text = _target(path), dict[str, Any]() if "b" in mode else {"encoding": "utf-8", "newline": ""}
    if _is_special(target):
        with _as_output_error(path, target), target.open(mode, **text) as file:
            yield file
        return
    place = _temporary(target)
    with _as_output_error(path, place):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with place.open(mode, **text) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            if target.exists():
                place.chmod(stat.S_IMODE(target.stat().st_mode))
            place.replace(target)
            _sync_folder(target.parent)
        finally:
            with contextlib.suppress(OSError):
                place.unlink(missing_ok=True)


def write_json(path: str | os.PathLike[str], value: object) -> None:
    """Writes a JSON file, whole or not at all; NaN is a ValueError. Raises OutputError."""
    with atomic_write(path) as file:
        json.dump(value, file, ensure_ascii=False, indent=2, allow_nan=False)
        file.write("\n")


@contextlib.contextmanager
def _as_output_error(path: str | os.PathLike[str], place: Path) -> Iterator[None]:
    """Turns an `OSError` about our output, which is written at `place`, into the `OutputError` of `path`."""
    try:
        yield
    except OSError as error:
        if _is_output_failure(error, place):
            raise output_error(path, error) from error
        raise


@contextlib.contextmanager
def atomic_folder(path: str | os.PathLike[str], *, replace: bool = False) -> Iterator[Path]:
    """Gives an empty temporary folder that takes the place of `path` only when the block ends well.

    It lies beside `path`, so that the rename stays within one file system. An empty folder may stand there already, one
    with something in it only where `replace` says so: it is moved aside, the new one takes its place, and only then is
    it deleted.

    Raises:
        OutputError: the folder cannot be written, or `path` is taken and `replace` is False.
    """
    target = _target(path)
    _check_folder_free(target, replace)
    place = _temporary(target)
    with _as_output_error(path, place):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            place.mkdir()
            yield place
            _sync_tree(place)
            _check_folder_free(target, replace)
            _swap_in(place, target)
        finally:
            shutil.rmtree(place, ignore_errors=True)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Finds out before a long run whether a file can be written at `path`; leaves nothing behind.

    A file is really made, since permission bits alone lie for root, read-only mounts and network disks.

    Raises:
        OutputError: it cannot; the message says why.
    """
    target = _target(path)
    if target.is_dir():
        raise output_error(path, IsADirectoryError(errno.EISDIR, ""))
    if _is_special(target):
        return
    folder = target.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    probe = folder / _temporary(target).name
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise output_error(path, error) from error


def _target(path: str | os.PathLike[str]) -> Path:
    """The path behind symbolic links: the rename must replace the file, not the link to it."""
    return Path(os.path.realpath(path))


def _temporary(target: Path) -> Path:
    # A long name with our addition could pass the limit of 255 bytes where the name itself does not.
    return target.with_name(f".{target.name[:60]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")


def _is_special(target: Path) -> bool:
    return os.path.exists(target) and not os.path.isfile(target) and not os.path.isdir(target)


def _is_output_failure(error: OSError, place: Path) -> bool:
    """Whether the error is about our output, rather than about a file that the caller's block reads."""
    if isinstance(error, ConnectionError | BrokenPipeError):
        return False
    if error.filename is None:
        return error.errno in _REASONS
    names = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    return any(name == place or place in name.parents or name in place.parents for name in names)


def _check_folder_free(target: Path, replace: bool) -> None:
    if target.exists() and not target.is_dir():
        raise OutputError(f"cannot write the folder {target}: a file of that name is there; choose another name")
    if not replace and target.is_dir() and any(target.iterdir()):
        raise OutputError(f"cannot write the folder {target}: it is not empty; choose another name or remove it first")


def _swap_in(place: Path, target: Path) -> None:
    if not target.is_dir() or not any(target.iterdir()):
        place.replace(target)
    else:
        old = _temporary(target)
        target.replace(old)
        try:
            place.replace(target)
        except OSError:
            old.replace(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    _sync_folder(target.parent)


def _sync_tree(folder: Path) -> None:
    for root, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(root, name), "rb") as file:
                os.fsync(file.fileno())
        _sync_folder(Path(root))


def _sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut; systems that cannot sync a folder simply do not."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turns what safetensors and torch raise when they cannot write into the `OSError` that they met."""
    try:
        yield
    except Exception as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found and type(error).__name__ == "SafetensorError":
            code = int(found[1])
        elif isinstance(error, RuntimeError) and "inline_container" in str(error):
            code = errno.ENOSPC  # torch.save does not say why; hardly anything else stops it in the middle of a file
        else:
            raise
        raise OSError(code, os.strerror(code)) from error


@contextlib.contextmanager
def staged(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary folder whose files move into `folder` when the block ends well; other files there stay.

    Each file is whole or absent. `guerdon.json` moves last and an old one is removed first, so that a folder that has
    one holds the files that belong to it.

    Raises:
        OutputError: the folder cannot be written.
    """
    target = Path(folder)
    card = "guerdon.json"
    stage = target / f".{os.getpid()}.{secrets.token_hex(4)}.tmp"
    with _as_output_error(folder, stage):
        try:
            stage.mkdir(parents=True)
            with disk_errors():
                yield stage
            _sync_tree(stage)
            (target / card).unlink(missing_ok=True)
            for place in sorted(stage.iterdir(), key=lambda entry: entry.name == card):
                if place.is_dir():
                    shutil.rmtree(target / place.name, ignore_errors=True)
                place.replace(target / place.name)
            _sync_folder(target)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
