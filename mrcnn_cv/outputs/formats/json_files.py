"""One JSON file per image; docs/json.md describes the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.util.json import dumps

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


def to_json(instances: Instances) -> bytes:
    """The record of one image on one line, UTF-8, without a line end."""
    # A file name that is not UTF-8 holds lone surrogates; as \udcXX they are valid JSON and come back as they were.
    return dumps(instances.to_dict()).encode("utf-8")


class JsonRecords(ImageFormat):
    """Writes photo.jpg.json for photo.jpg."""

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one record; OutputError where it cannot be written."""
        self.folder.write(self.folder.path_for(frame, ".json"), to_json(instances) + b"\n")
