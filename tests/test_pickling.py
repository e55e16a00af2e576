"""What travels between processes: models, nets, answers, and images that are still to be read."""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

import numpy as np
import pytest

from mrcnn_cv import MaskRCNN
from mrcnn_cv.errors import InputError
from mrcnn_cv.hub.registry import demo_model
from mrcnn_cv.importers.load import open_model
from mrcnn_cv.inputs.image_ref import ImageRef, failed_ref
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.structures.instances import Instances
from tests.support.parity import Image

Value = TypeVar("Value")

NAMES = ("b.jpg", "a.jpg")


def again(value: Value) -> Value:
    result: Value = pickle.loads(pickle.dumps(value))
    return result


def check_same(found: Any, expected: Any) -> None:
    """Two values are equal in every field and every array, and in their types."""
    assert type(found) is type(expected)
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    elif dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            # A pickle holds the weights, not the file that they are views of.
            if field.name != "source":
                check_same(getattr(found, field.name), getattr(expected, field.name))
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            check_same(one, other)
    else:
        assert found == expected


def test_the_check_sees_a_weight_that_differs() -> None:
    net = open_model(demo_model()).definition.box_head
    layer = next(each for each in net if any(isinstance(value, np.ndarray) for value in vars(each).values()))
    name, weights = next(each for each in vars(layer).items() if isinstance(each[1], np.ndarray))
    changed = weights.copy()
    changed.flat[-1] += 1
    layers = [dataclasses.replace(each, **{name: changed}) if each is layer else each for each in net]
    with pytest.raises(AssertionError):
        check_same(again(dataclasses.replace(net, layers=tuple(layers))), net)


def test_a_model_and_its_nets() -> None:
    spec = open_model(demo_model()).definition
    assert spec.mask_head is not None
    check_same(again(spec), spec)
    for net in (spec.trunk, spec.box_head, spec.mask_head):
        assert net.source is not None
        other = again(net)
        assert other.source is None
        check_same(other, net)


def test_a_model_whose_file_is_gone(tiny_graph: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pb"
    path.write_bytes(tiny_graph.read_bytes())
    packed = pickle.dumps(open_model(path).definition)
    path.unlink()
    check_same(pickle.loads(packed), open_model(tiny_graph).definition)


def test_instances(tiny_model: MaskRCNN, photo: Image) -> None:
    found = tiny_model.predict(photo, score_threshold=0.1)
    assert len(found)
    assert found.mask_probabilities is not None
    assert found.timings_ms
    found.source, found.frame, found.time = "clip.mp4", 7, 0.28
    found.track_ids = np.arange(len(found), dtype=np.int32)
    found.trails = [np.zeros((2, 2), np.float32) for _ in range(len(found))]
    found.totals = {"circle": 3}
    other = again(found)
    check_same(other, found)
    assert isinstance(other, Instances)
    np.testing.assert_array_equal(other.full_mask(0), found.full_mask(0))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the same two "pictures" in everything that holds some; what they hold is their name."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for name in NAMES:
        Path("photos", name).write_bytes(b"\xff\xd8\xff" + name.encode())
    with zipfile.ZipFile("photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in NAMES:
            archive.write(f"photos/{name}", name)
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        with tarfile.open(f"photos.tar{mode[1:].replace(':', '.')}", mode) as tar:
            for name in NAMES:
                tar.add(f"photos/{name}", name)
    Path("list.txt").write_text("photos/b.jpg\nphotos/a.jpg\n")
    return tmp_path


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of a server that answers with the last part of the path that it is asked for."""
    monkeypatch.setenv("no_proxy", "*")

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = b"\xff\xd8\xff" + self.path.rpartition("/")[2].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


SOURCES = {
    "file": "photos/a.jpg",
    "folder": "photos",
    "pattern": "photos/*.jpg",
    **{kind: f"photos.{kind}" for kind in ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")},
}


def check_items(items: list[ImageRef], others: list[ImageRef]) -> None:
    assert items
    assert others == items
    assert [each.path for each in others] == [each.path for each in items]
    assert [each.read() for each in others] == [each.read() for each in items]
    assert all(each.read() == b"\xff\xd8\xff" + each.output_path.name.encode() for each in others)


@pytest.mark.parametrize("kind", SOURCES)
def test_pictures_of_every_kind_of_source(kind: str, desk: Path) -> None:
    items = list(list_images([SOURCES[kind]], DirectoryScan()).items)
    assert len(items) == (1 if kind == "file" else 2)
    check_items(items, again(items))
    # One by one.
    check_items(items, [again(item) for item in items])


def test_pictures_of_a_list(desk: Path) -> None:
    items = list(list_images([], DirectoryScan(), [Path("list.txt")]).items)
    check_items(items, again(items))


def test_pictures_on_the_web(address: str) -> None:
    items = list(list_images([f"{address}/a.jpg", f"{address}/deep/b.jpg"], DirectoryScan()).items)
    check_items(items, again(items))


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = again(list_images(["-"], DirectoryScan()).items)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"bytes")))
    assert item.read() == b"bytes"


def test_what_cannot_be_read_keeps_its_sentence(desk: Path) -> None:
    Path("empty").mkdir()
    items = [
        failed_ref("x", PurePosixPath("x"), InputError("x is of no use")),
        *list_images(["empty", "missing.jpg"], DirectoryScan()).items,
    ]
    for item in items:
        with pytest.raises(InputError) as first:
            item.read()
        with pytest.raises(InputError) as second:
            again(item).read()
        assert str(second.value) == str(first.value)
        assert str(first.value).startswith(item.name)


def test_another_process_reads_them(desk: Path) -> None:
    """In its own files: nothing that is open here comes along."""
    items = list(list_images([source for kind, source in SOURCES.items() if kind != "pattern"], DirectoryScan()).items)
    (desk / "items").write_bytes(pickle.dumps(items))
    code = (
        "import pickle, sys\n"
        "items = pickle.load(open('items', 'rb'))\n"
        "good = [each.read() == b'\\xff\\xd8\\xff' + each.name.rpartition('/')[2].encode() for each in items]\n"
        "print(all(good), len(good))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ.copy())
    assert done.stdout == f"True {len(items)}\n", done.stderr


@pytest.mark.parametrize("name", ["photos.zip", "photos.tar", "photos.tar.gz"])
def test_an_archive_that_was_changed_meanwhile_says_so(name: str, desk: Path) -> None:
    packed = pickle.dumps(list_images([name], DirectoryScan()).items)
    data = Path(name).read_bytes()
    os.replace(name, "before")
    code = (
        "import pickle, sys\nfrom mrcnn_cv.errors import InputError\n"
        "try:\n    pickle.load(sys.stdin.buffer)[0].read()\nexcept InputError as error:\n    print(error)"
    )

    def told() -> str:
        return subprocess.run(
            [sys.executable, "-c", code], input=packed, capture_output=True, check=True
        ).stdout.decode()

    assert "cannot be read: photos" in told()
    Path(name).write_bytes(data + bytes(1024))
    assert told().endswith("cannot be read: the archive was changed after its images were listed\n")
