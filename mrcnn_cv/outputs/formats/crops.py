"""`crops`: the image cut to the box of every instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mrcnn_cv.outputs.formats.image_copy import format_for
from mrcnn_cv.outputs.formats.overlay import encode
from mrcnn_cv.outputs.formats.per_instance import PerInstanceSink, crop_slices

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class InstanceCrops(PerInstanceSink):
    """Writes crops/photo/001-person.jpg, JPEG where the image is one, else PNG."""

    kind = "crops"

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str] | None:
        within = crop_slices(instances, index)
        if within is None:
            return None
        suffix = format_for(frame)
        return encode(np.ascontiguousarray(frame.image[within.rows, within.columns]), suffix, frame.name), suffix
