"""`masks`: a 16-bit PNG of instance numbers per image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.formats.label_images import instance_labels
from mrcnn_cv.outputs.formats.png import label_png

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class InstanceMasks(ImageFormat):
    """Writes masks/photo.png for photo.jpg: 0 for the background, n for the n-th instance of the record."""

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one PNG; OutputError where it cannot be written."""
        path = self.folder.path_for(frame, ".png", kind="masks", stem=True)
        self.folder.write(path, label_png(instance_labels(instances), None))
