"""What every format of --save promises, and what comes back out of it."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest
from PIL import Image

from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.base import DatasetFormat, ImageFormat, OutputSettings
from mrcnn_cv.outputs.registry import FORMATS, make_datasets, make_sinks
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.masks import LocalMask
from mrcnn_cv.structures.polygons import polygons as mask_polygons
from mrcnn_cv.util import filenames
from tests.conftest import ROOT
from tests.outputs.formats.readers import READERS, Found
from tests.outputs.formats.scenes import (
    HEIGHT,
    WIDTH,
    Mask,
    Scene,
    disc,
    export,
    frames,
    picture,
    rectangle,
    scenes,
)

# Without pyarrow, which is an extra, test_parquet.py is skipped and says so.
EVERY = [name for name in FORMATS if name != "parquet" or importlib.util.find_spec("pyarrow")]
WHOLE = [name for name in EVERY if name in READERS]
DOCUMENT = ROOT / "docs" / "formats.md"
PER_INSTANCE = ("binary", "cutouts", "crops")
OUTLINED = [("coco", True), ("labelme", True), ("cvat", True)]


def files(folder: Path) -> dict[str, bytes]:
    """The visible files below a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def only(found: Found, place: str) -> list[tuple[str, Mask]]:
    """The instances of one image, under whichever of its names the format uses."""
    stem = os.path.splitext(place)[0]
    for key in (place, stem, stem.replace("/images/", "/images~/")):
        if key in found:
            return found[key]
    return []


def same(instances: list[tuple[str, Mask]], wanted: list[tuple[str, Mask]]) -> None:
    assert [label for label, _ in instances] == [label for label, _ in wanted]
    for (label, mask), (_, expected) in zip(instances, wanted, strict=True):
        assert np.array_equal(mask, expected), label


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("special", scenes())
def test_any_result_is_written_and_written_again(tmp_path: Path, name: str, special: str) -> None:
    scene = scenes()[special]
    pictures = frames(tmp_path / "in", [scene])
    before = files(tmp_path / "in")
    export(name, tmp_path / "out", pictures, [scene])
    first = files(tmp_path / "out")
    export(name, tmp_path / "out", pictures, [scene])
    again = files(tmp_path / "out")
    assert first == again
    assert files(tmp_path / "in") == before
    # A file for each instance: where there is none, there is no folder.
    is_empty = name in PER_INSTANCE and special == "nothing"
    assert sorted(path.name for path in tmp_path.iterdir()) == (["in"] if is_empty else ["in", "out"])
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(("name", "polygons"), [*((name, False) for name in WHOLE), *OUTLINED])
@pytest.mark.parametrize("special", scenes())
def test_every_mask_comes_back(tmp_path: Path, name: str, special: str, polygons: bool) -> None:
    scene = scenes()[special]
    export(name, tmp_path / "out", frames(tmp_path / "in", [scene]), [scene], polygons=polygons)
    found = only(READERS[name](tmp_path / "out"), "1" if name == "coco-results" else scene.place)
    wanted = scene.expected()
    if name in ("json", "jsonl", "csv", "parquet", "coco", "coco-results", "binary"):
        found = [each for each in found if each[1].any()]
    if name == "binary":
        wanted = [(filenames.file_name(label), mask) for label, mask in wanted]
    if special == "boxes" and name in ("labelme", "cvat"):
        found = [each for each in found if each[1].any()]
    if name == "yolo":
        # An outline of several parts has bridges between them: see below.
        single = [len(mask_polygons(LocalMask(0, 0, mask))) == 1 for _, mask in wanted]
        assert len(found) == len(wanted)
        assert all((mask >= expected).all() for (_, mask), (_, expected) in zip(found, wanted, strict=True))
        found, wanted = ([each for each, one in zip(some, single, strict=True) if one] for some in (found, wanted))
    same(found, wanted)


