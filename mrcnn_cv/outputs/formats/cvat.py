"""`cvat`: annotations.xml, which CVAT imports as "CVAT 1.1" into a task with the same images.

The format: docs.cvat.ai, "CVAT for image" (XML 1.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import BinaryIO

import numpy as np

from mrcnn_cv.drawing.colors import color
from mrcnn_cv.outputs.base import DatasetFormat, OutputSettings
from mrcnn_cv.outputs.formats.xml import attribute, text
from mrcnn_cv.outputs.storage.record_log import Instance, Record, is_tracked, local_mask
from mrcnn_cv.structures import polygons
from mrcnn_cv.structures.masks import LocalMask

_TRACK_ID = (
    "<attribute><name>track_id</name><mutable>False</mutable><input_type>text</input_type>"
    "<default_value></default_value><values></values></attribute>"
)


class CvatAnnotations(DatasetFormat):
    """annotations.xml. A mask is a `mask`, or with `polygons` a `polygon` for each of its parts, which share a group;
    the box of a model without masks is a `box`. The better score lies on top. The number of a track is an attribute."""

    name = "annotations.xml"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        file.write(_head(self.settings, is_tracked(records)).encode("utf-8"))
        groups = count(1)
        for number, record in enumerate(records):
            file.write("".join(self._image(number, record, groups)).encode("utf-8"))
        file.write(b"</annotations>\n")

    def _image(self, number: int, record: Record, groups: Iterator[int]) -> Iterator[str]:
        size = f'width="{record["width"]}" height="{record["height"]}"'
        yield f'  <image id="{number}" name={attribute(record["place"])} {size}>\n'
        last = len(record["instances"]) - 1
        for index, instance in enumerate(record["instances"]):
            common = f'label={attribute(instance["label"])} source="auto" occluded="0"'
            number = instance.get("track_id")
            inner = "" if number is None else f'<attribute name="track_id">{number}</attribute>'
            for kind, values in self._shapes(record, instance, groups):
                yield f'    <{kind} {common} {values} z_order="{last - index}">{inner}</{kind}>\n'
        yield "  </image>\n"

    def _shapes(self, record: Record, instance: Instance, groups: Iterator[int]) -> Iterator[tuple[str, str]]:
        """(element, its own attributes)."""
        if instance["mask"] is None:
            x1, y1, x2, y2 = (f"{value:.2f}" for value in instance["box"])
            yield "box", f'xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}"'
            return
        local = local_mask(record, instance)
        if not self.settings.polygons:
            if local.mask.size:
                yield "mask", _mask(local)
            return
        parts = polygons.polygons(local, min_area=self.settings.min_area)
        grouped = f' group_id="{next(groups)}"' if len(parts) > 1 else ""
        for part in parts:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in part.joined().tolist())
            yield "polygon", f'points="{points}"{grouped}'


def _mask(local: LocalMask) -> str:
    """Run lengths row by row over the mask's own rectangle, zeros first."""
    flat = local.mask.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff(np.concatenate([[0], edges, [flat.size]])).tolist()
    lengths = ", ".join(map(str, [0, *runs] if flat[0] else runs))
    height, width = local.mask.shape
    return f'rle="{lengths}" left="{local.left}" top="{local.top}" width="{width}" height="{height}"'


def _head(settings: OutputSettings, tracked: bool) -> str:
    attributes = _TRACK_ID if tracked else ""
    labels = "".join(
        f"        <label>\n          <name>{text(label)}</name>\n"
        f"          <color>{_hex(class_id)}</color>\n"
        f"          <attributes>{attributes}</attributes>\n        </label>\n"
        for class_id, label in sorted(settings.labels.items())
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <name>{text(settings.model)}</name>\n      <mode>annotation</mode>\n"
        f"      <labels>\n{labels}      </labels>\n    </task>\n  </meta>\n"
    )


def _hex(class_id: int) -> str:
    blue, green, red = color(class_id)
    return f"#{red:02x}{green:02x}{blue:02x}"
