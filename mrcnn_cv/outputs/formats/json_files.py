"""`json` and `jsonl`: the JSON record of every image, in a file of its own or on a line; docs/json.md describes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from mrcnn_cv.outputs.base import DatasetFormat, ImageFormat
from mrcnn_cv.util.json import to_bytes

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.record_log import Record
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class JsonRecords(ImageFormat):
    """Writes photo.jpg.json for photo.jpg."""

    def write(self, frame: Frame, instances: Instances) -> None:
        self.folder.write(self.folder.path_for(frame, ".json"), to_bytes(instances.to_dict()) + b"\n")


class JsonLinesTable(DatasetFormat):
    """records.jsonl: the record with "place" and "index" before it."""

    name = "records.jsonl"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        for record in records:
            file.write(to_bytes(record) + b"\n")
