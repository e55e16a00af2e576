"""From what a user names to images, each with a place of its own."""

from __future__ import annotations

import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.errors import InputError, Remedy, UsageError
from mrcnn_cv.inputs.image_ref import ImageRef, load
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.images.sorting import PathFilter
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.structures.frame import FrameError

JPEG = b"\xff\xd8\xff"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make(*paths: str) -> None:
    for path in paths:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_bytes(JPEG + path.encode())


def places(*sources: str, search: DirectoryScan | None = None, lists: tuple[str, ...] = ()) -> list[str]:
    listing = list_images(sources, search or DirectoryScan(), [Path(name) for name in lists])
    return [str(item.output_path) for item in listing.items]


def test_a_folder_is_its_tree_in_natural_order(tmp_path: Path) -> None:
    make("in/img10.jpg", "in/img2.JPG", "in/b/1.png", "in/a/x.webp", "in/a/deep/y.png", "in/notes.txt", "in/film.mp4")
    search = DirectoryScan()
    assert places("in", search=search) == ["img2.JPG", "img10.jpg", "a/x.webp", "a/deep/y.png", "b/1.png"]
    assert search.left_out == 2
    assert places("in", search=DirectoryScan(recursive=False)) == ["img2.JPG", "img10.jpg"]
    listing = list_images(["in"], DirectoryScan())
    assert listing.is_batch
    assert listing.items[0].name == os.path.join("in", "img2.JPG")


def test_hidden_files_and_folders_are_left_out() -> None:
    make("in/.hidden.jpg", "in/.git/x.jpg", "in/._photo.jpg", "in/seen.jpg")
    assert places("in") == ["seen.jpg"]


def test_include_and_exclude_are_patterns_of_names_or_of_places() -> None:
    make("in/a/1.jpg", "in/a/2.png", "in/b/1.jpg", "in/b/scan", "in/3.jpg")
    assert places("in", search=DirectoryScan(PathFilter(["a/*"]))) == ["a/1.jpg", "a/2.png"]
    assert places("in", search=DirectoryScan(PathFilter(["*.png", "scan"]))) == ["a/2.png", "b/scan"]
    assert places("in", search=DirectoryScan(PathFilter(exclude=["1.*", "3*"]))) == ["a/2.png"]


def test_several_sources_get_a_folder_each() -> None:
    make("one/x.jpg", "two/x.jpg", "deep/two/x.jpg", "x.jpg")
    assert places("one", "two", os.path.join("deep", "two"), "x.jpg") == [
        "x.jpg",
        "one/x.jpg",
        "two/x.jpg",
        "two-2/x.jpg",
    ]


def test_files_named_one_by_one_are_no_batch() -> None:
    make("a/x.jpg", "b/y")
    listing = list_images(["a/x.jpg", "b/y", "missing.jpg"], DirectoryScan())
    assert not listing.is_batch
    assert [str(item.output_path) for item in listing.items] == ["x.jpg", "y", "missing.jpg"]


def test_patterns_for_shells_that_have_none() -> None:
    make("in/a/1.jpg", "in/a/10.jpg", "in/a/2.jpg", "in/b/3.jpg", "in/b/note.txt", "[odd].jpg")
    assert places("in/*/*.jpg") == ["a/1.jpg", "a/2.jpg", "a/10.jpg", "b/3.jpg"]
    assert places("in/**") == ["a/1.jpg", "a/2.jpg", "a/10.jpg", "b/3.jpg"]
    assert places("in/*") == ["a/1.jpg", "a/2.jpg", "a/10.jpg", "b/3.jpg"]
    # A file of this very name is that file.
    assert places("[odd].jpg") == ["[odd].jpg"]
    (failed,) = list_images(["nothing/*.jpg"], DirectoryScan()).items
    with pytest.raises(InputError, match="matches no file"):
        failed.read()


