"""Formats with a file per instance, in a folder per image: `binary`, `cutouts` and `crops`."""

from __future__ import annotations

import math
import os
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.formats.image_files import encode, format_for
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util import filenames
from mrcnn_cv.util.opencv import cv2


class CropSlices(NamedTuple):
    """The pixels that a box touches."""

    rows: slice
    columns: slice


class PerInstanceSink(ImageFormat):
    """Writes kind/photo/001-person.png for the first instance of photo.jpg, 002-dog.png for the second, ..."""

    kind: str

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str] | None:
        """The file's data and suffix; None for an instance that has none."""
        raise NotImplementedError

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write the image's files; OutputError where one cannot be written.

        What an earlier run left of instances that there are no more is removed.
        """
        output_path = self.folder.path_for(frame, kind=self.kind, stem=True)
        written = set()
        for index in range(len(instances)):
            if (file := self.encode(frame, instances, index)) is not None:
                data, suffix = file
                label = filenames.file_name(instances.labels[index])
                name = filenames.truncate_name(f"{index + 1:03d}-{label}{suffix}")
                self.folder.write(output_path / name, data)
                written.add(name)
        try:
            before = list(output_path.iterdir()) if os.path.isdir(output_path) else []
        except OSError as error:
            raise unwritable(error, output_path) from error
        for path in before:
            if path.name not in written:
                self.folder.discard(path)


class BinaryMasks(PerInstanceSink):
    """Writes binary/photo/001-person.png, of the image's size: 255 inside of the mask, 0 outside."""

    kind = "binary"

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str]:
        return encode(instances.full_mask(index).astype(np.uint8) * 255, ".png", frame.name), ".png"


class InstanceCrops(PerInstanceSink):
    """Writes crops/photo/001-person.jpg, the image cut to the box; JPEG where the image is one, else PNG."""

    kind = "crops"

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str] | None:
        within = crop_slices(instances, index)
        if within is None:
            return None
        suffix = format_for(frame)
        return encode(np.ascontiguousarray(frame.image[within]), suffix, frame.name), suffix


class Cutouts(PerInstanceSink):
    """Writes cutouts/photo/001-person.png, RGBA, cut to the instance's box, on a transparent background.

    soft_edges: the mask fades out towards its border, within itself, so that nothing of the background shows.
    """

    kind = "cutouts"

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str] | None:
        within = crop_slices(instances, index)
        if within is None:
            return None
        mask = mask_in(instances, index, within)
        alpha = _faded(mask, within, instances.image_size) if self.settings.soft_edges else mask.astype(np.uint8) * 255
        image = np.concatenate([frame.image[within], alpha[..., None]], axis=2)
        # What does not show takes no room in the file, and cannot be brought back by who gets it.
        image[alpha == 0] = 0
        return encode(image, ".png", frame.name), ".png"


def crop_slices(instances: Instances, index: int) -> CropSlices | None:
    """The pixels of the image that an instance's box touches; None where it touches none."""
    box = instances.boxes[index].astype(np.float64)
    if not np.isfinite(box).all():
        return None
    height, width = instances.image_size
    left, top = np.clip(np.floor(box[:2]), 0, (width, height)).astype(int).tolist()
    right, bottom = np.clip(np.ceil(box[2:]), 0, (width, height)).astype(int).tolist()
    return CropSlices(slice(top, bottom), slice(left, right)) if bottom > top and right > left else None


def mask_in(instances: Instances, index: int, within: CropSlices) -> NDArray[np.bool_]:
    """The instance's mask on the pixels of a window."""
    top, left, mask = instances.local_mask(index)
    rows, columns = within
    here = np.zeros((rows.stop - rows.start, columns.stop - columns.start), dtype=np.bool_)
    # A mask may reach a rounding error beyond its box.
    upper, lower = max(top, rows.start), min(top + mask.shape[0], rows.stop)
    first, last = max(left, columns.start), min(left + mask.shape[1], columns.stop)
    if upper < lower and first < last:
        part = mask[upper - top : lower - top, first - left : last - left]
        here[upper - rows.start : lower - rows.start, first - columns.start : last - columns.start] = part
    return here


def _faded(mask: NDArray[np.bool_], within: CropSlices, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w) opacity: grows from the mask's border inwards, over 3 % of its size; the image's border is none."""
    height, width = image_size
    rows, columns = within
    ends = (rows.start > 0, rows.stop < height), (columns.start > 0, columns.stop < width)
    framed = np.pad(mask, tuple((int(before), int(after)) for before, after in ends)).astype(np.uint8)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = distance[ends[0][0] :, ends[1][0] :][: mask.shape[0], : mask.shape[1]]
    reach = max(2.0, 0.03 * math.sqrt(np.count_nonzero(mask)))
    opacity: NDArray[np.uint8] = np.rint(np.minimum(inside / reach, 1) * 255).astype(np.uint8)
    return opacity
