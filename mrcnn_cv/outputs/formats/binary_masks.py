"""`binary`: a black and white PNG of the picture's size per instance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mrcnn_cv.outputs.formats.overlay import encode
from mrcnn_cv.outputs.formats.per_instance import PerInstanceSink

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class BinaryMasks(PerInstanceSink):
    """Writes binary/photo/001-person.png: 255 inside of the mask, 0 outside."""

    kind = "binary"

    def encode(self, frame: Frame, instances: Instances, index: int) -> tuple[bytes, str]:
        return encode(instances.full_mask(index).astype(np.uint8) * 255, ".png", frame.name), ".png"
