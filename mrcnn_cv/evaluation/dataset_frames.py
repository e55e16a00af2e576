"""The images of a data set as a source of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

from mrcnn_cv.errors import InputError
from mrcnn_cv.evaluation.annotations import DatasetImage
from mrcnn_cv.inputs.image_ref import ImageRef, load
from mrcnn_cv.inputs.images.directories import file_ref
from mrcnn_cv.structures.frame import Frame, FrameError


def check_images(folder: Path, images: Sequence[DatasetImage], path: Path) -> None:
    """InputError, before any work, where the folder lacks images of the data set `path`: metrics would be others."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder} is not a folder that can be read: give the one that holds the images of {path}")
    missing = [image.name for image in images if not _is_there(folder / image.name)]
    if len(missing) == len(images):
        raise InputError(
            f"{folder} holds none of the {len(missing):,} images that {path} names, such as {missing[0]}: give the"
            " folder that file_name is relative to"
        )
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing):,} of the {len(images):,} images that {path} names, such as {missing[0]}:"
            " put them there, or take them out of the file"
        )


def _is_there(path: Path) -> bool:
    try:
        return os.path.isfile(path)
    except (OSError, ValueError):
        return False


def image_refs(images: Iterable[DatasetImage], folder: Path) -> list[ImageRef]:
    """An item for each image; its place is its id, which no other has."""
    return [file_ref(folder / image.name, PurePosixPath(str(image.id))) for image in images]


def deferred_frames(
    items: Iterable[ImageRef], images: Iterable[DatasetImage], path: Path
) -> Iterator[Callable[[], Frame | FrameError | None]]:
    """What reads each item when it is called. An image that has not the size that the data set `path` says fails."""
    sizes = {str(image.id): (image.height, image.width) for image in images}
    for index, item in enumerate(items):
        yield partial(_read, item, index, sizes[str(item.output_path)], path)


def _read(item: ImageRef, index: int, size: tuple[int, int], path: Path) -> Frame | FrameError:
    frame = load(item, index)
    if isinstance(frame, FrameError) or frame.image.shape[:2] == size:
        return frame
    height, width = frame.image.shape[:2]
    turned = " after its EXIF orientation was applied" if (width, height) == size else ""
    error = InputError(
        f"{item.name} has {width} x {height} pixels{turned}, and {path} says {size[1]} x {size[0]}: its annotations"
        " would not fit, so give the images that were annotated"
    )
    return FrameError(item.name, index, error, item.path, item.output_path)
