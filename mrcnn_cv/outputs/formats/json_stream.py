"""JSON lines: one record per image on one line, into a pipe or a file, each as soon as it is there."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from mrcnn_cv.errors import Remedy
from mrcnn_cv.outputs.base import PerImageSink, SinkClosed
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory, unwritable
from mrcnn_cv.outputs.storage.ownership import new_digest
from mrcnn_cv.util.json import to_bytes

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class JsonLines(PerImageSink):
    """Writes to an open binary stream, for example `sys.stdout.buffer`, which stays open.

    SinkClosed from `write` once the reader has gone away (`| head -1`); OutputError where the stream cannot be written.
    """

    ordered = True

    def __init__(self, stream: BinaryIO, name: str = "standard output") -> None:
        self.stream = stream
        self.name = name

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one line and flush it."""
        try:
            self.stream.write(to_bytes(instances.to_dict()) + b"\n")
            self.stream.flush()
        except KeyboardInterrupt:
            # Where nobody reads, what is left in the buffer would hold up the end.
            _let_go(self.stream)
            raise
        except OSError as error:
            # Windows reports a reader that went away as EINVAL.
            if isinstance(error, BrokenPipeError) or (os.name == "nt" and error.errno == errno.EINVAL):
                _let_go(self.stream)
                raise SinkClosed from error
            _let_go(self.stream)
            raise unwritable(error, Path(self.name), Remedy.RECORDS_FILE) from error


class JsonLinesFile:
    """Writes to a file, line by line, so that an interrupted run keeps what it had.

    An existing file is replaced where it is an unchanged output of an earlier run or `overwrite` is set, and never
    where it is one of `protected`; OutputError otherwise. A pipe or a device (`/dev/null`, `>(gzip > x.gz)`) is just
    written to.
    """

    ordered = True

    def __init__(self, path: str | Path, *, overwrite: bool = False, protected: Iterable[str | Path] = ()) -> None:
        self.path = Path(path)
        self._folder = OutputDirectory(
            self.path.parent, overwrite=overwrite, protected=protected, remedy=Remedy.RECORDS_FILE
        )
        self._file: BinaryIO | None = None
        self._is_special = False
        self._size = 0
        self._digest = new_digest()

    def check(self) -> None:
        """OutputError where it is plain before any work that the file cannot be written; makes nothing."""
        self._is_special = is_special(self.path)
        if not self._is_special:
            self._folder.check()
            self._folder.check_replaceable(self.path)

    def __enter__(self) -> JsonLinesFile:
        self.check()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "wb", buffering=0)
        except OSError as error:
            raise unwritable(error, self.path, Remedy.RECORDS_FILE) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        self._file.close()
        self._file = None
        if self._is_special:
            return
        try:
            self._folder.note(self.path, self._size, self._digest.hexdigest())
        except OSError as problem:
            raise unwritable(problem, self.path, Remedy.RECORDS_FILE) from problem

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one line; it is in the file when this returns."""
        if self._file is None:
            raise ValueError("the file is open only inside of a with block")
        rest = memoryview(to_bytes(instances.to_dict()) + b"\n")
        try:
            while rest:
                written = self._file.write(rest)
                self._digest.update(rest[:written])
                self._size += written
                rest = rest[written:]
        except BrokenPipeError as error:
            raise SinkClosed from error
        except OSError as error:
            raise unwritable(error, self.path, Remedy.RECORDS_FILE) from error


def reserve_stdout() -> BinaryIO:
    """Standard output as a binary file; what a C library prints there (OpenCL drivers do) now goes to stderr."""
    sys.stdout.flush()
    own = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def is_special(path: Path) -> bool:
    """Whether `path` is a pipe or a device, which is written to and never replaced."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _let_go(stream: BinaryIO) -> None:
    """Point a stream that cannot be written at nothing, so that closing it at exit does not fail once more."""
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, stream.fileno())
        os.close(nothing)
    except (OSError, ValueError):
        pass
