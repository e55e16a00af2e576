"""`jsonl`: records.jsonl, the JSON record of every image on a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from mrcnn_cv.outputs.base import DatasetFormat
from mrcnn_cv.outputs.formats.coco import to_json

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.record_log import Record


class JsonLinesTable(DatasetFormat):
    """records.jsonl: docs/json.md's record with "place" and "index" before it."""

    name = "records.jsonl"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file; one record is held at a time."""
        for record in records:
            file.write(to_json(record) + b"\n")
