"""`csv`: instances.csv, a row per instance."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, BinaryIO

from mrcnn_cv.outputs.base import DatasetFormat
from mrcnn_cv.outputs.formats.table import columns, rows

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.record_log import Record


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
        """Write the file; one record is held at a time."""
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
