from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from guerdon.errors import OutputError
from guerdon.files import atomic_folder, atomic_write, check_writable


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as file:
        file.write("héllo\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "héllo\r\n".encode()
    with atomic_write(tmp_path / "a.txt", "wb") as file:
        file.write(b"\x00")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00"
    assert names(tmp_path) == ["a.txt"]


def test_parent_folders_are_made(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "b" / "c" / "a.txt") as file:
        file.write("x")
    assert (tmp_path / "b" / "c" / "a.txt").read_text() == "x"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_exception_the_old_file_stands_and_nothing_is_left(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(error), atomic_write(target) as file:
        file.write("new")
        raise error
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_kill_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    code = (
        "import os, sys\nfrom guerdon.files import atomic_write\n"
        "with atomic_write(sys.argv[1]) as file:\n    file.write('new'); file.flush(); os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(target)], check=False).returncode == -9
    assert target.read_text() == "old"


def test_a_link_keeps_being_a_link_and_the_mode_is_kept(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    with atomic_write(tmp_path / "link") as file:
        file.write("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640


def test_a_device_is_written_to_and_not_replaced() -> None:
    with atomic_write("/dev/null") as file:
        file.write("x")
    assert Path("/dev/null").is_char_device()
    check_writable("/dev/null")


def test_a_folder_in_the_way_and_a_file_as_parent(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        check_writable(tmp_path)
    with pytest.raises(OutputError, match="folder"), atomic_write(tmp_path) as file:
        file.write("x")
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file/a\.txt: "):
        check_writable(tmp_path / "file" / "a.txt")
    with pytest.raises(OutputError, match=r"file/a\.txt: "), atomic_write(tmp_path / "file" / "a.txt"):
        pass
    assert names(tmp_path) == ["file"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that even root cannot write to")
def test_a_place_where_nobody_may_write() -> None:
    with pytest.raises(OutputError, match="cannot write /proc/self/a.txt"):
        check_writable("/proc/self/a.txt")
    with pytest.raises(OutputError, match="cannot write /proc/self/a.txt"), atomic_write("/proc/self/a.txt"):
        pass


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    code = (
        "import resource, signal, sys\nfrom guerdon.errors import OutputError\nfrom guerdon.files import atomic_write\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    with atomic_write(sys.argv[1], 'wb') as file:\n        file.write(b'x' * 100000)\n"
        "except OutputError as error:\n    print(error)\n"
    )
    assert resource.RLIMIT_FSIZE  # a limit of the file size is the disk full that a test can make
    result = subprocess.run([sys.executable, "-c", code, str(target)], check=True, capture_output=True, text=True)
    assert result.stdout.startswith(f"cannot write {target}: the file grew past")
    assert names(tmp_path) == []


def test_an_error_of_reading_inside_the_block_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_write(tmp_path / "a.txt"):
        (tmp_path / "missing.txt").read_text()
    with pytest.raises(OutputError, match="disk is full"), atomic_write(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert names(tmp_path) == []


def test_check_writable_leaves_nothing_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "deep" / "a.txt")
    assert names(tmp_path) == []


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "part").mkdir()
        (folder / "part" / "weights").write_text("w")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "part" / "weights").read_text() == "w"
    with pytest.raises(ValueError, match="stop"), atomic_folder(tmp_path / "other") as folder:
        (folder / "weights").write_text("w")
        raise ValueError("stop")
    assert names(tmp_path) == ["model"]


def test_a_folder_with_something_in_it_is_only_replaced_on_request(tmp_path: Path) -> None:
    target = tmp_path / "model"
    target.mkdir()
    with atomic_folder(target) as folder:  # an empty one may be filled
        (folder / "old").write_text("")
    with pytest.raises(OutputError, match="not empty"), atomic_folder(target):
        pass
    with atomic_folder(target, replace=True) as folder:
        (folder / "new").write_text("")
    assert names(target) == ["new"]
    assert names(tmp_path) == ["model"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file of that name"), atomic_folder(tmp_path / "file", replace=True):
        pass
