"""`frames`: the frames of a video as pictures, unpainted, where the annotations of other formats look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrcnn_cv.sinks import OpenSink
from mrcnn_cv.sinks.overlay import encode
from mrcnn_cv.sinks.pictures import format_for

if TYPE_CHECKING:
    from mrcnn_cv.frame import Frame
    from mrcnn_cv.instances import Instances
    from mrcnn_cv.sinks.folder import OutputFolder


class FramePictures(OpenSink):
    """Writes clip/000123.jpg for frame 123 of clip.mp4; JPEG of quality 95, PNG above 65,500 pixels a side."""

    def __init__(self, folder: OutputFolder) -> None:
        self.folder = folder

    def write(self, frame: Frame, found: Instances) -> None:
        """Write one picture; OutputError where it cannot be written."""
        suffix = format_for(frame)
        path = self.folder.path_for(frame, suffix, stem=True)
        self.folder.write(path, encode(frame.image, suffix, str(path)))
