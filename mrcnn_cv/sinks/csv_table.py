"""`csv`: instances.csv, a row per instance."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, BinaryIO

from mrcnn_cv.sinks.table import columns, rows

if TYPE_CHECKING:
    from mrcnn_cv.sinks.records import Record


class CsvTable:
    """instances.csv: UTF-8, commas, a heading, quotes where a value needs them (RFC 4180, with bare line feeds)."""

    name = "instances.csv"

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file; one record is held at a time."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\n")
        writer.writerow(columns(records))
        for row in rows(records):
            writer.writerow(row)
            file.write(line.getvalue().encode("utf-8"))
            line.seek(0)
            line.truncate()
        file.write(line.getvalue().encode("utf-8"))
