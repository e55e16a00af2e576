"""The records of a run: what was found in each image, on disk, in the order of the images.

Formats with one file for all images are made from them, again and again while a run goes on, without holding them all
in memory. The file is JSON lines and only ever appended to, so a run that is killed loses at most the line it was at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mrcnn_cv.structures import masks
from mrcnn_cv.util.durable import sync, sync_name
from mrcnn_cv.util.json import to_bytes

Record = dict[str, Any]
"""`Instances.to_dict()` with "place", where the image's outputs go below the output folder, and "index"."""

Instance = dict[str, Any]
"""One of a record's "instances"."""

RECORDS_NAME = ".mrcnn-cv-records.jsonl"


class RecordLog:
    """The records of one output folder. Several for one place: the last one counts."""

    def __init__(self, directory: Path, keep: bool = False, durable: bool = False) -> None:
        """keep: go on behind what an earlier run left. OSError where that cannot be read.

        durable: a record is on the disk when `add` returns
        """
        self._durable = durable
        self.path = directory / RECORDS_NAME
        self._offsets: dict[str, tuple[int, int]] = {}
        self._file: FileIO | None = None
        self._end = 0
        self._free_index = 0
        if keep and os.path.exists(self.path):
            with open(self.path, "rb") as file:
                self._read(file)

    def _read(self, file: BinaryIO) -> None:
        for line in file:
            # Half a line is what a killed run was at.
            if not line.endswith(b"\n"):
                break
            if (record := _parse(line)) is not None:
                self._place(record, self._end)
            self._end += len(line)

    def open(self) -> None:
        """Begin to write. OSError where the file cannot be used."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Without a buffer, so that nothing is left in it that closing could fail to write.
        self._file = open(self.path, "r+b" if self._end else "w+b", buffering=0)  # noqa: SIM115 (until close)
        self._file.truncate(self._end)
        self._file.seek(self._end)
        if self._durable:
            sync_name(self.path, set())

    def close(self) -> None:
        """End writing. OSError where the file system finds only now that it has no room."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def add(self, record: Record) -> None:
        """Append one record; it is in the file when this returns."""
        if self._file is None:
            raise ValueError("the records are not open")
        start = self._file.tell()
        rest = memoryview(to_bytes(record) + b"\n")
        while rest:
            rest = rest[self._file.write(rest) :]
        if self._durable:
            sync(self._file.fileno())
        self._place(record, start)

    def _place(self, record: Record, start: int) -> None:
        self._offsets[record["place"]] = (record["index"], start)
        self._free_index = max(self._free_index, record["index"] + 1)

    def reorder(self, indexes: Mapping[str, int]) -> None:
        """Take the order of places from a new listing; images that are not in it any more come last."""
        others = sorted((key, place) for place, key in self._offsets.items() if place not in indexes)
        last = {place: len(indexes) + number for number, (_, place) in enumerate(others)}
        self._offsets = {
            place: (indexes.get(place, last.get(place, 0)), at) for place, (_, at) in self._offsets.items()
        }
        self._free_index = len(indexes) + len(others)

    def index_for(self, place: str, least: int) -> int:
        """The index that an image has already, or else the next one that none has, `least` or more."""
        return self._offsets[place][0] if place in self._offsets else max(least, self._free_index)

    @property
    def output_paths(self) -> Iterable[str]:
        """Of the images that there is a record of."""
        return self._offsets.keys()

    def __contains__(self, output_path: str) -> bool:
        return output_path in self._offsets

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[Record]:
        """The records by index, read one at a time."""
        with open(self.path, "rb") as file:
            for index, offset in sorted(self._offsets.values()):
                file.seek(offset)
                record = _parse(file.readline())
                if record is not None:
                    # Of another listing it may have been another one.
                    yield {**record, "index": index}


def is_tracked(records: Iterable[Record]) -> bool:
    """Whether the instances were followed, which the first one of them tells; they are of one run."""
    first = next((record["instances"][0] for record in records if record["instances"]), None)
    return first is not None and "track_id" in first


def local_mask(record: Record, instance: Instance) -> masks.LocalMask:
    """The mask of an instance; of a model without masks the filled box."""
    if instance["mask"] is not None:
        return masks.from_rle(instance["mask"])
    return masks.fill_box(np.array(instance["box"], dtype=np.float32), (record["height"], record["width"]))


def rle(record: Record, instance: Instance) -> masks.Rle:
    """The same in COCO's compressed run-length encoding."""
    if instance["mask"] is not None:
        known: masks.Rle = instance["mask"]
        return known
    return masks.to_rle(local_mask(record, instance), (record["height"], record["width"]))


def _parse(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(record, dict) and isinstance(record.get("place"), str) and isinstance(record.get("index"), int)
    return record if known else None