def test_where_the_run_writes_to_is_not_read(tmp_path: Path) -> None:
    make("in/x.jpg", "in/out/x.jpg", "in/kept/ours.jpg", "in/kept/theirs.jpg")
    status = Path("in/out").stat()

    def outputs(folder: Path) -> Any:
        return (lambda path: path.name == "ours.jpg") if folder.name == "kept" else None

    search = DirectoryScan(skip=frozenset({(status.st_dev, status.st_ino)}), outputs=outputs)
    assert places("in", search=search) == ["x.jpg", "kept/theirs.jpg"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need permission there")
def test_links_that_lead_upwards_end() -> None:
    make("in/a/x.jpg")
    Path("in/a/up").symlink_to(Path("in").resolve())
    Path("in/gone.jpg").symlink_to("nowhere.jpg")
    assert places("in") == ["gone.jpg", "a/x.jpg"]


UNFOLLOWED = {"loop": "loop", "loop.jpg": "loop.jpg", "through": "y.jpg/x", "long": "x" * 300}
"""Links that nobody can follow, and where they lead to."""


@pytest.mark.skipif(sys.platform == "win32", reason="links need permission there")
@pytest.mark.parametrize("source", ["in", "in/*", "in/**"])
def test_links_that_cannot_be_followed_hide_nothing(source: str) -> None:
    make("in/y.jpg", "in/a/x.jpg", "in/notes.txt")
    for name, target in UNFOLLOWED.items():
        Path("in", name).symlink_to(target)
    scan = DirectoryScan()
    for _ in range(2):
        listing = list_images([source], scan)
        assert [str(item.output_path) for item in listing.items] == ["loop.jpg", "y.jpg", "a/x.jpg"]
        # However often a folder is watched.
        assert sorted(map(str.lower, listing.unfollowed)) == [
            str(Path("in", name)) for name in sorted(UNFOLLOWED) if name != "loop.jpg"
        ]
    assert "symbolic links" in listing.unfollowed[str(Path("in", "loop"))]
    # What is an image by its name fails when its turn comes.
    with pytest.raises(InputError, match=r"loop\.jpg cannot be read: Too many levels"):
        listing.items[0].read()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(40, "Too many levels")])
def test_a_link_that_nobody_may_follow_is_told_with_the_reason(error: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    make("in/y.jpg", "in/closed")
    stat = Path.stat

    def refused(path: Path, **options: Any) -> os.stat_result:
        if path.name == "closed":
            raise error
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", refused)
    listing = list_images(["in/*"], DirectoryScan())
    assert len(listing.items) == 1
    assert listing.unfollowed == {str(Path("in", "closed")): error.strerror}


@pytest.mark.parametrize("source", ["in", "in/**", "in/**/*.jpg"])
def test_a_folder_below_a_pattern_that_cannot_be_read_fails(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make("in/y.jpg", "in/closed/x.jpg")
    scandir = os.scandir

    def refused(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refused)
    listing = list_images([source], DirectoryScan())
    assert [str(item.output_path) for item in listing.items] == ["closed", "y.jpg"]
    with pytest.raises(InputError, match="closed cannot be read, so what is in it is left out: Permission denied"):
        listing.items[0].read()


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a folder that may not be read")
def test_a_folder_that_cannot_be_read_is_a_failure_of_its_own() -> None:
    make("in/closed/x.jpg", "in/y.jpg")
    Path("in/closed").chmod(0)
    try:
        items = list_images(["in"], DirectoryScan()).items
    finally:
        Path("in/closed").chmod(0o700)
    assert len(items) == 2


def test_nothing_found_is_a_failure() -> None:
    Path("empty").mkdir()
    (item,) = list_images(["empty"], DirectoryScan()).items
    frame = load(item, 0)
    assert isinstance(frame, FrameError)
    assert str(frame.error).startswith("empty holds no images")


def test_names_that_some_system_refuses_are_replaced() -> None:
    if sys.platform == "win32":
        pytest.skip("such files cannot be made there")
    make("in/con.jpg", "in/a:b.jpg", "in/new\nline.jpg", "in/犬.jpg")
    assert sorted(places("in")) == ["_con.jpg", "a_b.jpg", "new_line.jpg", "犬.jpg"]


def test_a_list_names_pictures() -> None:
    make("data/a/1.jpg", "data/b/1.jpg", "lists/here.jpg")
    Path("lists/all.txt").write_text("# images\ndata/b/1.jpg\n\ndata/a/1.jpg\ndata/b/1.jpg\n")
    assert places(lists=("lists/all.txt",)) == ["b/1.jpg", "a/1.jpg"]
    Path("lists/one.txt").write_text("here.jpg\nmissing.jpg\n")
    items = list_images([], DirectoryScan(), [Path("lists/one.txt")]).items
    assert items[0].read() == JPEG + b"lists/here.jpg"
    with pytest.raises(InputError, match=r"missing\.jpg does not exist"):
        items[1].read()


def test_a_csv_has_a_column_of_paths() -> None:
    make("a/1.jpg", "a/two, three.jpg")
    Path("all.csv").write_text('split,Path\ntrain,a/1.jpg\nval,"a/two, three.jpg"\n', encoding="utf-8-sig")
    assert places(lists=("all.csv",)) == ["1.jpg", "two, three.jpg"]
    Path("bad.csv").write_text("name,size\nx,1\n")
    with pytest.raises(UsageError, match=r"bad\.csv has no column named path"):
        places(lists=("bad.csv",))


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\0\1\2"])
def test_a_list_of_nothing_is_wrong_usage(content: bytes) -> None:
    Path("list.txt").write_bytes(content)
    with pytest.raises(UsageError, match=r"list\.txt ") as error:
        places(lists=("list.txt",))
    assert error.value.remedies == (Remedy.IMAGE_LIST,)


def test_a_missing_list_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"gone\.txt cannot be read"):
        places(lists=("gone.txt",))


def write_zip(path: str, *names: str) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, name.encode())


