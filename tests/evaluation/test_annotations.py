"""Annotation files: what is right is read, what is wrong ends with a sentence, whatever a stranger wrote into them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools import mask as coco_mask

from mrcnn_cv.errors import InputError
from mrcnn_cv.evaluation import annotations as annotation_files
from mrcnn_cv.evaluation.annotations import read_dataset
from mrcnn_cv.evaluation.scores import CocoEvaluator
from tests.evaluation.datasets import HEIGHT, WIDTH, Data, dataset, polygon, written

Change = Callable[[Data], Any]


def test_a_data_set_is_read(tmp_path: Path) -> None:
    found = read_dataset(written(tmp_path, dataset()))
    assert [(each.id, each.name, each.width, each.height) for each in found.images] == [
        (1, "1.png", WIDTH, HEIGHT),
        (2, "2.png", WIDTH, HEIGHT),
    ]
    assert found.categories == {1: "cup", 2: "spoon", 3: "plate"}
    assert [each.box for each in found.annotations] == [
        (2, 3, 20, 10),
        (30, 5, 12, 24),
        (8, 8, 16, 16),
        (40, 2, 10, 30),
    ]
    assert found.has_masks


def test_box_and_area_are_those_of_the_mask_where_they_are_missing(tmp_path: Path) -> None:
    data = dataset()
    boxes = [each.pop("bbox") for each in data["annotations"]]
    areas = [each.pop("area") for each in data["annotations"]]
    found = read_dataset(written(tmp_path, data))
    assert [list(each.box) for each in found.annotations] == boxes
    assert [each.area for each in found.annotations] == areas


def test_run_lengths_as_numbers_are_a_mask(tmp_path: Path) -> None:
    data = dataset()
    # The first column, from the third pixel on.
    data["annotations"][0] |= {"segmentation": {"size": [HEIGHT, WIDTH], "counts": [2, 38, (WIDTH - 1) * HEIGHT]}}
    del data["annotations"][0]["bbox"], data["annotations"][0]["area"]
    found = read_dataset(written(tmp_path, data)).annotations[0]
    assert (found.box, found.area) == ((0, 2, 1, 38), 38)


def test_annotations_without_masks_are_boxes(tmp_path: Path) -> None:
    data = dataset()
    data["annotations"][1]["segmentation"] = []
    assert not read_dataset(written(tmp_path, data)).has_masks


def _set(key: str, index: int, field: str, value: Any) -> Change:
    return lambda data: data[key][index].update({field: value})


def _drop(key: str, index: int, field: str) -> Change:
    return lambda data: data[key][index].pop(field)


def _mask(value: Any) -> Change:
    return _set("annotations", 1, "segmentation", value)


def _counts(counts: Any) -> Change:
    return _mask({"size": [HEIGHT, WIDTH], "counts": counts})


def _size(width: int, height: int) -> Change:
    return lambda data: data["images"][0].update(width=width, height=height)


WRONG: list[tuple[Change, str]] = [
    (lambda data: data.pop("images"), "has no images"),
    (lambda data: data.pop("annotations"), "has no annotations"),
    (lambda data: data.pop("categories"), "has no categories"),
    (lambda data: data.update(annotations=[]), "has no annotations, so there is nothing to compare with"),
    (lambda data: data.update(images=[]), "names no images"),
    (lambda data: data.update(images={"id": 1}), "its images are not a list of objects"),
    (lambda data: data.update(categories=["cup"]), "its categories are not a list of objects"),
    (_set("images", 1, "id", 1), "has the image id 1 twice"),
    (_set("categories", 1, "id", 1), "has the category id 1 twice"),
    (_set("images", 0, "id", "one"), "must be a whole number, not 'one'"),
    (_set("images", 0, "id", 10**400), "the id of image number 1 must be a whole number"),
    (_set("images", 0, "id", True), "must be a whole number, not True"),
    (_set("images", 1, "file_name", "1.png"), "has the image '1.png' twice"),
    (_drop("images", 0, "file_name"), "has no file_name for image 1"),
    (_set("images", 0, "file_name", "/etc/passwd"), "names an image outside of its folder"),
    (_set("images", 0, "file_name", "a/../../b.png"), "names an image outside of its folder"),
    (_set("images", 0, "file_name", "a\0.png"), "has no file_name for image 1"),
    (_set("images", 0, "width", 0), "the width of image 1 must lie between 1 and"),
    (_set("images", 0, "height", 1 << 40), "the height of image 1 must lie between 1 and"),
    (_size(1 << 16, 1 << 16), "image 1 has 65536 x 65536 pixels, more than any that is read"),
    (_drop("images", 0, "width"), "the width of image 1 must be a whole number, not None"),
    (_drop("categories", 2, "name"), "has no name for the category 3"),
    (_set("annotations", 2, "image_id", 7), "has no image 7, which annotation 2 belongs to"),
    (_set("annotations", 2, "category_id", 7), "has no category 7, which annotation 2 belongs to"),
    (_set("annotations", 2, "bbox", [1, 2, 3]), "is not a list of four numbers"),
    (_set("annotations", 2, "bbox", [1, 2, -3, 4]), "negative size"),
    (_set("annotations", 2, "bbox", [1, 2, "3", 4]), "must be a number, not '3'"),
    (_set("annotations", 2, "area", "large"), "the area of annotation 2 must be a number"),
    (_mask("mask.png"), "neither polygons nor run lengths"),
    (_mask([[1, 2, 3, 4]]), "a polygon has 4 numbers"),
    (_mask([[1, 2, 3, 4, 5, "6"]]), "a corner of a polygon is not a number"),
    (_mask([[1, 2, 3, 4, 5, [6]]]), "a corner of a polygon is not a number"),
    (_mask([[1, 2, 3, 4, 5, 10**400]]), "a corner of a polygon is not a number"),
    (_mask(polygon(0, 0, 1e9, 1e9)), "reaches far beyond the image of 60 x 40 pixels"),
    (_mask([[0, 0, 60, 40, 0, 40] * 60_000]), "its outline is longer than"),
    (_mask([[0, 0, 60, 40, 0, 40] * 200]), "its outline is longer than 20,000 pixels"),
    (_mask({"counts": "abc"}), "without their size"),
    (_mask({"size": [WIDTH, HEIGHT], "counts": [2400]}), "its size is 40 x 60, but that of the image 60 x 40"),
    (_mask({"size": [HEIGHT, WIDTH]}), "without their counts"),
    (_counts([100, 100]), "do not fill the image"),
    (_counts([2400, 100]), "do not fill the image"),
    (_counts([-5, 2405]), "not a whole number of pixels"),
    (_counts([1 << 70]), "not a whole number of pixels"),
    (_counts([1.5]), "not a whole number of pixels"),
    (_counts("04\x00"), "characters that do not occur"),
    (_counts("é"), "characters that do not occur"),
    (_counts("oooo"), "cut off"),
    (_counts("o" * 40 + "0"), "not a whole number of pixels"),
    (_counts("0" * 5), "do not fill the image"),
    (_counts("ooooo0"), "longer than the image"),
]


@pytest.mark.parametrize(("change", "says"), WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, change: Change, says: str) -> None:
    data = dataset()
    change(data)
    path = written(tmp_path, data)
    with pytest.raises(InputError) as caught:
        read_dataset(path)
    assert str(caught.value).startswith(str(path))
    assert says in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\xff", "is not JSON"),
        (b'{"images": NaN}', "NaN is no number of JSON"),
        (b"[" * 200_000, "nested far too deeply"),
        (b"9" * 100_000, "is not"),
        (b"[]", "is a list, as files of results are"),
        (b"3", "is not a data set in COCO's format"),
    ],
)
def test_what_is_no_data_set_is_said(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "annotations.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=says):
        read_dataset(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, dataset())
    monkeypatch.setattr(annotation_files, "MAX_BYTES", 100)
    with pytest.raises(InputError, match="split it"):
        read_dataset(path)


def test_a_file_that_is_not_there_or_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        read_dataset(tmp_path / "missing.json")
    with pytest.raises(InputError, match="is a folder"):
        read_dataset(tmp_path)


def test_damaged_run_lengths_never_reach_the_library(tmp_path: Path) -> None:
    """Whatever text stands there: it is refused, or fills the image and is accepted."""
    numbers = random.Random(0)
    whole = dataset()["annotations"][1]["segmentation"]["counts"]
    accepted = 0
    for _ in range(300):
        data = dataset()
        text = list(whole)
        for _ in range(numbers.randint(1, 3)):
            text[numbers.randrange(len(text))] = chr(numbers.randint(48, 111))
        data["annotations"][1]["segmentation"]["counts"] = "".join(text)
        try:
            found = read_dataset(written(tmp_path, data))
        except InputError as error:
            check_sentence(error)
            continue
        evaluator = CocoEvaluator(found, {1, 2}, [1, 2, 3])
        read = found.annotations[1].segmentation
        assert read is not None
        assert coco_mask.area(evaluator.truth.annToRLE(evaluator.truth.loadAnns([2])[0])) == read.area
        accepted += 1
    assert 0 < accepted < 300


def check_sentence(error: InputError) -> None:
    assert "annotations.json" in str(error)
    assert str(error).isprintable()


def test_random_changes_of_any_value_are_sentences_or_read(tmp_path: Path) -> None:
    numbers = random.Random(1)
    values: list[Any] = [None, -1, 0, 1e300, "", "x", [], {}, [[]], [None], True, 1 << 60, [[0, 0] * 3], {"size": 3}]

    def places(value: Any) -> list[tuple[Any, Any]]:
        inner = list(value.items()) if isinstance(value, dict) else list(enumerate(value))
        found = [(value, key) for key, _ in inner]
        return found + [each for _, child in inner if isinstance(child, dict | list) for each in places(child)]

    accepted = 0
    for _ in range(400):
        data = dataset()
        holder, key = numbers.choice(places(data))
        holder[key] = numbers.choice(values)
        path = tmp_path / "annotations.json"
        path.write_text(json.dumps(data))
        try:
            found = read_dataset(path)
        except InputError as error:
            check_sentence(error)
            continue
        accepted += 1
        evaluator = CocoEvaluator(found, {each.id for each in found.images}, list(found.categories))
        for row in evaluator.truth.dataset["annotations"]:
            if "segmentation" in row:
                coco_mask.area(evaluator.truth.annToRLE(row))
    assert 0 < accepted < 400
