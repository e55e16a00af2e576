"""`frames`: the frames of a video as images, unpainted, where the annotations of other formats look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.formats.image_copy import format_for
from mrcnn_cv.outputs.formats.overlay import encode

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class FrameImages(ImageFormat):
    """Writes clip/000123.jpg for frame 123 of clip.mp4; JPEG of quality 95, PNG above 65,500 pixels a side."""

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one image; OutputError where it cannot be written."""
        suffix = format_for(frame)
        path = self.folder.path_for(frame, suffix, stem=True)
        self.folder.write(path, encode(frame.image, suffix, str(path)))
