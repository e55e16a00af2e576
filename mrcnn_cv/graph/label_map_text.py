"""TensorFlow's label maps in protobuf's text format, as plain items."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf import text_format

from mrcnn_cv.graph.protos.label_map_pb2 import LabelMap


class Item(NamedTuple):
    """label_id: None where the item has none."""

    label_id: int | None
    name: str
    display_name: str


class NotALabelMap(ValueError):
    """line: where the text stops being one; None: unknown. The message quotes the text."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.line = line


def parse_label_map(text: str) -> list[Item]:
    """The items of a label map, unknown fields passed over; NotALabelMap, or RecursionError for deep nesting."""
    try:
        label_map = text_format.Parse(text, LabelMap(), allow_unknown_field=True)
    except text_format.ParseError as error:
        raise NotALabelMap(str(error), error.GetLine()) from error
    return [Item(item.id if item.HasField("id") else None, item.name, item.display_name) for item in label_map.item]
