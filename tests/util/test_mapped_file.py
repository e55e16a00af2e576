"""Files are mapped where they can be, and read where not."""

from __future__ import annotations

import mmap
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.util.mapped_file import MappedFile, TooLarge


def test_a_file_is_mapped_read_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some bytes")
    file = MappedFile(tmp_path / "file", 100)
    assert file.is_mapped
    assert bytes(file.data) == b"some bytes"
    assert file.data.readonly
    assert not np.frombuffer(file.data, np.uint8).flags.writeable


def test_an_array_keeps_the_file_mapped(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some bytes")
    array = np.frombuffer(MappedFile(tmp_path / "file", 100).data[5:], np.uint8)
    assert array.tobytes() == b"bytes"


def test_an_empty_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    file = MappedFile(tmp_path / "file", 100)
    assert not file.is_mapped
    assert bytes(file.data) == b""
    file.release_pages()


def test_a_file_that_cannot_be_mapped_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("not on this file system")

    monkeypatch.setattr(mmap, "mmap", refuse)
    (tmp_path / "file").write_bytes(b"some bytes")
    file = MappedFile(tmp_path / "file", 10)
    assert not file.is_mapped
    assert bytes(file.data) == b"some bytes"


@pytest.mark.skipif(sys.platform == "win32", reason="needs named pipes")
@pytest.mark.parametrize("most", [10, 9])
def test_a_pipe_is_read_and_no_more_than_fits(tmp_path: Path, most: int) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"some bytes",))
    writer.start()
    if most == 10:
        assert bytes(MappedFile(tmp_path / "pipe", most).data) == b"some bytes"
    else:
        with pytest.raises(TooLarge):
            MappedFile(tmp_path / "pipe", most)
    writer.join()


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"some bytes")
    with pytest.raises(TooLarge) as error:
        MappedFile(tmp_path / "file", 9)
    assert error.value.size == 10


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        MappedFile(tmp_path / "file", 9)


def test_pages_that_were_released_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 100)
    file = MappedFile(tmp_path / "file", 100_000)
    file.release_pages()
    assert bytes(file.data) == bytes(range(256)) * 100


@pytest.mark.parametrize("change", ["overwritten", "longer"])
@pytest.mark.parametrize("moved", [False, True])
def test_a_file_that_others_change_is_seen_wherever_it_is(
    change: str, moved: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a relative path after the folder was changed, and by another name."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"some bytes")
    file = MappedFile(Path("file"), 100)
    file.check()
    path = tmp_path / "file"
    if moved:
        path = path.rename(tmp_path / "other")
    monkeypatch.chdir("/")
    file.check()
    with path.open("r+b") as stream:
        stream.seek(0, 2 if change == "longer" else 0)
        stream.write(b"more")
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelFileError, match="file was changed while it was in use: load the model again"):
        file.check()


def test_a_file_that_is_replaced_or_deleted_stays_what_it_was(tmp_path: Path) -> None:
    path, other = tmp_path / "file", tmp_path / "other"
    path.write_bytes(b"some bytes")
    other.write_bytes(b"quite other ones")
    file = MappedFile(path, 100)
    other.replace(path)
    file.check()
    path.unlink()
    file.check()
    assert bytes(file.data) == b"some bytes"