def write_tar(path: str, mode: Any, *names: str) -> None:
    with tarfile.open(path, mode) as archive:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = len(name.encode())
            archive.addfile(member, io.BytesIO(name.encode()))


def contents(items: Any) -> list[bytes]:
    return [item.read() for item in items]


def test_archives_are_read_in_place() -> None:
    write_zip("photos.zip", "b/2.jpg", "a/10.jpg", "a/9.jpg", "note.txt", "__MACOSX/a/._9.jpg", ".hidden/x.jpg")
    assert places("photos.zip") == ["a/9.jpg", "a/10.jpg", "b/2.jpg"]
    items = list_images(["photos.zip"], DirectoryScan()).items
    assert contents(items) == [b"a/9.jpg", b"a/10.jpg", b"b/2.jpg"]
    assert items[0].name == "photos.zip/a/9.jpg"
    write_tar("photos.tar.gz", "w:gz", "b/2.jpg", "a/1.jpg")
    items = list_images(["photos.tar.gz", "photos.zip"], DirectoryScan(PathFilter(["[ab]/[12].jpg"]))).items
    assert [str(item.output_path) for item in items] == ["photos/b/2.jpg", "photos/a/1.jpg", "photos-2/b/2.jpg"]
    assert contents(items) == [b"b/2.jpg", b"a/1.jpg", b"b/2.jpg"]
    assert not list(Path().glob("**/*.jpg"))


def test_archives_with_tricks_stay_harmless(tmp_path: Path) -> None:
    write_tar("evil.tar", "w", "../../outside.jpg", "/etc/passwd.png", "C:\\windows\\x.jpg")
    with tarfile.open("evil.tar", "a") as archive:
        link = tarfile.TarInfo("link.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("empty.jpg"))
    found = places("evil.tar")
    assert found == ["_/_/outside.jpg", "etc/passwd.png", "C_/windows/x.jpg", "empty.jpg"]
    assert not any(part in ("..", "/") for place in found for part in Path(place).parts)


def test_bombs_are_refused_by_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    write_zip("bomb.zip", "a" * 200 + ".jpg", "b.jpg")
    write_tar("bomb.tar", "w", "a" * 200 + ".jpg", "b.jpg")
    monkeypatch.setattr("mrcnn_cv.inputs.images.archives.MAX_BYTES", 100)
    for name in ("bomb.zip", "bomb.tar"):
        large, small = list_images([name], DirectoryScan()).items
        assert small.read() == b"b.jpg"
        with pytest.raises(InputError, match=r"bomb\.\w+/a+\.jpg would unpack to 204 bytes"):
            large.read()


@pytest.mark.parametrize("cut", [30, 200, 600])
def test_damaged_archives_fail_in_a_sentence(cut: int) -> None:
    write_zip("photos.zip", "a.jpg", "b.jpg")
    write_tar("photos.tar.gz", "w:gz", "a.jpg", "b.jpg")
    for name in ("photos.zip", "photos.tar.gz"):
        whole = Path(name).read_bytes()
        Path(name).write_bytes(whole[:cut])
        for index, item in enumerate(list_images([name], DirectoryScan()).items):
            frame = load(item, index)
            assert isinstance(frame, FrameError)
            assert str(frame.error).startswith(name)


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = list_images(["-"], DirectoryScan()).items
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bytes")))
    assert item.read() == b"bytes"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    with pytest.raises(InputError, match="nothing came"):
        item.read()


def test_an_address_has_its_last_name() -> None:
    items: list[ImageRef] = list(
        list_images(["http://host/a/ph%20oto.jpg?x=1", "https://host/"], DirectoryScan()).items
    )
    assert [str(item.output_path) for item in items] == ["ph oto.jpg", "host"]


def test_no_two_pictures_have_one_place() -> None:
    make("a/x.jpg", "b/x.jpg", "b/X.JPG")
    assert places("a/x.jpg", "b/x.jpg", "b/X.JPG") == ["x.jpg", "x-2.jpg", "X-3.JPG"]
    with zipfile.ZipFile("twice.zip", "w") as archive:
        archive.writestr("x.jpg", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("x.jpg", b"second")
    items = list_images(["twice.zip"], DirectoryScan()).items
    assert [str(item.output_path) for item in items] == ["x.jpg", "x-2.jpg"]
    assert contents(items) == [b"first", b"second"]
