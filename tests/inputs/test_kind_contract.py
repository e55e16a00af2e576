"""What every kind of input promises: one suite over all rows of the registry."""

from __future__ import annotations

import pickle
import socket
import tarfile
import zipfile
from pathlib import Path
from typing import NoReturn

import cv2
import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.base import InputKind
from mrcnn_cv.inputs.classify import Kind, classify, live_kind
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.inputs.registry import INPUT_KINDS
from tests.support.videos import stamp, write_video

SAMPLES: dict[str, list[tuple[str, Kind]]] = {
    "stdin": [("-", "pictures")],
    "folder": [("photos", "pictures"), ("photos/", "pictures"), (".", "pictures")],
    "camera": [("0", "live"), ("/dev/video77", "live")],
    "stream": [("rtsp://127.0.0.1:1/x", "live"), ("UDP://127.0.0.1:1", "live")],
    "url": [("http://127.0.0.1:1/x.jpg", "pictures"), ("https://127.0.0.1:1/x.m3u8", "live")],
    "pattern": [("photos/*.jpg", "pictures"), ("**/*.mp4", "video")],
    "archive": [("photos.zip", "pictures"), ("photos.tar.gz", "pictures")],
    "image": [("photos/1.jpg", "pictures"), ("photo", "pictures")],
    "video": [("clip.mp4", "video"), ("missing.mkv", "video")],
}

ODD = [
    "",
    " ",
    "\0",
    "x" * 5000,
    "[",
    "*[",
    "http://[",
    "http://",
    "rtsp://",
    "\udce9",
    "..",
    "/",
    "/dev/null",
    "999999",
]


@pytest.fixture(autouse=True)
def _desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the samples, and no network."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    cv2.imwrite("photos/1.jpg", stamp(1))
    Path("photo").write_bytes(Path("photos/1.jpg").read_bytes())
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("photos/1.jpg", "1.jpg")
    with tarfile.open("photos.tar.gz", "w:gz") as tar:
        tar.add("photos/1.jpg", "1.jpg")
    write_video(Path("clip.mp4"), [stamp(0)])

    def refuse(*arguments: object) -> NoReturn:
        raise AssertionError("it asks the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def kind(name: str) -> InputKind:
    made: InputKind = INPUT_KINDS.create(name)
    return made


def cases() -> list[tuple[str, str, Kind]]:
    return [(name, source, expected) for name, samples in SAMPLES.items() for source, expected in samples]


def test_every_kind_has_a_sample_here() -> None:
    assert set(SAMPLES) == set(INPUT_KINDS)


@pytest.mark.parametrize(("name", "source", "expected"), cases())
def test_it_is_the_first_to_know_its_sources(name: str, source: str, expected: Kind) -> None:
    assert next(each for each in INPUT_KINDS if kind(each).classify(source) is not None) == name
    assert kind(name).classify(source) == expected
    assert classify(source) == expected


@pytest.mark.parametrize(("name", "source", "expected"), [case for case in cases() if case[2] == "pictures"])
def test_it_lists_what_it_says_are_pictures(name: str, source: str, expected: Kind) -> None:
    assert next(each for each in INPUT_KINDS if kind(each).list_images(source, DirectoryScan()) is not None) == name
    group = kind(name).list_images(source, DirectoryScan())
    assert group is not None
    assert group.items
    assert group.folder is not None or len(group.items) == 1
    for item in group.items:
        assert not item.output_path.is_absolute()
        assert ".." not in item.output_path.parts
        assert pickle.loads(pickle.dumps(item)) == item
    if name not in ("stdin", "url"):
        assert all(item.read() == Path("photo").read_bytes() for item in group.items)
    listing = list_images([source], DirectoryScan())
    assert [item.name for item in listing.items] == [item.name for item in group.items]
    assert listing.is_batch == (group.folder is not None)


@pytest.mark.parametrize(("name", "source", "expected"), [case for case in cases() if case[2] == "live"])
def test_it_opens_what_it_says_is_live(name: str, source: str, expected: Kind) -> None:
    opened = live_kind(source)
    assert type(opened) is type(kind(name))
    # There is no such camera or server here: that it says so shows that it tried.
    with pytest.raises(InputError, match=r"camera|127\.0\.0\.1"):
        opened.open_live(source, None, None)


@pytest.mark.parametrize("name", INPUT_KINDS)
def test_other_sources_are_not_its_own(name: str) -> None:
    for source in ("missing.jpg", "no such thing", "missing/*.jpg"):
        assert kind(name).classify(source) is None
        assert kind(name).list_images(source, DirectoryScan()) is None


@pytest.mark.parametrize("name", INPUT_KINDS)
@pytest.mark.parametrize("source", ODD)
def test_an_odd_word_is_no_crash(name: str, source: str) -> None:
    if name == "folder" and source in ("/", ".."):
        pytest.skip("that is a folder")
    kind(name).classify(source)
    group = kind(name).list_images(source, DirectoryScan())
    assert group is None or group.items
