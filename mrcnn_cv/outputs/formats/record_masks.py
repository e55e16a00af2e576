"""The masks in records, for the formats that are made from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from mrcnn_cv.outputs.storage.record_log import Record
from mrcnn_cv.structures import masks

Instance = dict[str, Any]
"""One of a record's "instances"."""


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
