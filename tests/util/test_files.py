"""What a user names as a small file, and is none: devices, pipes, folders, files without end."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from click import UsageError as ClickUsageError

from mrcnn_cv.cli.commands.predict import predict
from mrcnn_cv.cli.config_file import defaults
from mrcnn_cv.errors import ModelFileError, UsageError
from mrcnn_cv.hub import user_models
from mrcnn_cv.importers.object_detection_api.pipeline_config import read_pipeline_config
from mrcnn_cv.inputs.images.lists import listed
from mrcnn_cv.util.files import UnfitFile, read_bytes, read_text, write_atomically


def _pipe(path: Path) -> Path:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)
    return path


def test_as_many_bytes_as_fit_are_read_and_not_one_more(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 2048)
    assert read_bytes(path, "a list", 2048) == b"x" * 2048
    with pytest.raises(UnfitFile, match=r"is too large for a list \(at most 1 KB\)"):
        read_bytes(path, "a list", 2047)


def test_text_is_read_with_a_byte_order_mark_and_the_line_ends_of_any_system(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree\n")
    assert read_text(path, "a list", 100) == "one\ntwo\nthree\n"


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnfitFile, match="is a folder, not a list"):
        read_bytes(tmp_path, "a list", 100)


# Read, a pipe that nobody writes to would hang this test.
def test_a_pipe_is_refused_wherever_a_small_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = _pipe(tmp_path / "models.json")
    refused = "is a device or a pipe"
    with pytest.raises(ClickUsageError, match=refused):
        defaults(predict, str(pipe))
    with pytest.raises(ModelFileError, match=refused):
        read_pipeline_config(pipe)
    monkeypatch.setenv("MRCNN_CV_HOME", str(tmp_path))
    with pytest.raises(ModelFileError, match=refused):
        user_models.user_models()


def test_a_list_may_come_from_a_pipe(tmp_path: Path, photo_path: Path) -> None:
    """As `--list <(find photos -name '*.jpg')` has it."""
    pipe = _pipe(tmp_path / "list")
    writer = threading.Thread(target=pipe.write_text, args=(f"{photo_path}\n",))
    writer.start()
    assert [item.path for item in listed(pipe)] == [photo_path]
    writer.join(30)
    with pytest.raises(UsageError, match="is a folder, not a list"):
        listed(tmp_path)


def test_what_killed_processes_had_half_written_goes(tmp_path: Path) -> None:
    """At once where nobody else can be at it, else once it is old; nothing of another name."""
    path = tmp_path / "list[1].json"
    young, old = (tmp_path / f".list[1].json-{digits}.tmp" for digits in ("0123456789ab", "ba9876543210"))
    others = [tmp_path / name for name in (".list[1].json-x.tmp", ".list1.json-0123456789ab.tmp", "other.tmp")]
    for each in (young, old, *others):
        each.write_text("half")
    os.utime(old, (0, 0))
    write_atomically(path, b"1")
    assert (young.exists(), old.exists()) == (True, False)
    write_atomically(path, b"2", alone=True)
    assert sorted(tmp_path.iterdir()) == sorted([path, *others])
    assert path.read_bytes() == b"2"