def test_parts_in_one_outline_differ_by_the_pixels_of_their_bridges(tmp_path: Path) -> None:
    scene = scenes()["parts"]
    export("yolo", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    (_, mask), _ = only(READERS["yolo"](tmp_path / "out"), scene.place)
    (_, expected), _ = scene.expected()
    assert (mask >= expected).all()
    # The gaps are 9 and 25 pixels wide.
    assert np.count_nonzero(mask & ~expected) <= 40


@pytest.mark.parametrize("name", ["coco", "labelme", "cvat", "yolo"])
def test_small_parts_are_dropped_but_never_the_largest(tmp_path: Path, name: str) -> None:
    scene = scenes()["speck"]
    export(name, tmp_path / "out", frames(tmp_path / "in", [scene]), [scene], polygons=True, min_area=10)
    found = only(READERS[name](tmp_path / "out"), scene.place)
    same(found, [("person", disc(10, 10, 8)), ("person", rectangle(46, 1, 47, 3))])


@pytest.mark.parametrize("name", WHOLE)
def test_places_are_kept_and_names_that_clash_are_told_apart(tmp_path: Path, name: str) -> None:
    places = ["a/01.jpg", "b/01.jpg", "b/01.png", "b/东京 ü.jpg", "B/01.JPG"]
    some = [Scene(place, [(1, disc(8 + 6 * index, 20, 6))]) for index, place in enumerate(places)]
    export(name, tmp_path / "out", frames(tmp_path / "in", some), some)
    found = READERS[name](tmp_path / "out")
    assert len(found) == len(places)
    masks = {mask.tobytes() for instances in found.values() for _, mask in instances}
    assert masks == {mask.tobytes() for scene in some for _, mask in scene.expected()}
    same(only(found, "1" if name == "coco-results" else "a/01.jpg"), some[0].expected())


@pytest.mark.parametrize("name", EVERY)
def test_pictures_without_a_file_of_their_own(tmp_path: Path, name: str) -> None:
    scene = scenes()["borders"]
    (frame,) = frames(tmp_path / "in", [scene])
    frame = replace(frame, path=None, name="photos.zip!/borders.jpg")
    export(name, tmp_path / "out", [frame], [scene])
    if name in READERS:
        found = only(READERS[name](tmp_path / "out"), "1" if name == "coco-results" else scene.place)
        wanted = [(filenames.file_name(label) if name == "binary" else label, mask) for label, mask in scene.expected()]
        same(found, wanted)


@pytest.mark.parametrize("name", EVERY)
def test_labels_and_names_with_anything_in_them(tmp_path: Path, name: str) -> None:
    labels = {1: "a\nb\tc\r\x01: #'\"&<>]]>,{}", 2: "\udce9 \u2028 \x85 犬 \U0001f415", 3: "../../etc", 4: " - "}
    some = [Scene(f"{number}.jpg", [(number, disc(20, 20, 9))], labels=labels) for number in labels]
    some[0].place = "x\ny.jpg"
    some[1].place = os.fsdecode(b"caf\xe9.jpg")
    pictures = frames(tmp_path / "in", some)
    export(name, tmp_path / "out", pictures, some, labels=labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    if name in READERS:
        found = READERS[name](tmp_path / "out")
        assert len(found) == len(some)
        for instances in found.values():
            ((label, mask),) = instances
            assert np.array_equal(mask, disc(20, 20, 9))
            if name not in ("coco-results", "binary"):
                spelled = {text.encode("utf-8", "backslashreplace").decode() for text in labels.values()}
                spelled |= {text.replace("\x01", "\\x01") for text in spelled} | set(labels.values())
                assert label in spelled


@pytest.mark.parametrize("name", ["masks", "semantic"])
def test_numbers_of_instances_and_classes(tmp_path: Path, name: str) -> None:
    scene = scenes()["overlap"]
    export(name, tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    first, second, third = (mask for _, mask in scene.expected())
    numbers = (1, 2, 3) if name == "masks" else (1, 2, 1)
    wanted = np.select([first, second, third], numbers)
    with Image.open(tmp_path / "out" / name / "overlap.png") as image:
        assert image.mode == ("I;16" if name == "masks" else "P")
        assert np.array_equal(np.asarray(image), wanted)


def test_classes_beyond_a_byte_make_a_grey_image(tmp_path: Path) -> None:
    labels = {number: str(number) for number in range(1, 302)}
    scene = Scene("a.jpg", [(300, disc(20, 20, 9)), (2, disc(40, 40, 5))], labels=labels)
    export("semantic", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene], labels=labels)
    with Image.open(tmp_path / "out" / "semantic" / "a.png") as image:
        assert image.mode == "I;16"
        assert np.array_equal(np.asarray(image), np.select([disc(20, 20, 9), disc(40, 40, 5)], [300, 2]))


def test_classes_have_the_colours_of_the_overlay(tmp_path: Path) -> None:
    from mrcnn_cv.drawing.colors import color

    scene = Scene("a.jpg", [(90, disc(20, 20, 9))])
    export("semantic", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    with Image.open(tmp_path / "out" / "semantic" / "a.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert tuple(pixels[20, 20, ::-1]) == color(90)
    assert tuple(pixels[0, 0]) == (0, 0, 0)


@pytest.fixture
def boxed() -> Scene:
    """Boxes within, across and beyond the picture's border, and an empty one."""
    return Scene("a.png", boxes=[(3.4, 2.2, 30.1, 40.7), (60.5, 40, 70, 50), (5, 5, 5, 5), (80, 80, 90, 90)])


@pytest.mark.parametrize("name", ["crops", "cutouts"])
def test_boxes_are_cut_out(tmp_path: Path, name: str, boxed: Scene) -> None:
    export(name, tmp_path / "out", frames(tmp_path / "in", [boxed]), [boxed])
    assert sorted(files(tmp_path / "out" / name)) == ["a/001-person.png", "a/002-person.png"]
    with Image.open(tmp_path / "out" / name / "a" / "001-person.png") as image:
        pixels = np.asarray(image)
    assert pixels.shape == (39, 28, 4 if name == "cutouts" else 3)
    rows, columns = (slice(2, 41), slice(3, 30)) if name == "cutouts" else (slice(2, 41), slice(3, 31))
    wanted = picture()[rows, columns, ::-1]
    assert np.array_equal(pixels[: wanted.shape[0], : wanted.shape[1], :3], wanted)
    if name == "cutouts":
        assert (pixels[:, :27, 3] == 255).all()
        assert (pixels[:, 27] == 0).all()


def test_a_box_of_no_numbers_has_whole_numbers_in_voc(tmp_path: Path) -> None:
    scene = Scene("a.png", boxes=[(float("nan"), 2.2, float("inf"), 40.7)])
    export("voc", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    text = (tmp_path / "out" / "voc" / "Annotations" / "a.xml").read_text(encoding="utf-8")
    corners = {name: int(value) for name, value in re.findall(r"<([xy](?:min|max))>(\d+)</", text)}
    assert corners == {"xmin": 1, "ymin": 3, "xmax": WIDTH, "ymax": 41}


@pytest.mark.parametrize("soft", [False, True])
def test_cutouts_show_the_mask_and_nothing_else(tmp_path: Path, soft: bool) -> None:
    mask = disc(24, 0, 20)
    scene = Scene("a.jpg", [(1, mask)])
    export("cutouts", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene], soft_edges=soft)
    with Image.open(tmp_path / "out" / "cutouts" / "a" / "001-person.png") as image:
        pixels = np.asarray(image)
    assert np.array_equal(pixels[..., 3] > 0, mask)
    assert (pixels[~mask] == 0).all()
    assert np.array_equal(pixels[mask][:, :3], picture()[mask][:, ::-1])
    # The middle of the picture's border is inside of the instance as far as one can tell.
    assert pixels[24, 0, 3] == 255
    assert (len(np.unique(pixels[..., 3])) > 2) == soft


def test_crops_of_a_jpeg_are_jpegs(tmp_path: Path) -> None:
    scene = Scene("a.JPG", [(2, disc(20, 20, 5))])
    export("crops", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    assert list(files(tmp_path / "out")) == ["crops/a/001-traffic light.jpg"]


@pytest.mark.parametrize("name", ["binary", "cutouts", "crops"])
def test_files_of_instances_that_there_are_no_more_are_removed(tmp_path: Path, name: str) -> None:
    scene = Scene("a.png", [(1, disc(20, 20, 9)), (2, disc(30, 30, 9)), (1, disc(9, 9, 5))])
    pictures = frames(tmp_path / "in", [scene])
    export(name, tmp_path / "out", pictures, [scene])
    users = tmp_path / "out" / name / "a" / "notes.txt"
    users.write_text("mine")
    (tmp_path / "out" / name / "a" / "003-person.png").write_bytes(b"painted over by hand")
    export(name, tmp_path / "out", pictures, [replace(scene, instances=scene.instances[:1])])
    assert sorted(files(tmp_path / "out" / name)) == ["a/001-person.png", "a/003-person.png", "a/notes.txt"]


@pytest.mark.parametrize(("name", "below"), [("yolo", "images"), ("voc", "JPEGImages")])
def test_picture_files_are_linked_and_never_changed(tmp_path: Path, name: str, below: str) -> None:
    places = ["a.jpg", "b.jfif", "c/d.png", "e.ppm", "f.tif"]
    some = [Scene(place, [(1, disc(20, 20, 9))]) for place in places]
    pictures = frames(tmp_path / "in", [replace(scene, place=scene.place.replace("jfif", "jpg")) for scene in some])
    (tmp_path / "in" / "b.jpg").rename(tmp_path / "in" / "b.jfif")
    pictures[1] = replace(pictures[1], path=tmp_path / "in" / "b.jfif", output_path=PurePosixPath("b.jfif"))
    before = files(tmp_path / "in")
    for _ in range(2):
        export(name, tmp_path / "out", pictures, some)
    folder = tmp_path / "out" / name / below
    assert sorted(files(folder)) == ["a.jpg", "b.jpg", "c/d.png", "e.png", "f.tif"]
    assert (folder / "a.jpg").samefile(tmp_path / "in" / "a.jpg")
    with Image.open(folder / "e.png") as image:
        assert np.array_equal(np.asarray(image)[..., ::-1], picture())
    assert files(tmp_path / "in") == before
    # A new image under an old name takes its place.
    (tmp_path / "in" / "a.jpg").unlink()
    (tmp_path / "in" / "a.jpg").write_bytes(before["f.tif"])
    export(name, tmp_path / "out", pictures, some)
    assert (folder / "a.jpg").read_bytes() == before["f.tif"]


@pytest.mark.parametrize(("name", "below"), [("yolo", "images"), ("voc", "JPEGImages")])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pictures_that_lie_on_their_side_are_set_upright(
    tmp_path: Path, name: str, below: str, suffix: str, orientation: int
) -> None:
    """Many readers of data sets ignore the orientation in a picture's EXIF data."""
    scene = Scene(f"a{suffix}", [(1, disc(20, 20, 9))])
    pictures = frames(tmp_path / "in", [scene])
    exif = Image.Exif()
    exif[0x0112] = orientation
    with Image.open(tmp_path / "in" / scene.place) as image:
        image.load()
        image.save(tmp_path / "in" / scene.place, exif=exif)
    export(name, tmp_path / "out", pictures, [scene])
    path = tmp_path / "out" / name / below / scene.place
    file = str(tmp_path / "in" / scene.place)
    as_seen, as_stored = (
        np.asarray(cv2.imread(file, cv2.IMREAD_COLOR | more)) for more in (0, cv2.IMREAD_IGNORE_ORIENTATION)
    )
    is_applied = not np.array_equal(as_seen, as_stored)  # not to PNGs by old OpenCV
    if orientation == 1:
        assert path.samefile(file)
    elif suffix == ".jpg" or is_applied:
        with Image.open(path) as image:
            assert image.size == (WIDTH, HEIGHT)
            assert image.getexif().get(0x0112, 1) == 1
            assert np.abs(np.asarray(image)[..., ::-1].astype(int) - picture()).mean() < 3


@pytest.mark.parametrize("name", ["yolo", "voc"])
def test_pictures_are_copied_where_there_are_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def cannot(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", cannot)
    scene = Scene("a.jpg", [(1, disc(20, 20, 9))])
    for _ in range(2):
        export(name, tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    (copy,) = (tmp_path / "out").rglob("a.jpg")
    assert copy.read_bytes() == (tmp_path / "in" / "a.jpg").read_bytes()
    assert not copy.samefile(tmp_path / "in" / "a.jpg")


def test_a_picture_of_the_users_is_not_replaced(tmp_path: Path) -> None:
    scene = Scene("a.jpg", [(1, disc(20, 20, 9))])
    users = tmp_path / "out" / "yolo" / "images" / "a.jpg"
    users.parent.mkdir(parents=True)
    users.write_bytes(b"mine")
    with pytest.raises(OutputError, match="allow overwriting"):
        export("yolo", tmp_path / "out", frames(tmp_path / "in", [scene]), [scene])
    assert users.read_bytes() == b"mine"


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_its_place_in_the_documentation(name: str) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    # With or without a link to its section.
    assert re.search(rf"\| \[?`{name}`(\]\(#.*\))? \|", text)


def test_every_format_is_of_one_of_two_kinds_and_no_two_files_have_one_name() -> None:
    datasets = make_datasets(EVERY, OutputSettings({}, ""))
    images = [name for name in EVERY if issubclass(FORMATS[name], ImageFormat)]
    assert len(images) + len(datasets) == len(EVERY)
    assert all(isinstance(made, DatasetFormat) for made in datasets)
    assert len({made.name for made in datasets}) == len(datasets)


@pytest.mark.parametrize("name", EVERY)
def test_making_one_writes_nothing(tmp_path: Path, name: str) -> None:
    """The files of a run appear when it has something to write."""
    make_sinks([name], OutputDirectory(tmp_path / "out"), OutputSettings({1: "cup"}, "model.pb"))
    make_datasets([name], OutputSettings({1: "cup"}, "model.pb"))
    assert not list(tmp_path.iterdir())
