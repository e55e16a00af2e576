"""A file for a report of a whole run: one of ours, a pipe or a device, or standard output."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import OutputError, Remedy, UsageError
from mrcnn_cv.jobs.options import PathLike
from mrcnn_cv.jobs.state import manifest, video_checkpoints
from mrcnn_cv.jobs.state.summary import FAILURES, SUMMARY
from mrcnn_cv.outputs.formats.json_stream import is_special, reserve_stdout
from mrcnn_cv.outputs.storage.dataset_files import LOCK_NAME
from mrcnn_cv.outputs.storage.locks import NAME as RUN_LOCK_NAME
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory, unwritable
from mrcnn_cv.outputs.storage.ownership import RECORD_NAME
from mrcnn_cv.outputs.storage.record_log import RECORDS_NAME
from mrcnn_cv.util import filenames
from mrcnn_cv.util.json import dumps

STATE_FILES = (
    manifest.NAME,
    SUMMARY,
    FAILURES,
    video_checkpoints.NAME,
    RUN_LOCK_NAME,
    LOCK_NAME,
    RECORDS_NAME,
    RECORD_NAME,
)
"""What runs keep about themselves in an output folder."""


def state_files(folder: Path) -> list[Path]:
    """The same as paths, whether they are there or not."""
    return [folder / name for name in STATE_FILES]


def check_apart(name: PathLike, own: Iterable[Path], remedy: Remedy = Remedy.REPORT_FILE) -> None:
    """UsageError where a file for a report is one of `own`, or lies in one of them that is a folder.

    own: what else the run writes; the record of outputs beside the file is always among it.
    """
    parts = _parts(Path(name))
    if any(parts[: len(each)] == each for each in map(_parts, (*own, Path(name).parent / RECORD_NAME))):
        raise UsageError(f"{os.fspath(name)} is a file that this run writes itself: {remedy}", remedy)


def check_different(first: PathLike | None, second: PathLike | None) -> None:
    """UsageError where two reports go to one file: the last one written would be all that is left."""
    if first is None or second is None or is_special(Path(first)):
        return
    if _parts(Path(first)) == _parts(Path(second)):
        remedy = Remedy.REPORT_FILE
        raise UsageError(f"two reports name the same file, {os.fspath(second)}: {remedy}", remedy)


def _parts(path: Path) -> tuple[str, ...]:
    """What is equal for two paths that are, through links and spellings, or may be on some file system, one file."""
    return tuple(map(filenames.path_key, Path(os.path.realpath(path)).parts))


class ReportFile:
    """A file that is written at the end of a run; that it can be is known before. name: "-" is standard output.

    protected  inputs, which are never written to
    own        what else the run writes
    durable    it is on the disk when `write` returns
    """

    def __init__(
        self,
        name: PathLike,
        *,
        overwrite: bool,
        protected: Iterable[Path],
        own: Iterable[Path] = (),
        durable: bool = False,
    ) -> None:
        self.name = os.fspath(name)
        self._path = Path(name)
        self._folder = OutputDirectory(
            self._path.parent, overwrite=overwrite, remedy=Remedy.REPORT_FILE, durable=durable
        )
        self.is_special = self.name != "-" and is_special(self._path)
        if self.name != "-" and not self.is_special:
            for path in protected:
                self._folder.protect(path)
            check_apart(name, own)
            self._folder.check()
            self._folder.check_replaceable(self._path)
        self._stdout = reserve_stdout() if self.name == "-" else None

    def write(self, data: bytes) -> None:
        """Write it whole, or raise OutputError."""
        if self._stdout is None and not self.is_special:
            self._folder.write(self._path, data)
            # Of a run that was killed here.
            self._folder.sweep(self._path)
            return
        try:
            # A pipe or a device stays what it is.
            with self._stdout or self._path.open("wb") as file:
                file.write(data)
        except BrokenPipeError:
            pass
        except OSError as error:
            if self._stdout is None:
                raise unwritable(error, self._path, Remedy.REPORT_FILE) from error
            raise OutputError(f"standard output cannot be written: {error.strerror or error}") from error

    def write_json(self, value: Any) -> None:
        """Write `value` as JSON."""
        self.write(dumps(value, indent=2).encode("utf-8") + b"\n")
