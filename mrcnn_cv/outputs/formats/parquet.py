"""`parquet`: instances.parquet, a row per instance; needs pyarrow."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from mrcnn_cv.errors import UsageError
from mrcnn_cv.outputs.base import DatasetFormat
from mrcnn_cv.outputs.formats.table import columns, rows

if TYPE_CHECKING:
    from mrcnn_cv.outputs.base import OutputSettings
    from mrcnn_cv.outputs.storage.record_log import Record

_ROWS = 20_000
"""Of a row group: what is held in memory."""


class ParquetTable(DatasetFormat):
    """instances.parquet, with the columns of `csv`. UsageError without pyarrow."""

    name = "instances.parquet"

    def __init__(self, settings: OutputSettings) -> None:
        super().__init__(settings)
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise UsageError(
                f"parquet files need pyarrow ({error}): pip install 'mrcnn-cv[parquet]', or save csv instead"
            ) from error
        self._arrow: Any = pyarrow

    def assemble(self, records: Iterable[Record], file: BinaryIO) -> None:
        """Write the file; a row group is held at a time."""
        arrow = self._arrow
        kinds = {"text": arrow.string(), "whole": arrow.int64(), "real": arrow.float64()}
        schema = arrow.schema([(name, kinds[kind]) for name, kind in columns(records).items()])
        every = rows(records)
        with arrow.parquet.ParquetWriter(_CountingFile(file), schema, compression="zstd") as writer:
            while some := list(islice(every, _ROWS)):
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
