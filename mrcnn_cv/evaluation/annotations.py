"""A data set in COCO's format: what an annotation file says, checked to the last number before anything relies on it.

The format: cocodataset.org/#format-data, "Object Detection".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from mrcnn_cv.errors import InputError
from mrcnn_cv.evaluation.segmentations import Segmentation, check_segmentation
from mrcnn_cv.inputs.images.files import why_unreadable
from mrcnn_cv.util import files

MAX_BYTES = 1 << 31
"""COCO's own file for training has 0.45 GB; in memory a file takes ten times as much."""

MAX_SIDE = 1 << 20

MAX_PIXELS = 1 << 30
"""Of an image; pycocotools counts them in 32 bits."""

MAX_SHOWN = 60
"""Characters of a value that a message quotes."""

Row = dict[str, Any]


@dataclass(frozen=True)
class DatasetImage:
    """One of "images". `name`: its path below the folder of the images."""

    id: int
    name: str
    width: int
    height: int


@dataclass(frozen=True)
class Annotation:
    """One of "annotations".

    box           x, y, width, height in pixels
    area          in pixels; what counts as small, medium and large
    segmentation  polygons or run lengths; None where there is none
    """

    image: int
    category: int
    box: tuple[float, float, float, float]
    area: float
    is_crowd: bool
    segmentation: Segmentation | None


@dataclass(frozen=True)
class Dataset:
    """What a file says, in its order. categories: id → name."""

    path: Path
    images: tuple[DatasetImage, ...]
    categories: dict[int, str]
    annotations: tuple[Annotation, ...]

    @property
    def has_masks(self) -> bool:
        """Whether every annotation has a mask."""
        return all(annotation.segmentation is not None for annotation in self.annotations)


def read_dataset(path: Path) -> Dataset:
    """The data set in a file; InputError, one sentence, where it is not one or says what cannot be."""
    return _DatasetReader(path).dataset(_load(path))


def _load(path: Path) -> Any:
    try:
        kind = files.kind(path)
        if kind != "file":
            what = {"folder": "is a folder", "other": "is not a file", None: "does not exist"}[kind]
            raise InputError(f"{path} {what}: give the annotation file of a data set in COCO's format (.json)")
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{path} has {size / 1e9:.1f} GB, and an annotation file may have 2.1: split it")
        return json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise InputError(f"{path} is nested far too deeply to be a data set in COCO's format") from error
    except ValueError as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"{path} is not JSON ({reason}): give the annotation file of a data set in COCO's format"
        ) from error
    except (OSError, MemoryError) as error:
        raise InputError(why_unreadable(error, path, str(path))) from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


