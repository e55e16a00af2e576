"""`coco-results`: results.json, a list of results that pycocotools' `loadRes` reads beside a COCO data set.

The format: cocodataset.org/#format-results.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from mrcnn_cv.outputs.base import DatasetFormat
from mrcnn_cv.outputs.formats.coco import bbox, numbered, to_json
from mrcnn_cv.outputs.formats.record_masks import rle

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.record_log import Record


class CocoResults(DatasetFormat):
    """results.json; image ids are those of `coco`."""

    name = "results.json"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file; one record is held at a time."""
        file.write(b"[")
        separator = b"\n"
        for image_id, record in numbered(records):
            for instance in record["instances"]:
                result = {
                    "image_id": image_id,
                    "category_id": instance["class_id"],
                    "bbox": bbox(instance),
                    "score": instance["score"],
                    "segmentation": rle(record, instance),
                }
                file.write(separator + to_json(result))
                separator = b",\n"
        file.write(b"]\n")
