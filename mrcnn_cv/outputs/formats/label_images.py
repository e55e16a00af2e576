"""`masks` and `semantic`: label images, PNGs whose samples are instance numbers or class ids.

OpenCV writes no PNG with a palette, so these are written here: PNG (Portable Network Graphics) Specification, W3C,
sections 5, 7 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.colors import color
from mrcnn_cv.outputs.base import ImageFormat, OutputSettings
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances

Rgb = tuple[int, int, int]

MAX_LABEL = 65_535
"""The largest number that 16 bits hold."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3


class InstanceMasks(ImageFormat):
    """Writes masks/photo.png for photo.jpg, 16-bit: 0 for the background, n for the n-th instance of the record."""

    def write(self, frame: Frame, instances: Instances) -> None:
        path = self.folder.path_for(frame, ".png", kind="masks", stem=True)
        self.folder.write(path, label_png(instance_labels(instances), None))


class SemanticMasks(ImageFormat):
    """Writes semantic/photo.png for photo.jpg: 0 for the background, else the class id.

    8-bit, in the colors that overlays give the classes; 16-bit grey for a model with class ids above 255.
    """

    def __init__(self, folder: OutputDirectory, settings: OutputSettings) -> None:
        super().__init__(folder, settings)
        is_small = max(settings.labels, default=0) <= 255
        self.palette: list[Rgb] | None = [(0, 0, 0), *map(_rgb, range(1, 256))] if is_small else None

    def write(self, frame: Frame, instances: Instances) -> None:
        path = self.folder.path_for(frame, ".png", kind="semantic", stem=True)
        self.folder.write(path, label_png(class_ids(instances), self.palette))


def instance_labels(instances: Instances) -> NDArray[np.uint16]:
    """(H, W): 1 for the pixels of the first instance, 2 for the second, ...; 0 where nothing was found.

    Where masks overlap the better score counts. Instances beyond the 65,535 best are left out.
    """
    return _label_image(instances, range(1, min(len(instances), MAX_LABEL) + 1))


def class_ids(instances: Instances) -> NDArray[np.uint16]:
    """(H, W): the id of the class at each pixel, of the better score where masks overlap; 0 where nothing was found."""
    return _label_image(instances, instances.class_ids.tolist())


def _label_image(instances: Instances, values: Sequence[int]) -> NDArray[np.uint16]:
    image = np.zeros(instances.image_size, dtype=np.uint16)
    ranked = np.argsort(-instances.scores[: len(values)], kind="stable")
    for index in reversed(ranked.tolist()):
        top, left, mask = instances.local_mask(index)
        image[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = values[index]
    return image


def label_png(numbers: NDArray[np.integer[Any]], palette: Sequence[Rgb] | None) -> bytes:
    """(H, W) whole numbers as a PNG whose samples are these numbers.

    With a palette (256 colors) 8-bit, every number a color of it; without one 16-bit grey.
    """
    height, width = numbers.shape
    samples = numbers.astype(">u2" if palette is None else np.uint8).view(np.uint8).reshape(height, -1)
    # The byte before each row says that it is not filtered: even areas compress best so.
    rows = np.pad(samples, ((0, 0), (1, 0)))
    depth, kind = (16, _GRAY) if palette is None else (8, _PALETTE)
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    colors = b"" if palette is None else _chunk(b"PLTE", bytes(value for each in palette for value in each))
    return _SIGNATURE + head + colors + _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rgb(class_id: int) -> Rgb:
    blue, green, red = color(class_id)
    return red, green, blue
