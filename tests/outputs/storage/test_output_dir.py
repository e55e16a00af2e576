"""The output folder: nothing of the user's is ever lost, nothing half-written is ever left."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.outputs.storage.ownership import RECORD_NAME
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.util import filenames
from tests.outputs.conftest import LittleRoom, MakeFrame


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != RECORD_NAME)


def put(folder: OutputDirectory, frame: Frame, data: bytes = b"new", suffix: str | None = None) -> Path:
    path = folder.path_for(frame, suffix)
    folder.write(path, data)
    return path


def test_output_has_its_inputs_name(tmp_path: Path, make_frame: MakeFrame) -> None:
    folder = OutputDirectory(tmp_path / "out" / "deep")
    assert put(folder, make_frame("photos/a b ü.jpg")) == tmp_path / "out" / "deep" / "a b ü.jpg"
    assert put(folder, make_frame("photos/a b ü.jpg"), suffix=".json").name == "a b ü.jpg.json"
    assert visible(tmp_path / "out" / "deep") == ["a b ü.jpg", "a b ü.jpg.json"]


def test_nothing_is_made_before_the_first_write(tmp_path: Path, make_frame: MakeFrame) -> None:
    folder = OutputDirectory(tmp_path / "out")
    folder.check()
    folder.path_for(make_frame("photo.jpg"))
    assert not (tmp_path / "out").exists()


def test_inputs_of_the_same_name_get_numbers_in_their_order(tmp_path: Path, make_frame: MakeFrame) -> None:
    inputs = ["a/photo.jpg", "b/Photo.JPG", "c/photo.jpg", "photo-2.jpg", "c/../a/photo.jpg"]
    folder = OutputDirectory(tmp_path, protected=inputs)
    paths = [folder.path_for(make_frame(name)).name for name in inputs]
    assert paths == ["photo.jpg", "Photo-2.JPG", "photo-3.jpg", "photo-2-2.jpg", "photo.jpg"]
    assert folder.path_for(make_frame("b/Photo.JPG"), ".json").name == "Photo-2.JPG.json"


def test_names_do_not_depend_on_which_inputs_could_be_read(tmp_path: Path, make_frame: MakeFrame) -> None:
    folder = OutputDirectory(tmp_path, protected=["a/photo.jpg", "b/photo.jpg"])
    assert folder.path_for(make_frame("b/photo.jpg")).name == "photo-2.jpg"


def test_accents_composed_in_two_ways_are_one_name(tmp_path: Path, make_frame: MakeFrame) -> None:
    folder = OutputDirectory(tmp_path)
    first = folder.path_for(make_frame("a/\u00e9.jpg")).name
    second = folder.path_for(make_frame("b/e\u0301.jpg")).name
    assert (first, second) == ("\u00e9.jpg", "e\u0301-2.jpg")


def test_a_suffix_does_not_lead_to_another_inputs_name(tmp_path: Path, make_frame: MakeFrame) -> None:
    inputs = ["scan.gif", "scan.gif.png"]
    folder = OutputDirectory(tmp_path, protected=inputs)
    assert folder.path_for(make_frame("scan.gif"), ".png").name == "scan.gif-2.png"
    assert folder.path_for(make_frame("scan.gif.png")).name == "scan.gif.png"


def test_outputs_beside_the_inputs_get_another_name(
    tmp_path: Path, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inputs = ["photo.jpg", "photo-masks.jpg"]
    for name in inputs:
        Path(name).write_bytes(b"input")
    folder = OutputDirectory(".", overwrite=True, protected=inputs)
    assert [put(folder, make_frame(name)).name for name in inputs] == ["photo-masks-2.jpg", "photo-masks-masks.jpg"]
    assert put(folder, make_frame("photo.jpg"), suffix=".json").name == "photo.jpg.json"
    assert all(Path(name).read_bytes() == b"input" for name in inputs)


def test_inputs_are_known_through_links(tmp_path: Path, make_frame: MakeFrame) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "photo.jpg").write_bytes(b"input")
    (tmp_path / "out").symlink_to(tmp_path / "in")
    folder = OutputDirectory(tmp_path / "out", overwrite=True, protected=[tmp_path / "in" / "photo.jpg"])
    assert put(folder, make_frame(tmp_path / "in" / "photo.jpg")).name == "photo-masks.jpg"
    with pytest.raises(OutputError, match="is an input"):
        folder.write(tmp_path / "out" / "photo.jpg", b"new")
    assert (tmp_path / "in" / "photo.jpg").read_bytes() == b"input"


def test_linked_inputs_keep_their_own_names(tmp_path: Path, make_frame: MakeFrame) -> None:
    (tmp_path / "a.jpg").write_bytes(b"input")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "a.jpg")
    inputs = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    folder = OutputDirectory(tmp_path / "out", protected=inputs)
    assert [folder.path_for(make_frame(path)).name for path in inputs] == ["a.jpg", "b.jpg"]


def test_an_earlier_output_of_ours_is_replaced(tmp_path: Path, make_frame: MakeFrame) -> None:
    for data in (b"one", b"two", b"one", b"three"):
        assert put(OutputDirectory(tmp_path), make_frame("photo.jpg"), data).read_bytes() == data
    assert visible(tmp_path) == ["photo.jpg"]


def test_a_file_of_the_users_needs_overwrite(tmp_path: Path, make_frame: MakeFrame) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"photo\.jpg .*allow overwriting"):
        put(OutputDirectory(tmp_path), make_frame("photo.jpg"))
    assert path.read_bytes() == b"precious"
    assert visible(tmp_path) == ["photo.jpg"]
    put(OutputDirectory(tmp_path, overwrite=True), make_frame("photo.jpg"), b"ours")
    put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"ours again")
    assert path.read_bytes() == b"ours again"


def test_an_output_that_the_user_changed_is_the_users(tmp_path: Path, make_frame: MakeFrame) -> None:
    path = put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"abc")
    path.write_bytes(b"abd")
    with pytest.raises(OutputError, match="allow overwriting"):
        put(OutputDirectory(tmp_path), make_frame("photo.jpg"))
    assert path.read_bytes() == b"abd"


def test_an_output_copied_to_another_name_is_the_users(tmp_path: Path, make_frame: MakeFrame) -> None:
    put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"abc").rename(tmp_path / "other.jpg")
    with pytest.raises(OutputError, match="allow overwriting"):
        put(OutputDirectory(tmp_path), make_frame("other.jpg"))


def test_a_link_in_the_output_folder_is_the_users(tmp_path: Path, make_frame: MakeFrame) -> None:
    (tmp_path / "photo.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="allow overwriting"):
        put(OutputDirectory(tmp_path), make_frame("photo.jpg"))


def test_a_crash_before_the_file_is_in_place_does_no_harm(
    tmp_path: Path, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"first")

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"second")
    assert visible(tmp_path) == ["photo.jpg"]
    assert (tmp_path / "photo.jpg").read_bytes() == b"first"
    put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"third")
    assert (tmp_path / "photo.jpg").read_bytes() == b"third"


@pytest.mark.parametrize("rest", [b'{"name": "pho', b"\xff\xfe\0garbage", b"[]\n3\n{}\n", b'{"name": 1, "size": "x"}'])
def test_a_torn_record_costs_no_more_than_its_last_line(tmp_path: Path, make_frame: MakeFrame, rest: bytes) -> None:
    put(OutputDirectory(tmp_path), make_frame("a.jpg"), b"a")
    with (tmp_path / RECORD_NAME).open("ab") as record:
        record.write(rest)
    folder = OutputDirectory(tmp_path)
    put(folder, make_frame("a.jpg"), b"a2")
    put(folder, make_frame("b.jpg"), b"b")
    folder = OutputDirectory(tmp_path)
    put(folder, make_frame("a.jpg"), b"a3")
    put(folder, make_frame("b.jpg"), b"b2")


def test_a_file_whose_entry_does_not_fit_is_not_put_in_place(
    tmp_path: Path, make_frame: MakeFrame, little_room: LittleRoom
) -> None:
    folder = OutputDirectory(tmp_path)
    other = OutputDirectory(tmp_path)
    put(other, make_frame("other.jpg"), b"other")

    def fill() -> None:
        with little_room(1000):
            for number in range(100):
                put(folder, make_frame(f"{number}.jpg"), b"first")

    with pytest.raises(OutputError, match="cannot be written"):
        fill()
    written = visible(tmp_path)
    assert 1 < len(written) < 100
    # The half line that stays swallows nobody's next one.
    put(other, make_frame("behind.jpg"), b"behind")
    put(folder, make_frame("last.jpg"), b"last")
    again = OutputDirectory(tmp_path)
    for name in (*written, "behind.jpg", "last.jpg"):
        put(again, make_frame(name), b"again")


def test_what_another_process_wrote_since_may_be_replaced(tmp_path: Path, make_frame: MakeFrame) -> None:
    first, second = OutputDirectory(tmp_path), OutputDirectory(tmp_path)
    put(first, make_frame("photo.jpg"), b"first")
    put(second, make_frame("photo.jpg"), b"second")
    put(first, make_frame("photo.jpg"), b"third")
    assert (tmp_path / "photo.jpg").read_bytes() == b"third"


def test_two_processes_share_a_folder(tmp_path: Path, make_frame: MakeFrame) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom mrcnn_cv.outputs.storage.output_dir import OutputDirectory\n"
        "folder = OutputDirectory(sys.argv[1])\n"
        "for number in range(200):\n"
        "    folder.write(Path(sys.argv[1]) / f'{sys.argv[2]}-{number}.txt', f'{number}'.encode())\n"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in ("a", "b")]
    assert [worker.wait(60) for worker in workers] == [0, 0]
    folder = OutputDirectory(tmp_path)
    for name in ("a", "b"):
        for number in range(200):
            put(folder, make_frame(f"{name}-{number}.txt"))
    assert len(visible(tmp_path)) == 400


def raising(number: int) -> NoReturn:
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EACCES, "permission denied"),
        (errno.EROFS, "read-only"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
@pytest.mark.parametrize("place", ["write", "rename"])
def test_what_keeps_a_file_from_being_written_is_told_and_leaves_nothing(
    tmp_path: Path, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch, number: int, says: str, place: str
) -> None:
    folder = OutputDirectory(tmp_path)
    if place == "write":
        monkeypatch.setattr(folder._ownership, "add", lambda *_: raising(number))
    else:
        monkeypatch.setattr(os, "replace", lambda *_: raising(number))
    with pytest.raises(OutputError, match=r"photo\.jpg cannot be written") as caught:
        put(folder, make_frame("photo.jpg"))
    assert says in str(caught.value)
    assert caught.value.exit_code == 6
    assert visible(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_leaves_the_earlier_output(
    tmp_path: Path, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"earlier")

    def full(path: Path, mode: str) -> Any:
        path.touch()
        return open("/dev/full", "wb")

    monkeypatch.setattr("mrcnn_cv.outputs.storage.output_dir.open", full, raising=False)
    with pytest.raises(OutputError, match="the disk is full"):
        put(OutputDirectory(tmp_path), make_frame("photo.jpg"), b"later")
    assert visible(tmp_path) == ["photo.jpg"]
    assert (tmp_path / "photo.jpg").read_bytes() == b"earlier"


@pytest.mark.long
def test_thousands_of_inputs_with_one_name(tmp_path: Path, make_frame: MakeFrame) -> None:
    inputs = [f"{number}/image.jpg" for number in range(5000)]
    folder = OutputDirectory(tmp_path, protected=inputs)
    assert folder.path_for(make_frame("4999/image.jpg")).name == "image-5000.jpg"
    assert len({folder.path_for(make_frame(name), ".json") for name in inputs}) == 5000


def test_the_output_folder_is_a_file(tmp_path: Path, make_frame: MakeFrame) -> None:
    (tmp_path / "out").write_bytes(b"")
    for directory in (tmp_path / "out", tmp_path / "out" / "deeper"):
        folder = OutputDirectory(directory)
        with pytest.raises(OutputError, match=r"out is a file, not a folder"):
            folder.check()
        with pytest.raises(OutputError, match="is a file"):
            put(folder, make_frame("photo.jpg"))


def test_a_folder_stands_where_the_file_should_go(tmp_path: Path, make_frame: MakeFrame) -> None:
    (tmp_path / "photo.jpg").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        put(OutputDirectory(tmp_path, overwrite=True), make_frame("photo.jpg"))


@pytest.mark.parametrize("letter", ["x", "犬"])
def test_a_name_too_long_for_the_file_system_is_cut(tmp_path: Path, make_frame: MakeFrame, letter: str) -> None:
    """To its beginning, a fingerprint of the whole and its suffixes, so that no two names become one."""
    folder = OutputDirectory(tmp_path)
    length = 251 // len(letter.encode())
    inputs = [f"{letter * (length - 1)}{last}.jpg" for last in "ab"]
    paths = [put(folder, make_frame(name), suffix=".json") for name in inputs]
    assert all(path.name.startswith(letter * 70) and path.name.endswith(".jpg.json") for path in paths)
    assert len(set(paths)) == 2
    assert folder.path_for(make_frame(inputs[0]), ".json") == paths[0]
    assert folder.path_for(make_frame(inputs[0])).name == inputs[0]


def test_the_tree_of_the_inputs_is_kept(tmp_path: Path, make_frame: MakeFrame) -> None:
    folder = OutputDirectory(tmp_path)
    frame = replace(make_frame("in/street/01.jpg"), output_path=PurePosixPath("street/01.jpg"))
    other = replace(make_frame("in/park/01.jpg"), output_path=PurePosixPath("park/01.jpg"))
    assert put(folder, frame) == tmp_path / "street" / "01.jpg"
    assert put(folder, other, suffix=".json") == tmp_path / "park" / "01.jpg.json"
    masks = folder.path_for(frame, ".png", kind="masks", stem=True)
    assert masks == tmp_path / "masks" / "street" / "01.png"
    folder.write(masks, b"mask")
    # A later run knows its own files in subfolders.
    OutputDirectory(tmp_path).write(masks, b"new mask")
    assert masks.read_bytes() == b"new mask"


def test_pictures_of_one_stem_in_two_formats_get_two_names(tmp_path: Path, make_frame: MakeFrame) -> None:
    folder = OutputDirectory(tmp_path, protected=["photo.jpg", "photo.png"])
    found = [
        folder.path_for(make_frame(name), ".txt", kind="labels", stem=True).name for name in ("photo.jpg", "photo.png")
    ]
    assert found == ["photo.txt", "photo-2.txt"]


def test_what_is_written_in_pieces_appears_at_the_end_or_not_at_all(tmp_path: Path) -> None:
    folder = OutputDirectory(tmp_path)
    path = tmp_path / "all.json"
    with folder.replacing(path) as file:
        file.write(b"first")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), folder.replacing(path) as file:
        file.write(bytes(1 // len(b"")))
    assert path.read_bytes() == b"first"
    assert visible(tmp_path) == ["all.json"]
    with OutputDirectory(tmp_path).replacing(path) as file:
        file.write(b"third")
    assert path.read_bytes() == b"third"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (["..", "..", "etc", "passwd"], "_/_/etc/passwd"),
        (["/", "a"], "_/a"),
        (["CON.jpg"], "_CON.jpg"),
        (["a:b", "c|d\n.png"], "a_b/c_d_.png"),
        ([], "_"),
        ([".hidden", "x"], "_.hidden/x"),
    ],
)
def test_places_made_of_foreign_names_stay_inside(parts: list[str], expected: str) -> None:
    assert filenames.safe_relative_path(parts) == PurePosixPath(expected)


def test_a_folder_without_permission(tmp_path: Path, make_frame: MakeFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    try:
        if os.access(tmp_path, os.W_OK):
            monkeypatch.setattr(os, "access", lambda *_: False)
        else:
            with pytest.raises(OutputError, match="permission denied"):
                put(OutputDirectory(tmp_path), make_frame("photo.jpg"))
        with pytest.raises(OutputError, match="no permission to write into the folder"):
            OutputDirectory(tmp_path / "out").check()
    finally:
        tmp_path.chmod(0o700)


def test_new_files_have_the_usual_permissions(tmp_path: Path, make_frame: MakeFrame) -> None:
    (tmp_path / "usual").write_bytes(b"")
    path = put(OutputDirectory(tmp_path), make_frame("photo.jpg"))
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_source_that_is_no_file_gets_a_name_that_every_system_takes(tmp_path: Path) -> None:
    image = np.zeros((1, 1, 3), dtype=np.uint8)
    folder = OutputDirectory(tmp_path)
    assert folder.path_for(Frame(image, "rtsp://camera:554/a?b=c", 0), ".png").name == "rtsp___camera_554_a_b=c.png"
    assert put(folder, Frame(image, "../..", 0), suffix=".png").parent == tmp_path


@given(st.text(min_size=0, max_size=40))
def test_made_up_names_are_safe(name: str) -> None:
    plain = filenames.file_name(name)
    assert plain
    assert plain not in (".", "..")
    assert not set(plain) & set('<>:"/\\|?*\0\n')
    assert plain == plain.rstrip(" .")
    assert plain.split(".")[0].lower() not in {"con", "nul", "com1", "lpt9"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.sampled_from(["p.jpg", "P.JPG", "p-2.jpg", "p-masks.jpg", "p.jpg.json", "p"]),
        ),
        unique=True,
        max_size=8,
    ),
    st.booleans(),
)
def test_no_two_inputs_share_an_output_and_none_is_an_input(
    tmp_path: Path, make_frame: MakeFrame, inputs: list[tuple[str, str]], inside: bool
) -> None:
    paths = [tmp_path / folder / name for folder, name in inputs]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"input")
    folder = OutputDirectory(tmp_path / "a" if inside else tmp_path / "out", protected=paths)
    taken = [folder.path_for(make_frame(path), suffix) for path in paths for suffix in (None, ".json")]
    assert len({path.name.lower() for path in taken}) == 2 * len(paths)
    assert not set(taken) & set(paths)
    assert taken == [folder.path_for(make_frame(path), suffix) for path in paths for suffix in (None, ".json")]
    for path in paths:
        path.unlink()


def test_an_input_that_nobody_announced_is_not_written_to_either(tmp_path: Path, make_frame: MakeFrame) -> None:
    """--watch takes what arrives, also with its outputs in the same folder and --overwrite."""
    (tmp_path / "new.jpg").write_bytes(b"input")
    assert put(OutputDirectory(tmp_path, overwrite=True), make_frame(tmp_path / "new.jpg")).name == "new-masks.jpg"
    assert (tmp_path / "new.jpg").read_bytes() == b"input"


def test_a_run_that_is_resumed_sweeps_up_what_a_killed_one_had_half_written(tmp_path: Path) -> None:
    for name in (".mrcnn-cv-0123456789ab.tmp", ".mrcnn-cv-mine.tmp", "0123456789ab.tmp"):
        (tmp_path / name).write_bytes(b"half")
    OutputDirectory(tmp_path).sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == [".mrcnn-cv-mine.tmp", "0123456789ab.tmp"]
    OutputDirectory(tmp_path / "missing").sweep()
