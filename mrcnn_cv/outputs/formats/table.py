"""`csv` and `parquet`: tables with a row per instance. `parquet` needs pyarrow."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from mrcnn_cv.errors import UsageError
from mrcnn_cv.outputs.base import DatasetFormat
from mrcnn_cv.outputs.storage.record_log import is_tracked
from mrcnn_cv.util.packages import cannot_import

if TYPE_CHECKING:
    from mrcnn_cv.outputs.base import OutputSettings
    from mrcnn_cv.outputs.storage.record_log import Record

ROWS_AT_ONCE = 20_000
"""Of a row group of Parquet: what is held in memory."""

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


_GIVEN = {"image", "source", "label"}
"""Columns with names that somebody gave; the others are ours, and run lengths may begin with any character."""

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")


def inert(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: with an apostrophe where it begins as one."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULAS) else cell


class CsvTable(DatasetFormat):
    """instances.csv: UTF-8, commas, a heading, quotes where a value needs them (RFC 4180, with bare line feeds).

    Names that a spreadsheet would compute have an apostrophe in front.
    """

    name = "instances.csv"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        names = columns(records)
        given = [name in _GIVEN for name in names]
        writer.writerow(names)
        for row in rows(records):
            writer.writerow([inert(cell) if flag else cell for cell, flag in zip(row, given, strict=True)])
            file.write(line.getvalue().encode("utf-8"))
            line.seek(0)
            line.truncate()
        file.write(line.getvalue().encode("utf-8"))


class ParquetTable(DatasetFormat):
    """instances.parquet, with the columns of `csv`. UsageError without pyarrow."""

    name = "instances.parquet"

    def __init__(self, settings: OutputSettings) -> None:
        super().__init__(settings)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            what = cannot_import(error, "parquet", "pyarrow")
            raise UsageError(f"parquet files need the package {what}, or save csv instead") from error
        self._arrow: Any = pyarrow

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        arrow = self._arrow
        kinds = {"text": arrow.string(), "whole": arrow.int64(), "real": arrow.float64()}
        schema = arrow.schema([(name, kinds[kind]) for name, kind in columns(records).items()])
        every = rows(records)
        with arrow.parquet.ParquetWriter(_CountingFile(file), schema, compression="zstd") as writer:
            while some := list(islice(every, ROWS_AT_ONCE)):
                values = zip(*some, strict=True)
                arrays = [arrow.array(column, each.type) for column, each in zip(values, schema, strict=True)]
                writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


class _CountingFile:
    """What pyarrow wants of a file, around one that can only be written to."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = 0

    def write(self, data: Any) -> int:
        data = bytes(data)
        self._file.write(data)
        self._size += len(data)
        return len(data)

    def tell(self) -> int:
        return self._size

    def flush(self) -> None:
        self._file.flush()

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True
