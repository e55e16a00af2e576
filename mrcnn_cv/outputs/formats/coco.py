"""`coco`: annotations.json, a data set in COCO's format; `coco-results`: results.json, as pycocotools reads it.

The formats: cocodataset.org/#format-data, "Object Detection"; #format-results.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from mrcnn_cv.outputs.base import DatasetFormat
from mrcnn_cv.outputs.storage.record_log import Instance, Record, local_mask, rle
from mrcnn_cv.structures import polygons
from mrcnn_cv.util.json import to_bytes


class CocoDataset(DatasetFormat):
    """annotations.json, written in two passes over the records: images, then annotations.

    A mask is run lengths, or with `polygons` an outline for each of its parts, holes joined to it by a cut.
    """

    name = "annotations.json"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        categories = [
            {"id": class_id, "name": label, "supercategory": ""}
            for class_id, label in sorted(self.settings.labels.items())
        ]
        info = {"description": "Instances found by mrcnn-cv", "model": self.settings.model, "version": "1.0"}
        file.write(b'{"info": ' + to_bytes(info) + b',\n"licenses": [],\n"categories": ' + to_bytes(categories))
        file.write(b',\n"images": [')
        maximum = 1
        separator = b"\n"
        for image_id, record in numbered(records):
            maximum = max(maximum, len(record["instances"]))
            size = {"width": record["width"], "height": record["height"]}
            file.write(separator + to_bytes({"id": image_id, "file_name": record["place"], **size}))
            separator = b",\n"
        file.write(b'],\n"annotations": [')
        # Ids that tell the image and the place in it do not change when an image is added later.
        stride = max(10_000, 10 ** len(str(maximum)))
        separator = b"\n"
        for image_id, record in numbered(records):
            for number, instance in enumerate(record["instances"], start=1):
                annotation = self._annotation(record, instance)
                ids = {"id": image_id * stride + number, "image_id": image_id}
                file.write(separator + to_bytes({**ids, **annotation}))
                separator = b",\n"
        file.write(b"]}\n")

    def _annotation(self, record: Record, instance: Instance) -> dict[str, Any]:
        number = instance.get("track_id")
        followed = {} if number is None else {"track_id": number}
        return {
            "category_id": instance["class_id"],
            "segmentation": self._segmentation(record, instance),
            "area": instance["area"],
            "bbox": bbox(instance),
            "iscrowd": 0,
            "score": instance["score"],
            **followed,
        }

    def _segmentation(self, record: Record, instance: Instance) -> Any:
        if self.settings.polygons:
            parts = polygons.polygons(local_mask(record, instance), min_area=self.settings.min_area)
            # pycocotools cannot read an empty list.
            if parts:
                return [[_short(value) for value in part.joined().ravel().tolist()] for part in parts]
        return rle(record, instance)


class CocoResults(DatasetFormat):
    """results.json; image ids are those of `coco`."""

    name = "results.json"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
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
                file.write(separator + to_bytes(result))
                separator = b",\n"
        file.write(b"]\n")


def numbered(records: Iterable[Record]) -> Iterator[tuple[int, Record]]:
    """(image id, record): the image's index plus one, so that it stays the same while images are added.

    Where two runs into one folder left the same index to two images, the second takes a number of its own.
    """
    used: set[int] = set()
    # Far beyond any index, and still small enough for 32 bits.
    spare = 1 << 24
    for record in records:
        number = record["index"] + 1
        if number in used:
            spare += 1
            number = spare
        used.add(number)
        yield number, record


def bbox(instance: Instance) -> list[float]:
    """x, y, width, height."""
    x1, y1, x2, y2 = instance["box"]
    return [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)]


def _short(value: float) -> float | int:
    return int(value) if value == int(value) else value
