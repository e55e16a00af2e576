"""results.json of an evaluation: what was found, under the ids of the data set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

from mrcnn_cv.outputs.formats.coco import bbox
from mrcnn_cv.outputs.storage.record_log import rle
from mrcnn_cv.util.json import to_bytes

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.record_log import Record

Result = dict[str, Any]


class DatasetResults:
    """An aggregate as `coco-results`, with the ids of images and categories of a data set.

    images      place → image id
    categories  the model's class id → category id; instances of other classes are left out
    results     of the images in `images`, as they were written last
    seen        ids of the images that have a record
    backends    what they ran on: name and device
    """

    name = "results.json"

    def __init__(self, images: Mapping[str, int], categories: Mapping[int, int]) -> None:
        self._images = images
        self._categories = categories
        self.results: list[Result] = []
        self.seen: set[int] = set()
        self.backends: list[str] = []

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file, in COCO's format for results."""
        self.results, self.seen, self.backends = [], set(), []
        separator = b"[\n"
        for record in records:
            image = self._images.get(record["place"])
            if image is None:
                # Of an earlier run over more images.
                continue
            self.seen.add(image)
            use = record["backend"]
            if (ran_on := f"{use['used']} ({use['device']})") not in self.backends:
                self.backends.append(ran_on)
            for result in self._of(record, image):
                file.write(separator + to_bytes(result))
                separator = b",\n"
                self.results.append(result)
        file.write(b"\n]\n" if self.results else b"[]\n")

    def _of(self, record: Record, image: int) -> Iterator[Result]:
        for instance in record["instances"]:
            category = self._categories.get(instance["class_id"])
            if category is not None:
                has_mask = instance["mask"] is not None
                yield {
                    "image_id": image,
                    "category_id": category,
                    "bbox": bbox(instance),
                    "score": instance["score"],
                    **({"segmentation": rle(record, instance)} if has_mask else {}),
                }
