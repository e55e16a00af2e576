"""Tables with a row per instance: the columns that `csv` and `parquet` share."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from mrcnn_cv.outputs.storage.record_log import is_tracked

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.record_log import Record

COLUMNS: dict[str, Literal["text", "whole", "real"]] = {
    "image": "text",
    "index": "whole",
    "source": "text",
    "frame": "whole",
    "width": "whole",
    "height": "whole",
    "instance": "whole",
    "class_id": "whole",
    "label": "text",
    "score": "real",
    "x1": "real",
    "y1": "real",
    "x2": "real",
    "y2": "real",
    "area": "whole",
    "rle": "text",
}
"""Name and kind of the columns; docs/formats.md describes them."""

TRACKED_COLUMNS: dict[str, Literal["text", "whole", "real"]] = {**COLUMNS, "track_id": "whole"}
"""Those of a run whose instances were followed."""


def columns(records: Iterable[Record]) -> dict[str, Literal["text", "whole", "real"]]:
    """The columns for these records."""
    return TRACKED_COLUMNS if is_tracked(records) else COLUMNS


def rows(records: Iterable[Record]) -> Iterator[tuple[Any, ...]]:
    """A row per instance, in the order of `columns`; None where there is no value. One record is held at a time."""
    tracked = is_tracked(records)
    for record in records:
        image = (record[name] for name in ("place", "index", "source", "frame", "width", "height"))
        common = tuple(plain(value) if isinstance(value, str) else value for value in image)
        for number, instance in enumerate(record["instances"], start=1):
            label = plain(instance["label"])
            mask = None if instance["mask"] is None else instance["mask"]["counts"]
            found = (number, instance["class_id"], label, instance["score"], *instance["box"], instance["area"], mask)
            yield (*common, *found, instance.get("track_id")) if tracked else (*common, *found)


def plain(text: str) -> str:
    """Text that UTF-8 holds: the odd bytes of a file name become `\\udcXX`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
