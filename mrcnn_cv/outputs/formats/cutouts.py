"""`cutouts`: every instance by itself, on a transparent background."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.outputs.formats.overlay import encode
from mrcnn_cv.outputs.formats.per_instance import CropSlices, PerInstanceSink, crop_slices, mask_in
from mrcnn_cv.util.opencv import cv2

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class Cutouts(PerInstanceSink):
    """Writes cutouts/photo/001-person.png, RGBA, cut to the instance's box.

    soft_edges: the mask fades out towards its border, within itself, so that nothing of the background shows.
    """

    kind = "cutouts"

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str] | None:
        within = crop_slices(instances, index)
        if within is None:
            return None
        mask = mask_in(instances, index, within)
        alpha = _faded(mask, within, instances.image_size) if self.settings.soft_edges else mask.astype(np.uint8) * 255
        image = np.concatenate([frame.image[within.rows, within.columns], alpha[..., None]], axis=2)
        # What does not show takes no room in the file, and cannot be brought back by who gets it.
        image[alpha == 0] = 0
        return encode(image, ".png", frame.name), ".png"


def _faded(mask: NDArray[np.bool_], within: CropSlices, image_size: tuple[int, int]) -> NDArray[np.uint8]:
    """(h, w) opacity: grows from the mask's border inwards, over 3 % of its size; the picture's border is none."""
    height, width = image_size
    rows, columns = within
    ends = (rows.start > 0, rows.stop < height), (columns.start > 0, columns.stop < width)
    framed = np.pad(mask, tuple((int(before), int(after)) for before, after in ends)).astype(np.uint8)
    distance = cv2.distanceTransform(framed, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    inside = distance[ends[0][0] :, ends[1][0] :][: mask.shape[0], : mask.shape[1]]
    reach = max(2.0, 0.03 * math.sqrt(np.count_nonzero(mask)))
    opacity: NDArray[np.uint8] = np.rint(np.minimum(inside / reach, 1) * 255).astype(np.uint8)
    return opacity
