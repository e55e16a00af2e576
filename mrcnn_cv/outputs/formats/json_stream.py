"""JSON lines: one record per image on one line, into a pipe or a file, each as soon as it is there."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, cast

from mrcnn_cv.errors import OutputError, Remedy
from mrcnn_cv.outputs.base import PerImageSink, SinkClosed
from mrcnn_cv.outputs.storage.line_index import Line, holds_only_records, line_of, read_lines
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory, unwritable
from mrcnn_cv.outputs.storage.ownership import new_digest
from mrcnn_cv.util.durable import sync, sync_name
from mrcnn_cv.util.json import to_bytes

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


_FIRST_NOTE = 1 << 16
"""Bytes of a file of records before it is noted for the second time."""


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

    An existing file is replaced where it is an unchanged output of an earlier run, what a run that was killed left, or
    `overwrite` is set, and never where it is one of `protected`; OutputError otherwise. A pipe or a device
    (`/dev/null`, `>(gzip > x.gz)`) is just written to.

    keep     go on behind the lines that an earlier run left; `drop` takes out those that are written again
    durable  a line is on the disk when `write` returns
    """

    ordered = True

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        protected: Iterable[str | Path] = (),
        keep: bool = False,
        durable: bool = False,
    ) -> None:
        self.path = Path(path)
        self.is_special = is_special(self.path)
        self._durable = durable and not self.is_special
        self._folder = OutputDirectory(
            self.path.parent,
            overwrite=overwrite,
            protected=protected,
            remedy=Remedy.RECORDS_FILE,
            durable=self._durable,
        )
        self._file: BinaryIO | None = None
        self._size = 0
        self._digest = new_digest()
        self._next_note = 0
        self._keeps = keep and not self.is_special
        self.lines: list[Line] = []
        self.order: Callable[[Line], tuple[int, int]] | None = None

    def check(self) -> None:
        """OutputError where it is plain before any work that the file cannot be written; makes nothing."""
        self._check_replaceable()
        if self._keeps:
            with self._failing():
                self.lines = read_lines(self.path)

    def _check_replaceable(self) -> None:
        if not self.is_special:
            self._folder.check()
            self._folder.check_replaceable(self.path, self._is_of_a_killed_run)

    def drop(self, is_dropped: Callable[[Line], bool]) -> None:
        """Take lines out of what an earlier run left; before or after the file is opened."""
        left = [line for line in self.lines if not is_dropped(line)]
        if len(left) < len(self.lines):
            self.lines = left
            if self._file is not None:
                self._rewrite()

    def __enter__(self) -> JsonLinesFile:
        self._check_replaceable()
        with self._failing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self.is_special:
                self._folder.sweep(self.path)
            self._open("r+b" if self.lines else "wb")
        if self._size != sum(line.size for line in self.lines):
            # Some were dropped, or a killed run was in the middle of one.
            self._rewrite()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            if self._keeps and self.order is not None and not isinstance(error, OutputError):
                ordered = sorted(self.lines, key=self.order)
                if ordered != self.lines:
                    self.lines = ordered
                    self._rewrite()
        finally:
            self._close()

    def write(self, frame: Frame, instances: Instances) -> None:
        """Write one line; it is in the file when this returns."""
        record = instances.to_dict()
        rest = memoryview(to_bytes(record) + b"\n")
        if self._keeps:
            self.lines.append(line_of(record, self._size, len(rest)))
        file = self._file_at_work
        try:
            with self._failing():
                while rest:
                    written = file.write(rest)
                    self._count(rest[:written])
                    rest = rest[written:]
                if self._durable:
                    sync(file.fileno())
                self._note_progress()
        except BrokenPipeError as error:
            raise SinkClosed from error

    @property
    def _file_at_work(self) -> BinaryIO:
        if self._file is None:
            raise ValueError("the file is open only inside of a with block")
        return self._file

    def _open(self, mode: str) -> None:
        self._size, self._digest, self._next_note = 0, new_digest(), 0
        if mode == "wb":
            # Before it is there: where the run is killed in between, it is known all the same.
            self._note_progress()
        self._file = cast(BinaryIO, open(self.path, mode, buffering=0))  # noqa: SIM115 (until _close)
        if self._durable:
            sync_name(self.path, set())
        if mode != "wb":
            while piece := self._file.read(1 << 20):
                self._count(piece)

    def _count(self, data: bytes | memoryview) -> None:
        self._digest.update(data)
        self._size += len(data)

    def _note_progress(self) -> None:
        """By which the file is known where the run is killed: a few times while it grows."""
        if self._size >= self._next_note and not self.is_special:
            self._folder.note(self.path, self._size, self._digest.hexdigest(), grows=True)
            self._next_note = max(self._size * 5 // 4, _FIRST_NOTE)

    def _rewrite(self) -> None:
        """Put a file of `lines` in the place of the one at work, and go on behind them."""
        lines, at = [], 0
        self._close()
        with self._failing():
            with open(self.path, "rb") as old, self._folder.replacing(self.path) as new:
                for line in self.lines:
                    old.seek(line.start)
                    new.write(old.read(line.size))
                    lines.append(line._replace(start=at))
                    at += line.size
            self.lines = lines
            self._open("r+b")

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        with self._failing():
            file.close()
            if not self.is_special:
                self._folder.note(self.path, self._size, self._digest.hexdigest())

    def _is_of_a_killed_run(self) -> bool:
        """Whether the file begins with what a run noted while it wrote it, and has nothing but records behind that."""
        known = self._folder.known_part(self.path)
        return known is not None and holds_only_records(self.path, known)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
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
