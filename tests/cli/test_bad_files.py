"""Models, labels and images as users have them: broken, of another kind, odd. One sentence each, and the right code."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn_cv.util.opencv import cv2
from tests.cli.conftest import Run, names_in, refusal, success
from tests.conftest import read_image

MakeFile = Callable[[Path, bytes], None]

PBTXT = b'node {\n  name: "image_tensor"\n  op: "Placeholder"\n}\n'


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        pytest.param("missing.pb", lambda graph: None, "there is no model file missing.pb", id="missing"),
        pytest.param("empty.pb", lambda graph: b"", "empty.pb is empty", id="empty"),
        pytest.param("half.pb", lambda graph: graph[: len(graph) // 2], "half.pb is", id="truncated"),
        pytest.param("noise.pb", lambda graph: np.random.default_rng(1).bytes(9999), "noise.pb is not", id="noise"),
        pytest.param("text.pb", lambda graph: PBTXT, "text.pb is a text graph", id="text-graph-named-pb"),
        pytest.param("graph.pbtxt", lambda graph: PBTXT, "graph.pbtxt is a text graph (.pbtxt)", id="pbtxt"),
        pytest.param(
            "model.h5", lambda graph: b"\x89HDF\r\n\x1a\n" + bytes(99), "model.h5 is a Keras file", id="keras"
        ),
        pytest.param("saved_model.pb", lambda graph: b"\x08\x01" + graph, "is a SavedModel", id="saved-model"),
        pytest.param("photo.pb", lambda graph: b"\x89PNG\r\n\x1a\n" + bytes(99), "photo.pb is not", id="picture"),
        pytest.param("zip.pb", lambda graph: b"PK\x03\x04" + bytes(99), "compressed archive: unpack it", id="archive"),
    ],
)
def test_bad_model(
    run: Run,
    tmp_path: Path,
    photo_path: Path,
    tiny_graph: Path,
    name: str,
    make: Callable[[bytes], bytes | None],
    says: str,
) -> None:
    content = make(tiny_graph.read_bytes())
    if content is not None:
        (tmp_path / name).write_bytes(content)
    message = refusal(run(photo_path, "--model", name), 3)
    assert name in message
    assert says in message
    assert not (tmp_path / "mrcnn-out").exists()


def test_model_folders(run: Run, tmp_path: Path, photo_path: Path, tiny_graph: Path, labels_path: Path) -> None:
    for folder in ("empty", "saved", "two"):
        (tmp_path / folder).mkdir()
    assert "the folder empty holds no frozen_inference_graph.pb" in refusal(run(photo_path, "--model", "empty"), 3)
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\x08\x01")
    assert "the folder saved holds a SavedModel" in refusal(run(photo_path, "--model", "saved"), 3)
    for name in ("a.pb", "b.pb"):
        shutil.copy(tiny_graph, tmp_path / "two" / name)
    assert "several models (a.pb, b.pb)" in refusal(run(photo_path, "--model", "two"), 3)
    (tmp_path / "two" / "a.pb").unlink()
    success(run(photo_path, "--model", "two", "--labels", labels_path))


def test_labels(find: Run, tmp_path: Path, photo_path: Path) -> None:
    assert "label file none.txt does not exist" in refusal(find(photo_path, "--labels", "none.txt"), 3)
    (tmp_path / "bad.pbtxt").write_text("item { id: }")
    assert "bad.pbtxt is not a valid label map" in refusal(find(photo_path, "--labels", "bad.pbtxt"), 3)
    (tmp_path / "few.txt").write_text("cup\n")
    few = success(find(photo_path, photo_path, "--labels", "few.txt"))
    assert few.stderr.count("warning: few.txt names 1 of the model's 3 classes") == 1
    # In the order of their scores.
    assert "(2 3, 2 cup)" in few.stderr
    success(find(photo_path, "--labels", "few.txt", "--classes", "3"))


def test_odd_labels_never_reach_the_terminal_raw(find: Run, tmp_path: Path, photo_path: Path) -> None:
    names = {"1": "\x1b[31mcup\x07\nsaucer", "2": "spoon", "3": "碗" * 3000}
    (tmp_path / "odd.json").write_text(json.dumps(names))
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    result = success(find(photo_path, "--labels", "odd.json", "--json", "-", env=env))
    assert not [byte for byte in result.stderr if ord(byte) < 32 and byte != "\n"]
    assert "(2 cup saucer, 2 碗碗" in result.stderr
    assert max(map(len, result.stderr.splitlines())) < 200
    assert len(result.stderr.splitlines()) == 2
    labels = {entry["label"] for entry in json.loads(result.stdout)["instances"]}
    assert labels == {"cup saucer", "碗" * 3000}
    assert read_image(tmp_path / "mrcnn-out" / "coffee.png").shape == (160, 240, 3)


def picture(kind: str = "JPEG", mode: str = "RGB", size: tuple[int, int] = (60, 40), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def test_every_bad_image_gets_a_sentence_and_the_others_are_done(find: Run, tmp_path: Path, photo_path: Path) -> None:
    whole = photo_path.read_bytes()
    bad = {
        "empty.jpg": (b"", "is empty"),
        "half.png": (whole[: len(whole) // 2], "is truncated"),
        "half.jpg": (picture()[:-300], "is truncated"),
        "note.jpg": (b"just a note\n", "is not an image: it seems to be a text file"),
        "noise.jpg": (np.random.default_rng(2).bytes(5000), "is not an image"),
        "thread.png": (picture("PNG", size=(3000, 1)), "crop it to a less extreme shape"),
        "film.jpg": (b"\0\0\0\x20ftypisom" + bytes(50), "it seems to be a video"),
    }
    for name, (content, _) in bad.items():
        (tmp_path / name).write_bytes(content)
    says = {name: words for name, (_, words) in bad.items()} | {
        "missing.jpg": "does not exist",
        "*.gif": "matches no file",
        "-": "standard input",
        "x" * 300 + ".png": "longer than this file system allows",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        says |= {"pipe": "is a device or a pipe", "/dev/zero": "is a device or a pipe"}
    result = find(photo_path, *says, photo_path, "--save", "json", "-q")
    assert result.returncode == 5
    *lines, last = result.stderr.splitlines()
    assert len(lines) == len(says)
    for line, (name, words) in zip(lines, says.items(), strict=True):
        assert line.startswith(f"mrcnn-cv: error: {name[:80]}")
        assert words in line
    assert last == f"mrcnn-cv: {len(says)} of {len(says) + 2} inputs failed, 2 done; results in mrcnn-out"
    assert names_in(tmp_path / "mrcnn-out") == {"coffee.png.json"}


def test_odd_images_are_done(find: Run, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    deep = np.linspace(0, 65535, 60 * 40, dtype=np.uint16).reshape(40, 60)
    contents = {
        "one.png": picture("PNG", size=(1, 1)),
        "grey.jpg": picture(mode="L"),
        "alpha.png": picture("PNG", mode="RGBA"),
        "cmyk.jpg": picture(mode="CMYK"),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "turned.jpg": picture(exif=exif),
        "strip.png": picture("PNG", size=(3000, 40)),
        "photo.webp": picture("WEBP"),
        "wrong-suffix.jpg": picture("PNG"),
        "large.jpg": picture(size=(4000, 3000)),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    # A threshold of nearly nothing, so that there is something to draw on each of them.
    result = success(find(*contents, "--score", "0.01", "--max-instances", "3", "--json", "-"))
    records = {record["source"]: record for record in map(json.loads, result.stdout.splitlines())}
    sizes = {name: (record["width"], record["height"]) for name, record in records.items()}
    assert sizes["turned.jpg"] == (40, 60)
    assert sizes["one.png"] == (1, 1)
    assert sizes["strip.png"] == (3000, 40)
    assert sizes["large.jpg"] == (4000, 3000)
    assert names_in(tmp_path / "mrcnn-out") == set(contents)
    for name, (width, height) in sizes.items():
        assert read_image(tmp_path / "mrcnn-out" / name).shape == (height, width, 3)


def test_image_over_opencvs_limit(find: Run, photo_path: Path) -> None:
    result = find(photo_path, env={"OPENCV_IO_MAX_IMAGE_PIXELS": "1000"})
    assert result.returncode == 5
    lines = result.stderr.splitlines()
    assert "has more pixels (240 x 160) than are read" in lines[0]
    assert "OPENCV_IO_MAX_IMAGE_PIXELS" in lines[0]
    assert lines[1:] == ["mrcnn-cv: 1 of 1 input failed, 0 done"]
