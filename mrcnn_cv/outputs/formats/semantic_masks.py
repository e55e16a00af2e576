"""`semantic`: a PNG of class ids per image, with a palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrcnn_cv.drawing.colors import color
from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.formats.label_images import class_ids
from mrcnn_cv.outputs.formats.png import Rgb, label_png

if TYPE_CHECKING:
    from mrcnn_cv.outputs.base import OutputSettings
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class SemanticMasks(ImageFormat):
    """Writes semantic/photo.png for photo.jpg: 0 for the background, else the class id.

    8-bit, in the colors that overlays give the classes; 16-bit grey for a model with class ids above 255.
    """

    def __init__(self, folder: OutputDirectory, settings: OutputSettings) -> None:
        super().__init__(folder, settings)
        is_small = max(settings.labels, default=0) <= 255
        self.palette: list[Rgb] | None = [(0, 0, 0), *map(_rgb, range(1, 256))] if is_small else None

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one PNG; OutputError where it cannot be written."""
        path = self.folder.path_for(frame, ".png", kind="semantic", stem=True)
        self.folder.write(path, label_png(class_ids(instances), self.palette))


def _rgb(class_id: int) -> Rgb:
    blue, green, red = color(class_id)
    return red, green, blue
