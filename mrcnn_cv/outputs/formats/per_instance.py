"""Formats with a file per instance, in a folder per image: `binary`, `cutouts` and `crops`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.util import filenames

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


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
        """Write the picture's files; OutputError where one cannot be written.

        What an earlier run left of instances that there are no more is removed.
        """
        output_path = self.folder.path_for(frame, kind=self.kind, stem=True)
        written = set()
        for index in range(len(instances)):
            if (file := self.encode(frame, instances, index)) is not None:
                data, suffix = file
                name = filenames.truncate_name(
                    f"{index + 1:03d}-{filenames.file_name(instances.labels[index])}{suffix}"
                )
                self.folder.write(output_path / name, data)
                written.add(name)
        try:
            before = (
                [path for path in output_path.iterdir() if path.name not in written] if output_path.is_dir() else []
            )
        except OSError as error:
            raise unwritable(error, output_path) from error
        for path in before:
            self.folder.discard(path)


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
