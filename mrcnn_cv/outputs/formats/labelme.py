"""`labelme`: a JSON file per image that opens in labelme.

The format: what labelme's own LabelFile reads (labelme/_label_file.py of labelme 6; the keys are those of labelme 5).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import numpy as np

from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.formats.image_files import encode, format_for
from mrcnn_cv.structures import polygons
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.json import to_bytes

# The first version of labelme that knows shapes of the type "mask" was 5.2.
_VERSION = "5.4.1"


class LabelmeFiles(ImageFormat):
    """Writes labelme/photo.json for photo.jpg, which names the image where it lies.

    A mask is a shape of the type "mask", or with `polygons` a polygon for each of its parts, which share a group. The
    box of a model without masks is a rectangle.
    """

    def write(self, frame: Frame, instances: Instances) -> None:
        path = self.folder.path_for(frame, ".json", kind="labelme", stem=True)
        height, width = instances.image_size
        where = _path_between(path.parent, frame)
        content: dict[str, Any] = {
            "version": _VERSION,
            "flags": {},
            "shapes": [shape for index in range(len(instances)) for shape in self._shapes(instances, index)],
            "imagePath": where or str(frame.output_path or frame.name),
            "imageData": _embedded(frame) if where is None else None,
            "imageHeight": height,
            "imageWidth": width,
        }
        self.folder.write(path, to_bytes(content) + b"\n")

    def _shapes(self, instances: Instances, index: int) -> list[dict[str, Any]]:
        if instances.mask_probabilities is None:
            x1, y1, x2, y2 = (round(float(value), 3) for value in instances.boxes[index])
            return [_shape(instances, index, "rectangle", [[x1, y1], [x2, y2]])]
        local = instances.local_mask(index)
        if not local.mask.any():
            return []
        if not self.settings.polygons:
            rows, columns = (np.flatnonzero(local.mask.any(axis=axis)) for axis in (1, 0))
            tight = local.mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            left, top = local.left + int(columns[0]), local.top + int(rows[0])
            corners = [[left, top], [left + tight.shape[1] - 1, top + tight.shape[0] - 1]]
            data = encode(tight.astype(np.uint8) * 255, ".png", "a mask")
            return [_shape(instances, index, "mask", corners, mask=base64.b64encode(data).decode("ascii"))]
        parts = polygons.polygons(local, min_area=self.settings.min_area)
        group = index + 1 if len(parts) > 1 else None
        return [_shape(instances, index, "polygon", _corners(part), group_id=group) for part in parts]


def _shape(instances: Instances, index: int, kind: str, points: list[list[float]], **more: Any) -> dict[str, Any]:
    common = {
        "label": instances.labels[index],
        "points": points,
        "group_id": None,
        "description": "",
        "shape_type": kind,
    }
    return {**common, "flags": {}, "mask": None, "score": round(float(instances.scores[index]), 6), **more}


def _corners(part: polygons.Polygon) -> list[list[float]]:
    """labelme takes corners for pixels and paints the outline too (Pillow's `polygon`)."""
    ring: list[list[float]] = part.joined(painted=True).tolist()
    # It wants three corners, which a part of one or two pixels does not have.
    return ring + ring[:1] * max(0, 3 - len(ring))


def _path_between(folder: Path, frame: Frame) -> str | None:
    """The way from `folder` to the image's file; None where there is none that labelme could go."""
    if frame.path is None or frame.time is not None:
        return None
    try:
        way = os.path.relpath(os.path.realpath(frame.path), os.path.realpath(folder))
    except ValueError:  # on Windows, from one drive to another
        way = os.path.realpath(frame.path)
    # labelme takes a backslash for the end of a folder's name on every system.
    if os.sep == "/" and "\\" in way:
        return None
    return Path(way).as_posix()


def _embedded(frame: Frame) -> str:
    return base64.b64encode(encode(frame.image, format_for(frame), frame.name)).decode("ascii")
