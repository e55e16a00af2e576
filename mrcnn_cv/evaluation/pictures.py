"""The pictures of a data set as a source of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError
from mrcnn_cv.evaluation.annotations import Picture
from mrcnn_cv.inputs.image_ref import Item, load
from mrcnn_cv.inputs.images.directories import file_item
from mrcnn_cv.structures.frame import Frame, Unreadable


def items_of(pictures: Iterable[Picture], folder: Path) -> list[Item]:
    """An item for each picture; its place is its id, which no other has."""
    return [file_item(folder / picture.name, PurePosixPath(str(picture.id))) for picture in pictures]


def reading(
    items: Iterable[Item], pictures: Iterable[Picture], path: Path
) -> Iterator[Callable[[], Frame | Unreadable | None]]:
    """What reads each item when it is called. A picture that has not the size that the data set `path` says fails."""
    sizes = {str(picture.id): (picture.height, picture.width) for picture in pictures}
    for index, item in enumerate(items):
        yield partial(_read, item, index, sizes[str(item.place)], path)


def _read(item: Item, index: int, size: tuple[int, int], path: Path) -> Frame | Unreadable:
    frame = load(item, index)
    if isinstance(frame, Unreadable) or frame.image.shape[:2] == size:
        return frame
    height, width = frame.image.shape[:2]
    turned = " after its EXIF orientation was applied" if (width, height) == size else ""
    error = InputError(
        f"{item.name} has {width} x {height} pixels{turned}, and {path} says {size[1]} x {size[0]}: its annotations"
        " would not fit, so give the pictures that were annotated"
    )
    return Unreadable(item.name, index, error, item.path, item.place)
