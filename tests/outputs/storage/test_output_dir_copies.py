"""The output folder: copies of inputs, what is removed again, and names without their suffix."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mrcnn_cv.errors import OutputConflict, OutputError
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory, written_files
from tests.outputs.conftest import MakeFrame


def test_copies_are_links_and_are_told_of(tmp_path: Path) -> None:
    source = tmp_path / "in.jpg"
    source.write_bytes(b"picture")
    folder = OutputDirectory(tmp_path / "out", protected=[source])
    for _ in range(2):
        with written_files() as files:
            folder.copy(source, tmp_path / "out" / "images" / "a.jpg")
        assert files == [(tmp_path / "out" / "images" / "a.jpg", 7)]
    assert (tmp_path / "out" / "images" / "a.jpg").samefile(source)


def test_copies_of_links_are_copies_of_what_they_lead_to(tmp_path: Path) -> None:
    (tmp_path / "in.jpg").write_bytes(b"picture")
    (tmp_path / "link.jpg").symlink_to("in.jpg")
    OutputDirectory(tmp_path / "out").copy(tmp_path / "link.jpg", tmp_path / "out" / "a.jpg")
    assert not (tmp_path / "out" / "a.jpg").is_symlink()
    assert (tmp_path / "out" / "a.jpg").read_bytes() == b"picture"


def test_a_source_that_went_away_and_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutputDirectory(tmp_path / "out")
    with pytest.raises(OutputError, match=r"a\.jpg cannot be written"):
        folder.copy(tmp_path / "gone.jpg", tmp_path / "out" / "a.jpg")
    (tmp_path / "in.jpg").write_bytes(b"picture")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(OutputError, match="the disk is full"):
        folder.copy(tmp_path / "in.jpg", tmp_path / "out" / "a.jpg")
    assert [path.name for path in (tmp_path / "out").iterdir() if path.suffix != ".jsonl"] == []


def test_only_unchanged_outputs_are_removed(tmp_path: Path) -> None:
    folder = OutputDirectory(tmp_path)
    for name in ("ours.png", "changed.png"):
        folder.write(tmp_path / name, b"ours")
    (tmp_path / "changed.png").write_bytes(b"by hand")
    (tmp_path / "users.png").write_bytes(b"mine")
    for name in ("ours.png", "changed.png", "users.png", "nowhere.png"):
        OutputDirectory(tmp_path).discard(tmp_path / name)
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["changed.png", "users.png"]


@pytest.mark.parametrize("turned", [False, True])
def test_names_without_suffix_do_not_depend_on_which_picture_comes_first(
    tmp_path: Path, make_frame: MakeFrame, turned: bool
) -> None:
    """A run that is resumed, or has several threads, writes the same names."""
    inputs = ["photo.jpg", "photo.png", "PHOTO.gif", "photo-2.bmp"]
    folder = OutputDirectory(tmp_path, protected=inputs)
    frames = [make_frame(name) for name in inputs]
    paths = {
        str(frame.path): folder.path_for(frame, ".txt", kind=kind, stem=True).name
        for kind in ("a", "b")
        for frame in (reversed(frames) if turned else frames)
    }
    assert [paths[name] for name in inputs] == ["photo.txt", "photo-2.txt", "PHOTO-3.txt", "photo-2-2.txt"]


def edit_in_place(path: Path, data: bytes) -> None:
    """As editors do that keep the file: all links to it change."""
    with path.open("r+b") as file:
        file.write(data)
        file.truncate()


@pytest.mark.parametrize("is_link", [False, True])
def test_an_input_that_was_edited_in_place_is_copied_again(tmp_path: Path, is_link: bool) -> None:
    """Its copy of an earlier run is a hard link, which changed with it and is no input."""
    target = tmp_path / "target.jpg"
    target.write_bytes(b"picture")
    source = tmp_path / "in.jpg"
    os.symlink(target, source) if is_link else os.link(target, source)
    copy = tmp_path / "out" / "a.jpg"
    OutputDirectory(copy.parent, protected=[source]).copy(source, copy)
    edit_in_place(target, b"another")
    folder = OutputDirectory(copy.parent, protected=[source])
    folder.check_replaceable(copy)
    folder.copy(source, copy)
    # Another output in its place leaves the input alone, and one without that input knows the copy as ours.
    OutputDirectory(copy.parent).check_replaceable(copy)
    folder.write(copy, b"output")
    assert source.read_bytes() == b"another"


def test_a_hard_link_of_somebody_elses_is_an_input(tmp_path: Path) -> None:
    source, link = tmp_path / "in.jpg", tmp_path / "out" / "a.jpg"
    source.write_bytes(b"picture")
    link.parent.mkdir()
    os.link(source, link)
    folder = OutputDirectory(link.parent, protected=[source])
    with pytest.raises(OutputConflict, match="is an input of this run"):
        folder.write(link, b"output")
    # To be asked for a copy where there is one makes it no output.
    folder.copy(source, link)
    with pytest.raises(OutputConflict, match="is an input of this run"):
        OutputDirectory(link.parent, protected=[source]).write(link, b"output")


def test_a_copy_of_ours_that_is_an_input_itself_is_not_replaced(tmp_path: Path) -> None:
    source, copy = tmp_path / "in.jpg", tmp_path / "out" / "a.jpg"
    source.write_bytes(b"picture")
    OutputDirectory(copy.parent, protected=[source]).copy(source, copy)
    for inputs in ([copy], [copy, source], [source, copy]):
        with pytest.raises(OutputConflict, match="is an input of this run"):
            OutputDirectory(copy.parent, protected=inputs).write(copy, b"output")
    OutputDirectory(copy.parent, protected=[source]).write(copy, b"output")
    assert (source.read_bytes(), copy.read_bytes()) == (b"picture", b"output")