class _DatasetReader:
    """Takes a file's JSON apart; every complaint begins with the file's name."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def dataset(self, data: Any) -> Dataset:
        if isinstance(data, list):
            self._refuse("is a list, as files of results are: give the file with images, annotations and categories")
        if not isinstance(data, dict):
            self._refuse("is not a data set in COCO's format: it has no images, annotations and categories")
        images, annotations, categories = (self._rows(data, key) for key in ("images", "annotations", "categories"))
        if not images:
            self._refuse("names no images: its list of images is empty")
        if not annotations:
            self._refuse("has no annotations, so there is nothing to compare with: export the file with them")
        names = {number: self._name(row, number) for number, row in self._by_id(categories, "category")}
        by_id = {number: self._image(row, number) for number, row in self._by_id(images, "image")}
        self._check_names(by_id)
        found = tuple(self._annotation(row, index, by_id, names) for index, row in enumerate(annotations))
        return Dataset(self._path, tuple(by_id.values()), names, found)

    def _rows(self, data: Row, key: str) -> list[Row]:
        rows = data.get(key)
        if rows is None:
            self._refuse(f"has no {key}: a data set in COCO's format has images, annotations and categories")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            self._refuse(f"is not in COCO's format: its {key} are not a list of objects")
        return rows

    def _by_id(self, rows: list[Row], what: str) -> Iterator[tuple[int, Row]]:
        seen: set[int] = set()
        for index, row in enumerate(rows):
            number = self._whole(row.get("id"), f"the id of {what} number {index + 1}")
            if number in seen:
                self._refuse(f"has the {what} id {number} twice: ids must tell them apart")
            seen.add(number)
            yield number, row

    def _name(self, row: Row, number: int) -> str:
        name = row.get("name")
        if not isinstance(name, str) or not name.strip():
            self._refuse(f"has no name for the category {number}")
        return name.strip()

    def _image(self, row: Row, number: int) -> DatasetImage:
        name = row.get("file_name")
        what = f"image {number}"
        if not isinstance(name, str) or not name or "\0" in name:
            self._refuse(f"has no file_name for {what}")
        relative = PurePosixPath(name)
        if relative.is_absolute() or ".." in relative.parts or Path(name).is_absolute() or Path(name).drive:
            self._refuse(f"names an image outside of its folder ({_quote(name)}, {what}): file_name must lie below it")
        width, height = (self._side(row.get(key), f"the {key} of {what}") for key in ("width", "height"))
        if width * height > MAX_PIXELS:
            self._refuse(f"is not in COCO's format: {what} has {width} x {height} pixels, more than any that is read")
        return DatasetImage(number, name, width, height)

    def _check_names(self, images: dict[int, DatasetImage]) -> None:
        owners: dict[str, int] = {}
        for image in images.values():
            other = owners.setdefault(image.name, image.id)
            if other != image.id:
                self._refuse(f"has the image {_quote(image.name)} twice, as image {other} and image {image.id}")

    def _annotation(self, row: Row, index: int, images: dict[int, DatasetImage], names: dict[int, str]) -> Annotation:
        what = f"annotation {_quote(row['id'])}" if "id" in row else f"annotation number {index + 1}"
        image = self._whole(row.get("image_id"), f"the image_id of {what}")
        category = self._whole(row.get("category_id"), f"the category_id of {what}")
        if image not in images:
            self._refuse(f"has no image {image}, which {what} belongs to")
        if category not in names:
            self._refuse(f"has no category {category}, which {what} belongs to")
        try:
            segmentation = check_segmentation(row.get("segmentation"), images[image].width, images[image].height)
        except ValueError as error:
            self._refuse(f"has a wrong segmentation in {what} ({error}): mend or remove it")
        if row.get("bbox") is not None:
            box = self._box(row["bbox"], what)
        elif segmentation is not None:
            box = segmentation.box
        else:
            self._refuse(f"has neither bbox nor segmentation in {what}")
        area = row.get("area")
        if area is None:
            area = segmentation.area if segmentation is not None else box[2] * box[3]
        area = self._number(area, f"the area of {what}")
        return Annotation(image, category, box, area, row.get("iscrowd") in (1, True), segmentation)

    def _box(self, value: Any, what: str) -> tuple[float, float, float, float]:
        if not isinstance(value, list) or len(value) != 4:
            self._refuse(f"has a bbox in {what} that is not a list of four numbers (x, y, width, height)")
        x, y, width, height = (self._number(each, f"the bbox of {what}") for each in value)
        if width < 0 or height < 0:
            self._refuse(f"has a bbox of negative size in {what}: it must be x, y, width, height")
        return x, y, width, height

    def _whole(self, value: Any, what: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 53:
            self._refuse(f"is not in COCO's format: {what} must be a whole number, not {_quote(value)}")
        return value

    def _side(self, value: Any, what: str) -> int:
        side = self._whole(value, what)
        if not 1 <= side <= MAX_SIDE:
            self._refuse(f"is not in COCO's format: {what} must lie between 1 and {MAX_SIDE}, not {side}")
        return side

    def _number(self, value: Any, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
            self._refuse(f"is not in COCO's format: {what} must be a number, not {_quote(value)}")
        return float(value)

    def _refuse(self, problem: str) -> NoReturn:
        raise InputError(f"{self._path} {problem}")


def _quote(value: Any) -> str:
    """A value as a message may show it."""
    text = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
